"""What `%llm` tells of the notebook, and the commands about it, in a real shell."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.saved_turns import left_out
from support.scripted import ScriptedEngine, messages_of
from support.shell import cell, extension, run

from jupyter_llm import llm
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.errors import JupyterLLMError, MagicUsageError

pytestmark = pytest.mark.usefixtures("shell")


def told(engine: ScriptedEngine) -> str:
    return engine.format(engine.requests[-1].prompt)


def rows(text: str) -> list[list[str]]:
    """Return the rows of the table that /context shows."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[part.strip() for part in line.strip("| ").split(" | ")] for line in lines[2:]]


def test_cells_and_their_outputs_go_along_as_a_dry_run_shows(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    cell(shell, "x = 6 * 7\nx")
    cell(shell, "%llm What is it?")
    cell(shell, "print('more')")
    shown = run(shell, "%%llm --dry-run\nAnd now?").text
    cell(shell, "%%llm\nAnd now?")
    assert told(resident) == (
        "[user] These cells ran in the notebook:\n\n"
        "In [1]:\nx = 6 * 7\nx\nOut [1]:\n42\n\nWhat is it?\n"
        "[assistant] fine\n"
        "[user] These cells ran in the notebook:\n\n"
        "In [3]:\nprint('more')\nOut [3]:\nmore\n\nAnd now?\n"
    )
    assert shown.startswith(told(resident))


@pytest.mark.parametrize(
    ("setting", "option", "expected"),
    [
        ("auto", "", 3),
        ("auto", "-c none", 0),
        ("auto", "-c 2", 2),
        ("auto", "-c 0", 0),
        ("none", "--context all", 3),
        ("none", "", 0),
        (1, "", 1),
    ],
)
def test_the_context_is_a_setting_and_chosen_for_one_prompt(
    shell: InteractiveShell,
    resident: ScriptedEngine,
    setting: object,
    option: str,
    expected: int,
) -> None:
    run(shell, f"%config LLMMagics.context = {setting!r}")
    for number in range(3):
        cell(shell, f"x{number} = 1")
    cell(shell, f"%llm {option} hello")
    assert told(resident).count(" = 1") == expected


@pytest.mark.parametrize("line", ["Is llm of use for rows?", "/explain 2"])
def test_the_imported_llm_is_no_variable_of_the_users(
    shell: InteractiveShell, resident: ScriptedEngine, line: str
) -> None:
    cell(shell, "from jupyter_llm import llm\nrows = [471108]")
    cell(shell, "is_there = llm is not None, rows")
    cell(shell, f"%llm {line}")
    assert "rows: list" in told(resident)
    assert "llm: " not in told(resident)


@pytest.mark.parametrize("line", ["What are @llm and rows?", "--vars llm,rows Hello"])
def test_a_prompt_that_names_the_imported_llm_includes_one_line_about_it(
    shell: InteractiveShell, resident: ScriptedEngine, line: str
) -> None:
    cell(shell, "from jupyter_llm import llm\nlm, rows = 1, [471108]")
    cell(shell, f"%llm {line}")
    assert "\nllm: the language model in this kernel\n" in told(resident)
    assert "\nrows: list" in told(resident)


def test_what_no_longer_fits_is_said_with_numbers(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    for number in range(12):
        cell(shell, f"x{number} = 1\nprint('word ' * 60)")
    text = cell(shell, "%llm hello").text
    num_told = told(resident).count(" = 1")
    assert 2 <= num_told < 6
    assert f"without the chat's first {12 - num_told} cells, which no longer fit" in text
    for number in range(12, 40):
        cell(shell, f"x{number} = 1\nprint('word ' * 20)")
        text = cell(shell, f"%llm hello {number}").text
    chat = llm.chat("default")
    num_turns, cells = left_out(chat)
    assert num_turns > 10
    assert f"first {num_turns} turns and {len(cells)} cells, which no longer fit" in text


@pytest.mark.usefixtures("resident")
def test_a_new_conversation_asks_the_variables_once_and_before_it_forgets(
    shell: InteractiveShell,
) -> None:
    source = "asked = []\nclass Spy:\n    def __repr__(self):\n        asked.append(1)"
    cell(shell, f"{source}\n        return 'Spy()'\nspy = Spy()")
    shell.user_ns["asked"].clear()  # it was read ahead
    prompt = ChatQuestion(prompt="what is spy", about="what is @spy", is_new=True, context="auto")
    with llm.chat().sending(prompt, None):
        assert len(shell.user_ns["asked"]) == 1


@pytest.mark.usefixtures("resident")
class TestContextCommand:
    def test_it_lists_what_is_in_and_what_is_out_and_why(
        self, shell: InteractiveShell, resident: ScriptedEngine
    ) -> None:
        cell(shell, "secret = 'abc'")
        cell(shell, "x = '`a`|b'")
        cell(shell, "%llm -s brief hello")
        cell(shell, "y = 2")
        cell(shell, "z = 3")
        cell(shell, "%llm /hide 1")
        cell(shell, "%llm /pin 4")
        text = cell(shell, "%llm /context").text
        table = rows(text)
        assert [row[:3] for row in table] == [
            ["system text", "in", "always"],
            ["In [1]", "out", "hidden"],
            ["In [2] `x = ''a'\\|b'`", "in", "included in turn 1"],
            ["turn 1: `hello`", "in", ""],
            ["In [4] `y = 2`", "in", "pinned, with the next prompt"],
            ["In [5] `z = 3`", "in", "with the next prompt"],
        ]
        assert table[0][3] == "5"
        assert all(int(row[3]) > 0 for row in table)
        draft = (
            llm.chat("default").preview(resident, ChatQuestion(prompt="?", context="auto")).prompt
        )
        assert f"**{resident.count_tokens(draft)} of 2048 tokens**" in text

    @pytest.mark.parametrize(
        ("option", "state"), [("none", "context none"), ("1", "not one of the last 1")]
    )
    def test_it_explains_the_mode_it_is_asked_about(
        self, shell: InteractiveShell, option: str, state: str
    ) -> None:
        cell(shell, "x = 1")
        cell(shell, "y = 1")
        assert rows(run(shell, f"%llm -c {option} /context").text)[0][1:3] == ["out", state]

    def test_it_tells_what_is_attached(self, shell: InteractiveShell) -> None:
        attachments = [("In [3]", "x = 1"), ("`y`", "2")]
        llm.chat("default").stream("hello", attachments=attachments).result()
        table = rows(run(shell, "%llm /context").text)
        assert [row[:3] for row in table] == [
            ["attached `In [3]`", "in", "included in turn 1"],
            ["attached `'y'`", "in", "included in turn 1"],
            ["turn 1: `hello`", "in", ""],
        ]
        assert table[0][3] == str(len("In [3]:\nx = 1\n\n"))


def test_without_a_model_it_counts_nothing_and_loads_none(shell: InteractiveShell) -> None:
    assert "No cell has run yet" in run(shell, "%llm /context").text
    cell(shell, "x = 1")
    text = run(shell, "%llm /context").text
    assert "No model is loaded" in text
    assert "with the next prompt" in text
    assert not llm.status().is_loaded


def test_cells_are_pinned_and_hidden_and_back(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    cell(shell, "x = 1", "a")
    cell(shell, "y = 2", "b")
    assert "In [1], In [2] are pinned" in cell(shell, "%llm /pin 1, b").text
    assert len(llm.timeline.snapshot().pinned) == 2
    assert "In [2] is no longer pinned" in cell(shell, "%llm /unpin 2").text
    assert "In [1] is hidden" in cell(shell, "%llm /hide {{0 + 1}}").text
    cell(shell, "%llm hello")
    assert "x = 1" not in told(resident)
    assert "In [1] is no longer hidden" in cell(shell, "%llm /unhide 1").text
    cell(shell, "%llm hello")
    assert "x = 1" in told(resident)


@pytest.mark.parametrize("name", ["pin", "unpin", "hide", "unhide"])
def test_a_cell_must_be_named_and_must_have_run(shell: InteractiveShell, name: str) -> None:
    cell(shell, "x = 1")
    error = run(shell, f"%llm /{name}", raises=MagicUsageError).error
    assert f"/{name} 3 5 means In [3] and In [5]" in str(error)
    error = run(shell, f"%llm /{name} 1 77", raises=JupyterLLMError).error
    assert "There is no cell [77]" in str(error)


def test_variables_go_along_as_they_are_chosen(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    shell.user_ns.update(rows=[1, 2], spare={"a": 1}, other=(3,))

    def sent(code: str) -> str:
        cell(shell, code)
        return messages_of(resident.requests[-1].prompt)[-1].content

    cell(shell, "len(rows)")
    assert "rows: list, 2 items" in sent("%llm first")
    assert "rows: list" not in sent("%llm once told and unchanged")
    assert "spare: dict" in sent("%llm --vars spare,other second")
    assert "Variables" not in sent("%llm --vars none What is spare?")
    assert "Variables" not in sent("%llm --new -c none What are rows?")
    assert "rows: list" in sent("%llm --new -c none What are @rows?")
    run(shell, "%config LLMMagics.vars = ['other']")
    assert "other: tuple" in sent("%llm --new fifth")


@pytest.mark.parametrize("prompt", ["%llm What did @In[1] do to @rows?", "%%llm\n@In[1], @rows?"])
def test_what_has_an_at_goes_along_once_and_is_sent_by_its_name(
    shell: InteractiveShell, resident: ScriptedEngine, prompt: str
) -> None:
    cell(shell, "rows = [1, 2]\nprint('sorted')")
    cell(shell, "%llm -c none hello")
    shown = run(shell, prompt.replace("llm", "llm --dry-run -c none", 1)).text
    cell(shell, prompt.replace("llm", "llm -c none", 1))
    assert shown.startswith(told(resident))
    (turn,) = llm.chat("default").turns[1:]
    assert "@" not in turn.prompt
    assert [label for label, _ in turn.attachments] == ["In [1]"]
    cell(shell, "%llm And now?")
    assert told(resident).count("Attached:\n\nIn [1]:\n") == 1
    assert told(resident).count("rows: list") == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%llm --vars rwos hi", "Did you mean rows?"),
        ("%llm What are @rwos?", "Did you mean rows?"),
        ("%%llm\nWhat is @In[77]?", "There is no cell [77] here. The nearest is [1]."),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(
    shell: InteractiveShell, resident: ScriptedEngine, line: str, says: str
) -> None:
    cell(shell, "rows = [1, 2]")
    assert says in str(run(shell, line, raises=JupyterLLMError).error)
    assert resident.requests == []


class TestReadingAhead:
    def test_a_cell_is_read_as_soon_as_it_has_run(
        self, shell: InteractiveShell, resident: ScriptedEngine
    ) -> None:
        cell(shell, "x = 1")
        (request,) = resident.prefilled
        assert messages_of(request.prompt)[-1].parts[-1] == "In [1]:\nx = 1\n\n"
        cell(shell, "%llm hello")
        assert request.conversation == resident.requests[-1].conversation


def test_reloading_keeps_the_timeline_and_records_once(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    cell(shell, "x = 1")
    extension(shell, "reload")
    cell(shell, "y = 2")
    assert [c.source for c in llm.timeline.cells] == ["x = 1", "y = 2"]
