"""What a panel's front end asks for: suggestions, summaries, checked and prepared code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import FrontEnd, MakeFront
from support.scripted import ScriptedEngine, messages_of
from support.shell import run

from jupyter_llm import ChatPanel, llm
from jupyter_llm.errors import OptionError, PanelFilesError
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS
from jupyter_llm.frontends.panel import panel as panel_module
from jupyter_llm.notebook.code.marks import read_mark
from jupyter_llm.records.records import read_metadata, source_sha256

NOWHERE = {"number": None, "notice": None}


def names(answer: dict[str, Any], kind: str) -> list[str]:
    return [item["name"] for item in answer["items"] if item["kind"] == kind]


def complete(front: FrontEnd, text: str, *open_notebooks: str) -> dict[str, Any]:
    """Ask for what may stand at the `|` of a text, in a page with other notebooks."""
    place = {"text": text.replace("|", ""), "cursor": text.index("|")}
    found: dict[str, Any] = front.answer("suggest", **place, open_notebooks=list(open_notebooks))
    return found


def accept(text: str, answer: dict[str, Any], index: int = 0) -> str:
    """Put a suggestion into the text."""
    text, chosen = text.replace("|", ""), answer["items"][index]
    return f"{text[: answer['start']]}{chosen['text']}{text[answer['end'] :]}"


# Suggestions


def test_a_slash_lists_the_commands_that_a_panel_knows(front: FrontEnd) -> None:
    answer = complete(front, "/|")
    assert names(answer, "command") == [name for name in PANEL_COMMANDS if name != "chat"]
    assert all(item["detail"] for item in answer["items"])


def test_an_at_lists_the_variables_and_the_cells(front: FrontEnd, shell: InteractiveShell) -> None:
    run(shell, "import math\nprices = [1.5, 2.5]\n_private = 1", store_history=True)
    number = shell.execution_count - 1
    answer = complete(front, "What is @|?")
    assert {"math", "prices"} <= set(names(answer, "variable"))
    assert not {"_private", "In", "Out", "get_ipython"} & set(names(answer, "variable"))
    assert names(answer, "cell") == [f"In[{number}]"]
    details = {item["name"]: item["detail"] for item in answer["items"]}
    assert details["prices"].startswith("list")
    assert details[f"In[{number}]"] == "import math"


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("/rev|xx", "/review "),
        ("  /stat|", "  /status"),
        ("Is @pri| ok?", "Is @prices ok?"),
        ('Is "@pri|". Ok?', 'Is "@prices". Ok?'),
        ("Is @Pri|ce ok?", "Is @prices ok?"),
        ("🙂 @prices|", "🙂 @prices"),
        ("@In[|", "@In[1]"),
        ("@In[1|]", "@In[1]"),
        ("@Out[1|", "@In[1]"),
        ("@_pri|", "@_private"),
    ],
)
def test_a_suggestion_takes_the_place_of_the_word_and_elsewhere_there_is_none(
    front: FrontEnd, shell: InteractiveShell, text: str, accepted: str
) -> None:
    run(shell, "prices = [1.5, 2.5]\n_private = 1", store_history=True)
    number = shell.execution_count - 1
    text, accepted = (one.replace("[1", f"[{number}") for one in (text, accepted))
    assert accept(text, complete(front, text)) == accepted
    for other in ("|", "a/b|", "me@home|", "df.@x|", "/fix |"):
        assert complete(front, other)["items"] == []


def test_behind_a_table_and_a_dot_its_columns_are_listed_unless_it_is_hidden(
    front: FrontEnd, shell: InteractiveShell
) -> None:
    run(shell, "import pandas as pd\ndf = pd.DataFrame({'price': [471108], 'unit price': [2]})")
    answer = complete(front, "Sum @df.|")
    assert [item["text"] for item in answer["items"]] == ["@df.price", "@df['unit price']"]
    assert "1 value of int64" in answer["items"][0]["detail"]
    assert "471108" in front.answer("describe", kind="variable", name="df.price")
    assert accept("Sum @df.P|ri now", complete(front, "Sum @df.P|ri now")) == "Sum @df.price now"
    run(shell, "%llm /hide df")
    assert complete(front, "Sum @df.|")["items"] == []
    assert "471108" not in front.refusal("describe", kind="variable", name="df.price")


def test_the_open_notebooks_complete_by_their_names_and_come_as_markdown(
    front: FrontEnd, scripted: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [nbformat.v4.new_markdown_cell("# Plan"), nbformat.v4.new_code_cell("total = 471108")]
    for place in ("work/below", "other"):
        (tmp_path / place).mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / place / "plan.ipynb")
    monkeypatch.chdir(tmp_path / "work")
    answer = complete(front, "See @pl|", "../other/plan.ipynb", "below/plan.ipynb")
    assert [item["label"] for item in answer["items"]] == [
        "@../other/plan.ipynb",
        "@below/plan.ipynb",
    ]
    for index, text in enumerate((f"@{tmp_path}/other/plan.ipynb", "@below/plan.ipynb")):
        assert accept("See @pl|", answer, index) == f"See {text}"
        front.say(f"See {text}")
        told = messages_of(scripted.requests[-1].prompt)[-1].content
        assert "# Plan\n\n```python\ntotal = 471108\n```" in told


@pytest.mark.timeout(30)
def test_a_hundred_thousand_variables_are_looked_through_in_time(
    front: FrontEnd, shell: InteractiveShell
) -> None:
    shell.user_ns.update({f"value{number}": number for number in range(100_000)})
    assert len(names(complete(front, "@|"), "variable")) == 40
    assert names(complete(front, "@value9999|"), "variable")[:2] == ["value9999", "value99990"]
    front.answer("check", origin=NOWHERE, sources=["print(value77)"], tries=False)


def test_an_at_lists_the_files_beside_the_notebook_and_goes_on_below_folders(
    front: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "my data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    Path("my data", "prices.csv").write_text("city,price\nOslo,3\n", "utf-8")
    Path(".hidden").touch()
    assert names(complete(front, "@|"), "file") == ["my data/"]
    text = "Is @m|"
    for accepted in ('Is @"my data/', 'Is @"my data/prices.csv"'):
        text = accept(text, complete(front, text))
        assert text == accepted
        text += "|"
    text = '"@"my data/p|"".'
    assert accept(text, complete(front, text)) == '"@"my data/prices.csv"".'
    Path("prices.csv").touch()
    for text, accepted in (
        ('@"my data/p|rices.csv" now', '@"my data/prices.csv" now'),
        ('@"my data/p| and "that"', '@"my data/prices.csv" and "that"'),
        ("See @pri|ces.csv.", "See @prices.csv."),
        ("See @./pr|.tsv now", "See @./prices.csv now"),
    ):
        assert accept(text, complete(front, text)) == accepted
    Path("prices.csv").unlink()
    assert "'Oslo' | 3" in front.answer("describe", kind="file", name="my data/prices.csv")
    assert complete(front, "@/et|")["items"] == complete(front, "@../|")["items"] == []


def test_in_a_folder_of_very_many_files_few_are_suggested(
    front: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(2000):
        Path(f"file{number}").touch()
    assert len(names(complete(front, "@|"), "file")) == 30


def test_a_file_that_was_dropped_is_told_when_it_is_sent_wherever_it_lies(
    front: FrontEnd, scripted: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "notes.txt").write_text("Sold by weight.", "utf-8")
    front.send("How?", attachments=[{"label": "../notes.txt", "text": None}])
    front.wait_until(lambda front: front.is_idle and front.texts)
    assert (
        "../notes.txt:\n15 B\nSold by weight."
        in messages_of(scripted.requests[-1].prompt)[-1].content
    )
    (tmp_path / "work" / "here.txt").write_text("By hand.", "utf-8")
    front.send("See @here.txt", attachments=[{"label": "here.txt", "text": None}])
    front.wait_until(lambda front: front.is_idle and len(front.texts) == 2)
    assert str(scripted.requests[-1].prompt).count("By hand.") == 1  # though it was typed, too
    start = {"start": "city,price\nOslo,3\n", "size": 80_000}
    front.send("How?", attachments=[{"label": "of the desktop.csv", "text": start}])
    front.wait_until(lambda front: front.is_idle and len(front.texts) == 3)
    told = messages_of(scripted.requests[-1].prompt)[-1].content
    assert "80.0 kB, here the first 18 B: 1 row x 2 columns" in told
    assert "'Oslo' | 3" in told
    front.send("How?", attachments=[{"label": "../gone.txt", "text": None}])
    front.wait_for(lambda message: "cannot be attached: No such file" in str(message))


def test_to_suggest_variables_runs_none_of_the_users_code(
    front: FrontEnd, shell: InteractiveShell
) -> None:
    run(
        shell,
        "class Evil:\n"
        "    def __repr__(self): raise RuntimeError\n"
        "    def __getattr__(self, name): raise RuntimeError\n"
        "    def __len__(self): raise RuntimeError\n"
        "evil = Evil()\nmany = {f'x{i}': i for i in range(2000)}\nglobals().update(many)",
    )
    assert names(complete(front, "@evil|"), "variable") == ["Evil", "evil"]
    assert len(complete(front, "@x|")["items"]) <= 60


def test_secrets_are_not_shown(front: FrontEnd, shell: InteractiveShell) -> None:
    run(shell, "api_key = 'sk-12345678901234567890'")
    (item,) = complete(front, "@api|")["items"]
    described = front.answer("describe", kind="variable", name="api_key")
    assert "1234567890" not in item["detail"] + described


def test_hovering_tells_more(front: FrontEnd, shell: InteractiveShell) -> None:
    run(shell, "prices = [1.5, 2.5]\nprint('shown')", store_history=True)
    number = shell.execution_count - 1
    assert "1.5" in front.answer("describe", kind="variable", name="prices")
    cell = front.answer("describe", kind="cell", name=f"In[{number}]")
    assert "prices = [1.5, 2.5]" in cell
    assert "shown" in cell
    command = front.answer("describe", kind="command", name="fix")
    assert command == f"/fix [N]\n{PANEL_COMMANDS['fix'].help}"


# Code


def test_names_that_exist_nowhere_are_found(front: FrontEnd, shell: InteractiveShell) -> None:
    run(shell, "known = 1")
    sources = ["import nosuchmodule\nmade = known", "print(made, unmade)", "this is no python"]
    results = front.answer("check", origin=NOWHERE, sources=sources, tries=True)
    assert [result["unknown_names"] for result in results] == [[], ["unmade"], []]
    assert [result["missing_modules"] for result in results] == [["nosuchmodule"], [], []]


def test_code_lands_mended_and_marked_with_its_record(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("```python\nprint((1, 2)\n```")
    front.say("Print it.")
    answer = front.answer("prepare", origin={"number": 1, "notice": None}, source="print((1, 2)")
    marked = read_mark(answer["source"])
    assert marked is not None
    assert marked.body == "print((1, 2))"
    (record,) = read_metadata(answer["metadata"])
    made = llm.chat("default").turn(1).completion.provenance
    assert made is not None
    assert record.source_sha256 == source_sha256(marked.body)  # type: ignore[union-attr]
    assert record.record_id == marked.record_id  # type: ignore[union-attr]


def test_code_lands_below_the_next_cell_that_runs_well(
    front: FrontEnd, shell: InteractiveShell
) -> None:
    landed: list[tuple[str, bool]] = []
    shell.set_next_input = lambda text, replace=False: landed.append((text, replace))
    for number in (1, 2):
        source = f"x = {number}"
        place = front.answer("land", origin=NOWHERE, source=source, in_place=number == 2)
        assert "that you run." in place
    run(shell, "1 / 0", raises=ZeroDivisionError)
    assert landed == []
    run(shell, "pass")
    assert landed == [("x = 1", False)]
    run(shell, "pass")
    run(shell, "pass")
    assert landed == [("x = 1", False), ("x = 2", True)]


# The gauge


@pytest.fixture
def resident(scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """The model that answers from a script, as one that is in memory."""
    monkeypatch.setattr(type(llm.current), "resident", property(lambda _: scripted))
    return scripted


def test_the_status_says_how_full_the_context_is_by_parts(
    resident: ScriptedEngine, make_front: MakeFront, shell: InteractiveShell
) -> None:
    run(shell, "prices = [1.5, 2.5]", store_history=True)
    llm.chat("default").system = "Be brief."
    front = make_front()
    resident.replies.append("They are two.")
    front.say("What are @prices?")
    front.wait_until(lambda front: front.status["parts"] and front.status["parts"]["turns"])
    status = front.status
    parts = status["parts"]
    assert status["model"] == "scripted"
    assert parts["system"] == len("Be brief.")
    assert parts["turns"] == len("What are prices?") + len("They are two.")
    assert parts["cells"] > len("prices = [1.5, 2.5]")
    assert parts["variables"] > len("prices")
    assert sum(parts.values()) <= status["used"] <= status["allowed"]


# Making a panel


def test_a_panel_that_was_not_built_says_how_to_build_it(
    scripted: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel_module, "STATIC", tmp_path / "nothing")
    with pytest.raises(PanelFilesError, match=r"python3 dev.py build") as caught:
        ChatPanel()
    assert "\n" not in str(caught.value)


def test_options_that_are_none_are_refused(panel_files: Path, scripted: ScriptedEngine) -> None:
    with pytest.raises(OptionError, match="temperature"):
        ChatPanel(temprature=1)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="context"):
        ChatPanel(context="some")  # type: ignore[arg-type]


def test_the_panels_options_are_for_its_prompts(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(temperature=0.1, seed=3, max_tokens=4)
    scripted.replies.extend(["A long answer.", "Another one."])
    front.say("go", seed=9)
    params = scripted.requests[0].params
    assert (params.temperature, params.seed, params.max_tokens) == (0.1, 9, 4)
