"""Actions on cells as a page asks for them, with a model that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import Json
from support.kernel import running_kernel
from support.lab_page import KernelPage, LabPage
from support.panel_kernel import prepare
from support.scripted import ScriptedEngine, messages_of
from support.shell import run
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.errors import OptionError
from jupyter_llm.frontends.lab import actions
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.records.audit import audit
from jupyter_llm.tasks.proposal import Proposal

OUR_BUG = "This is a bug of jupyter_llm: please report it with the text of `%llm /doctor`."
LOOP = "total = 0\nfor n in [1, 2]:\n    total += n\nprint(total)"


def cell(source: str, cell_id: str = "c", error: str | None = None) -> Json:
    return {"id": cell_id, "source": source, "error": error}


def ask(page: LabPage | KernelPage, action: str, shown: Json, **more: Any) -> str:
    asked = {"selection": None, "instruction": None, "task": "t", **more}
    return page.ask("act", action=action, cell=shown, **asked)


def act(page: LabPage | KernelPage, action: str, shown: Json, **more: Any) -> Json:
    """Have something done, and return what answers it, and what is proposed in it."""
    request = ask(page, action, shown, **more)
    ends = ("reply", "error")
    end = page.wait_for(lambda m: m.get("id") == request and m["type"] in ends)
    value = end.get("value", end)
    return {"type": "text", "text": value} if isinstance(value, str) else {**value}


def told(scripted: ScriptedEngine) -> str:
    """What the model was asked last."""
    return messages_of(scripted.requests[-1].prompt)[-1].content


def written(page: LabPage) -> str:
    """What a page knows of the text that was written last."""
    text = ""
    for message in page.of_kind("progress"):
        text = message["text"] if message["is_new"] else text + message["text"]
    return text


def selected(source: str, text: str) -> list[int]:
    start = source.index(text)
    return [start, start + len(text)]


def test_an_edit_of_a_cell_that_never_ran_is_proposed_and_told_as_it_is_written(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("total = sum([1, 2])\nprint(total)\n```")
    found = act(page, "edit", cell(LOOP), instruction="use sum")
    assert found["source"] == "total = sum([1, 2])\nprint(total)"
    assert (found["before"], found["cell"]) == (LOOP, "c")
    assert LOOP in told(scripted)
    assert "use sum" in told(scripted)
    assert written(page) == "```python\ntotal = sum([1, 2])\nprint(total)"
    assert sum(len(message["text"]) for message in page.of_kind("progress")) == len(written(page))


DEF = "def f():\n    a = 1\n    return a"
TIMED = "%%time\nx = 1  # kept\ndef f():\n    print(x)"
HEAD = "total = 0\nfor n in [1, 2]:\n    total += n\n"


@pytest.mark.parametrize(
    ("action", "source", "chosen", "reply", "proposed"),
    [
        ("edit", f"{LOOP}\nx = 1", HEAD, "total = 3", "total = 3\nprint(total)\nx = 1"),
        (
            *("edit", f"{LOOP}\nx = 1", HEAD),
            *("total = 3\nprint(total)\nx = 2  # too", "total = 3\nprint(total)\nx = 1"),
        ),
        ("edit", LOOP, "+= n", "total += 2 * n", LOOP.replace("+= n", "+= 2 * n")),
        ("continue", "xs = [1]", "", "print(xs)", "xs = [1]\nprint(xs)"),
        (
            *("continue", DEF, "= 1", "    a += 1\nprint(f())"),
            DEF.replace("= 1\n", "= 1\n    a += 1\n"),
        ),
        (
            *("continue", "def f(x):", "", "\n    return 2 * x\n\ndef g():\n    pass"),
            "def f(x):\n    return 2 * x",
        ),
        ("document", TIMED, "", "Print it.", TIMED.replace("():", '():\n    """Print it."""')),
    ],
)
def test_of_a_cell_nothing_but_what_is_meant_is_changed(
    page: LabPage,
    scripted: ScriptedEngine,
    action: str,
    source: str,
    chosen: str,
    reply: str,
    proposed: str,
) -> None:
    scripted.replies.append(f"{reply}\n```")
    selection = selected(source, chosen) if chosen else None
    if selection is not None and action == "continue":
        selection[1] = selection[0]
    found = act(page, action, cell(source), selection=selection, instruction="shorter")
    assert found["source"] == proposed


@pytest.mark.parametrize(
    ("source", "chosen", "proposed"),
    [
        ("x = 1\ny = 2", "", ""),
        ("%%time\nx = 1", "", ""),
        ("x = 1\ny = 2", "y = 2", "x = 1"),
    ],
)
def test_of_a_cell_or_lines_that_are_to_go_nothing_is_left(
    page: LabPage, scripted: ScriptedEngine, source: str, chosen: str, proposed: str
) -> None:
    scripted.replies.extend(["```"] * 4)
    selection = selected(source, chosen) if chosen else None
    found = act(page, "edit", cell(source), selection=selection, instruction="remove it")
    assert (found["before"], found["source"].rstrip()) == (source, proposed)


def test_a_text_of_which_nothing_is_left_is_deleted(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("````")
    text = {**cell("Old words."), "kind": "markdown"}
    assert act(page, "edit", text, instruction="remove it")["source"] == ""


@pytest.mark.parametrize(("source", "reply"), [("", "```"), ("x = 1", "I cannot do that.\n```")])
def test_words_are_no_deletion_and_no_empty_cell_is_deleted(
    page: LabPage, scripted: ScriptedEngine, source: str, reply: str
) -> None:
    scripted.replies.extend([reply] * 4)
    assert "wrote no code" in act(page, "edit", cell(source), instruction="remove it")["text"]


@pytest.mark.parametrize(
    ("reply", "said"), [("x = 2\n" * 100, "not whole"), ("x = 1\n```", "Nothing to change")]
)
def test_what_is_torn_or_changes_nothing_is_no_proposal(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell, reply: str, said: str
) -> None:
    run(shell, "%config LLMMagics.max_tokens = 9")  # and what a cell of this size needs
    scripted.replies.extend([reply] * 4)
    assert said in act(page, "edit", cell("x = 1"), instruction="more")["text"]


@pytest.mark.parametrize("action", ["fix", "document", "test", "continue", "next", "edit", "split"])
def test_a_cell_in_another_language_is_not_made_python(page: LabPage, action: str) -> None:
    found = act(page, action, cell("%%bash\nls"), instruction="sort")
    assert "begins with %%bash" in found["text"]


def test_the_kernels_last_error_is_told_with_its_variables(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "n = [0]", cell_id="a", store_history=True)
    run(shell, "1 / n", cell_id="c", raises=TypeError, store_history=True)
    scripted.replies.append("n = [0][0] + 1\n```")
    found = act(page, "fix", cell("1 / n", error="TypeError: unsupported operand type(s)"))
    # What failed in one cell is mended in the one that caused it.
    assert (found["cell"], found["before"], found["source"]) == (
        *("a", "n = [0]", "n = [0][0] + 1"),
    )
    assert "The cell last assigns `n`; cell [2] failed with `TypeError" in found["markdown"]
    assert "- n: list" in told(scripted)


def test_an_error_that_the_kernel_no_longer_knows_is_told_as_it_is_shown(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("print(x)\n```")
    shown = cell("print(y)", error="Traceback\n\x1b[31mNameError\x1b[0m: name 'y' is not defined")
    found = act(page, "fix", shown)
    assert (found["source"], found["unknown_names"]) == ("print(x)", ["x"])
    assert (
        "NameError: name 'y' is not defined" in messages_of(scripted.requests[0].prompt)[-1].content
    )


def test_tests_are_a_cell_below(page: LabPage, scripted: ScriptedEngine) -> None:
    scripted.replies.append("f():\n    assert f(1) == 2\n```")
    found = act(page, "test", cell("def f(x):\n    return 2 * x"))
    assert found["before"] is None
    name = "test_f_with_f"
    assert found["source"] == f"def {name}():\n    assert f(1) == 2\n\n\n{name}()"
    assert found["markdown"].startswith("Not tried: ")
    assert "Write short tests for `f`" in told(scripted)


def test_an_explanation_is_that_of_the_command_and_no_turn(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, LOOP, cell_id="c", store_history=True)
    scripted.replies.extend(["It adds **two** numbers."] * 2)
    assert act(page, "explain", cell(LOOP))["text"] == "It adds **two** numbers."
    assert written(page) == "It adds **two** numbers."
    found = told(scripted)
    run(shell, "%llm /explain 1")
    assert told(scripted) == found
    assert not llm.chat("default").turns


def test_an_explanation_of_an_error_begins_with_what_is_known_of_it(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "trees = [3, 4]", cell_id="a", store_history=True)
    run(shell, "n = 1\ntree[n]", cell_id="c", raises=NameError, store_history=True)
    scripted.replies.append(" a wrong name.")
    error = "NameError: name 'tree' is not defined"
    found = act(page, "explain", cell("n = 1\ntree[n]", error=error))
    assert found["text"] == (
        "```text\nNameError: name 'tree' is not defined\n```\n\n"
        "It came from cell [2], line 2:\n\n```python\ntree[n]\n```\n\n"
        "There is no name 'tree'; near it is 'trees'.\n\nThe error comes from a wrong name."
    )
    assert written(page) == found["text"]
    scripted.replies.append(" old times.")
    old = "Cell In[7], line 2\n----> 2 1 / 0\n\nZeroDivisionError: division by zero"
    assert act(page, "explain", cell("n = 1\n1 / 0", "b", old))["text"] == (
        "```text\nZeroDivisionError: division by zero\n```\n\n"
        "It came from the cell, line 2:\n\n```python\n1 / 0\n```\n\nThe error comes from old times."
    )


def test_a_review_is_that_of_the_command_and_no_turn(page: LabPage) -> None:
    shown = cell("xs = [1]\nprint(undefined)\nprint(nowhere)")
    found = act(page, "review", shown, selection=selected(shown["source"], "print(undefined)"))
    assert "**line 2**" in found["text"]
    assert "nowhere" not in found["text"]
    assert not llm.chat("default").turns


def test_secrets_of_a_cell_are_not_told_and_stay_in_it(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    source = 'api_key = "sk-1234567890abcdef1234"\nx = 1'
    scripted.replies.extend(["a", 'api_key = "[hidden]"\nx = 2\n```', "y = 2\n```"])
    act(page, "explain", cell(source))
    assert "sk-12345" not in str(scripted.requests)
    act(page, "edit", cell(source), instruction="double x")
    assert "sk-12345" not in str(scripted.requests)
    found = act(page, "continue", cell(source))
    assert "sk-12345" not in str(scripted.requests)
    assert found["source"] == f"{source}\ny = 2"


def test_a_cell_is_gone_on_from_in_a_new_cell_with_its_results_and_variables(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "prices = [3, 4]\nprint('two prices')", cell_id="c", store_history=True)
    scripted.replies.append("sum(prices)\n```")
    found = act(page, "next", cell("prices = [3, 4]\nprint('two prices')"))
    assert (found["before"], found["source"]) == (None, "sum(prices)")
    for known in ("It showed:\ntwo prices", "- prices: list"):
        assert known in told(scripted)


def test_a_cell_is_split_with_the_line_that_names_its_author_and_without_a_model(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    source = "# Generated by other (jupyter_llm 0123456789ab)\nimport os\n\nx = 1\n\ny = 2"
    found = act(page, "split", cell(source))
    assert (found["before"], found["below"]) == (source, ["x = 1", "y = 2"])
    assert found["source"] == source.partition("\n\n")[0]
    assert (found["metadata"], scripted.requests) == ({}, [])


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("", "code", "The cell is empty."),
        ("# One\n\n# Two", "markdown", "The cell is Markdown."),
        ("x = 1\n\nfor y in", "code", "The cell is not valid Python."),
        ("x = 1", "code", "The cell has only one part."),
    ],
)
def test_why_a_cell_is_not_split_is_said(page: LabPage, source: str, kind: str, said: str) -> None:
    assert act(page, "split", {**cell(source), "kind": kind})["text"].startswith(said)


def test_what_is_accepted_is_known_to_an_audit(
    page: LabPage, scripted: ScriptedEngine, tmp_path: Path
) -> None:
    old = "# Generated by other (jupyter_llm 0123456789ab)\nx = 1"
    scripted.replies.append("x = 2\n```")
    found = act(page, "edit", cell(old), instruction="two")
    assert (found["before"], found["source"]) == (old, "x = 2")
    cells = [nbformat.v4.new_code_cell(found["source"], metadata=found["metadata"])]
    path = tmp_path / "accepted.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (item,) = audit(path)
    assert (item.state, item.model) == ("recorded", "scripted")


def test_a_record_says_who_wrote_it_and_whether_it_was_edited(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("x = 2\n```")
    found = act(page, "edit", cell("x = 1"), instruction="two")
    said = page.answer("record", metadata=found["metadata"], text="x = 2")
    assert "scripted" in said
    assert "unchanged" in said
    said = page.answer("record", metadata=found["metadata"], text="x = 3")
    assert "edited later" in said
    assert "no record" in page.answer("record", metadata={}, text=None)
    damaged = {"jupyter_llm": {**json.loads(found["metadata"]["jupyter_llm"]), "seed": "<b>"}}
    assert "is damaged" in page.answer("record", metadata=damaged, text=None)


FIRST = {"source": "x = [0]", "wish": "Count from one.", "count": 1, "language": "python"}


@pytest.mark.parametrize(
    ("action", "source", "reply"),
    [
        ("edit", "x = 1", "x = [1]"),
        ("continue", "x = 1", "y = 1"),
        ("next", "x = 1", "y = 1"),
        ("fix", "x = y", "x = [1]"),
        ("document", "def f():\n    pass", "Do nothing."),
        ("test", "def f(x):\n    return 2 * x", "f():\n    assert f(1) == 2"),
    ],
)
def test_a_follow_up_is_told_what_was_asked_and_proposed_before(
    page: LabPage, scripted: ScriptedEngine, action: str, source: str, reply: str
) -> None:
    shown = cell(source, error="NameError: name 'y' is not defined")
    scripted.replies.extend([f"{reply}\n```"] * 12)
    assert act(page, action, shown, instruction="as a list")["source"]
    (asked,) = messages_of(scripted.requests[0].prompt)
    scripted.requests.clear()
    assert act(page, action, shown, instruction="as a list", former=FIRST)["source"]
    again, proposed, wish = messages_of(scripted.requests[0].prompt)
    assert again == asked
    assert (proposed.role, proposed.content) == ("assistant", "```python\nx = [0]\n```")
    assert wish.content.startswith("Count from one.")


def test_another_draft_is_another_however_the_model_is_set(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "%config LLMMagics.temperature = 0")
    scripted.replies.extend(["x = 2\n```", "x = 2\n```", "x = 3\n```"])
    act(page, "edit", cell("x = 1"), instruction="two")
    again = {"source": "x = 2", "wish": "", "count": 1}
    found = act(page, "edit", cell("x = 1"), instruction="two", former=again)
    assert found["source"] == "x = 3"  # the first draft is like the former proposal
    first, second, *_ = scripted.requests
    assert messages_of(first.prompt) == messages_of(second.prompt)
    assert second.params.temperature
    assert second.params.seed != first.params.seed


def test_a_mend_that_rules_know_gives_way_to_the_model_when_another_is_asked_for(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "trees = [3, 4]", cell_id="a", store_history=True)
    run(shell, "sum(tree)", cell_id="c", raises=NameError, store_history=True)
    shown = cell("sum(tree)", error="NameError: name 'tree' is not defined")
    mended = act(page, "fix", shown)
    assert (mended["source"], scripted.requests) == ("sum(trees)", [])
    scripted.replies.append("sum(list(trees))\n```")
    again = {"source": mended["source"], "wish": "", "count": 1}
    assert act(page, "fix", shown, former=again)["source"] == "sum(list(trees))"


TEXT = "# Pries\n\nThe prise is in euros.\nIt grows."


@pytest.mark.parametrize(
    ("action", "source", "chosen", "reply", "proposed"),
    [
        ("edit", TEXT, "", f"{TEXT} Fast.", f"{TEXT} Fast."),
        ("edit", TEXT, "It grows.", "# Costs\n\nNo.\nIt falls.", f"{TEXT[:-6]}falls."),
        ("edit", "", "", "# Prices", "# Prices"),
        ("continue", TEXT, "", "\nEach year.", f"{TEXT}\nEach year."),
        ("continue", TEXT, " euros", " And cents.", TEXT.replace("euros.", "euros. And cents.")),
    ],
)
def test_a_cell_of_markdown_is_edited_and_gone_on_with(
    page: LabPage,
    scripted: ScriptedEngine,
    action: str,
    source: str,
    chosen: str,
    reply: str,
    proposed: str,
) -> None:
    scripted.replies.append(f"{reply}\n```\nThat is it.")
    selection = selected(source, chosen) if chosen else None
    shown = {**cell(source), "kind": "markdown"}
    found = act(page, action, shown, selection=selection, instruction="go")
    assert (found["source"], found["unknown_names"]) == (proposed, [])
    assert "Python" not in told(scripted)


CODE = "```python\nprint(1)\n```"


@pytest.mark.parametrize("end", ["````\nThat is it.", "```\nThat is it.", "```", ""])
@pytest.mark.parametrize(
    ("action", "source", "reply", "proposed"),
    [
        ("edit", TEXT, f"# Prices\n\n{CODE}\n\nIt grows.", f"# Prices\n\n{CODE}\n\nIt grows."),
        ("edit", "", f"Do this:\n\n{CODE}", f"Do this:\n\n{CODE}"),
        ("continue", TEXT, f"\n{CODE}\nOf one.", f"{TEXT}\n{CODE}\nOf one."),
        ("continue", "```python", "\nprint(1)\n```\nOf one.", f"{CODE}\nOf one."),
    ],
)
def test_text_with_a_block_of_code_in_it_is_written_to_its_end(
    page: LabPage,
    scripted: ScriptedEngine,
    action: str,
    source: str,
    reply: str,
    proposed: str,
    end: str,
) -> None:
    scripted.replies.append(f"{reply}\n{end}")
    found = act(page, action, {**cell(source), "kind": "markdown"}, instruction="go")
    assert found["source"] == proposed


@pytest.mark.parametrize("secret", ["password: letmein", "password: hun7"])
def test_secrets_of_a_text_are_not_told_and_stay_in_it(
    page: LabPage, scripted: ScriptedEngine, secret: str
) -> None:
    text = f"login: anna\n{secret}\nMore"
    scripted.replies.append(f"{redact_mixed(text).text}.\n````")
    found = act(page, "edit", {**cell(text), "kind": "markdown"}, instruction="a full stop")
    assert secret not in str(scripted.requests)
    assert found["source"] == f"{text}."


def test_a_review_of_markdown_names_words_that_the_model_spells_otherwise(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("# Price\n\nThe price is in dollars.\nIt grows fast.\n```")
    found = act(page, "review", {**cell(TEXT), "kind": "markdown"})["text"]
    assert "**line 3**: `prise`, or is it `price`?" in found
    assert "**line 1**: `Pries`, or is it `Price`?" in found
    assert "dollars" not in found
    assert "fast" not in found
    for action in ("fix", "document", "test"):
        said = act(page, action, {**cell(TEXT), "kind": "markdown"})["text"]
        assert said.startswith("The cell is Markdown.")


@pytest.mark.parametrize("action", ["edit", "explain"])
def test_cancel_stops_the_model(page: LabPage, scripted: ScriptedEngine, action: str) -> None:
    scripted.holds = True
    request = ask(page, action, cell("x = 1"), instruction="two")
    page.wait_until(lambda p: any(message["text"] for message in p.of_kind("progress")))
    page.ask("stop", target=request)
    assert page.wait_for_kind("error", id=request)["text"] == "Stopped."
    page.wait_until(lambda p: not any(m["id"] == request for m in p.of_kind("reply")))


def test_an_explanation_stops_if_its_page_disconnects(
    open_page: Callable[..., LabPage], scripted: ScriptedEngine
) -> None:
    page = open_page()
    scripted.holds = True
    ask(page, "explain", cell("x = 1"))
    page.wait_until(lambda p: any(message["text"] for message in p.of_kind("progress")))
    assert scripted.work == "writing"
    page.close()
    until(lambda: scripted.work == "idle")


def test_a_proposal_waits_in_the_kernel_until_a_page_decides_about_it(
    open_page: Callable[..., LabPage], scripted: ScriptedEngine
) -> None:
    page, other = open_page(), open_page()
    scripted.replies.append("x = 2\n```")
    found = act(page, "edit", cell("x = 1"), instruction="two")
    waiting = {"action": "edit", "cell": "c", "instruction": "two", "proposal": found}
    assert other.wait_for_kind("proposed", task="t")["waiting"] == waiting
    page.close()
    later = open_page()
    assert later.answer("open_proposals") == {"t": waiting}
    less = {**waiting, "proposal": {**found, "source": "x = 1.5"}}
    later.answer("keep_proposal", task="t", waiting=less)
    assert other.answer("open_proposals") == {"t": less}
    other.answer("keep_proposal", task="t", waiting=None)
    assert later.wait_for_kind("proposed", task="t", waiting=None)
    assert later.answer("open_proposals") == {}


def test_a_change_of_two_cells_is_a_proposal_at_each_until_another_is_asked_for(
    page: LabPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause, failed = (CellEvent(number=0, source=f"{name} = 1", cell_id=name) for name in "ab")
    other = Proposal(source="b = 2", cell=failed, reason="would fail")
    both = Proposal(source="a = 2", cell=cause, others=(other,))
    made = iter([both, replace(both, others=())])
    monkeypatch.setattr(actions, "fix_shown", lambda _task, _cell: next(made))
    shown = cell("b = 1", "b", "NameError: c")
    found = act(page, "fix", shown)
    assert (found["cell"], found["source"]) == ("a", "a = 2")
    waiting = page.wait_for_kind("proposed", task="t/1")["waiting"]
    assert (waiting["action"], waiting["cell"]) == ("fix", "b")
    assert waiting["proposal"] == {
        **found,
        "cell": "b",
        "before": "b = 1",
        "source": "b = 2",
        "markdown": "The cell would fail.",
    }
    assert [*page.answer("open_proposals")] == ["t", "t/1"]
    act(page, "fix", shown)
    page.wait_for_kind("proposed", task="t/1", waiting=None)
    assert [*page.answer("open_proposals")] == ["t"]


def test_what_a_page_asked_for_is_proposed_in_the_next_if_the_page_was_reloaded_meanwhile(
    open_page: Callable[..., LabPage], scripted: ScriptedEngine
) -> None:
    page = open_page()
    scripted.may_write.clear()
    scripted.replies.append("x = 2\n```")
    page.wait_for_kind("ack", id=ask(page, "edit", cell("x = 1"), instruction="two"))
    page.close()
    later = open_page()
    scripted.may_write.set()
    waiting = later.wait_for_kind("proposed", task="t")["waiting"]
    assert waiting["proposal"]["source"] == "x = 2"


def test_the_options_are_those_that_are_configured(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "%config LLMMagics.temperature = 0.25")
    scripted.replies.extend(["said", "x = 2\n```"])
    act(page, "explain", cell("x = 1"))
    act(page, "edit", cell("x = 1"), instruction="two")
    assert {request.params.temperature for request in scripted.requests} == {0.25}


def test_actions_go_on_while_a_cell_runs(tmp_path: Path) -> None:
    with running_kernel(tmp_path, HOME=str(tmp_path)) as kernel:
        prepare(kernel, tmp_path)
        kernel.execute("%load_ext jupyter_llm\nengine.replies.append('x = 2\\n```')")
        page = KernelPage(kernel)
        page.hello()
        busy = kernel.start("import time\nprint('asleep')\ntime.sleep(60)")
        busy.wait_until(lambda cell: "asleep" in cell.text)
        assert act(page, "edit", cell("x = 1"), instruction="two")["source"] == "x = 2"
        kernel.interrupt()
        assert busy.finish().error == "KeyboardInterrupt"


def test_a_page_shows_no_step_in_a_hidden_cell_that_the_kernel_does_not_know(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "def share(total):\n    return 471108 / total", cell_id="a", store_history=True)
    run(shell, "%llm /hide 1")
    step = "Cell In[1], line 2, in share(total)\n----> 2     return 471108 / total"
    error = f"OddError  Traceback\n----> 1 share(0)\n\n{step}\n\nOddError: by\nzero"
    for action in ("explain", "fix"):
        scripted.replies.append("share(1)\n```")
        act(page, action, cell("share(0)", error=error))
        assert "471108" not in told(scripted)
        assert "OddError: by\nzero" in told(scripted)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such part"), f"ValueError: no such part. {OUR_BUG}"),
        (OptionError("There is no cell 3."), "There is no cell 3."),
        (OSError("No space left on device"), "OSError: No space left on device"),
    ],
    ids=["ours", "on purpose", "the machine's"],
)
def test_only_an_error_that_nobody_expected_is_called_a_bug_with_where_to_report_it(
    page: LabPage, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    def explain(*_args: object) -> None:
        raise error

    monkeypatch.setattr(actions, "explain", explain)
    assert act(page, "explain", cell("x = 1"))["text"] == text
