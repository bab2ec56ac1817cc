"""Cells that an agent proposes, on pages of this process: what they show, and what agents hear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.lab_page import LabPage
from support.seal import needs_seal
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.errors import OptionError
from jupyter_llm.frontends.lab.target import Sessions
from jupyter_llm.frontends.mcp import tools
from jupyter_llm.frontends.mcp.review import CellChange, proposal_state, propose_cells

SOURCES = {"a": "price = 3", "text": "# Prices", "b": "total = price * 2", "off": "salt = 1"}


@pytest.fixture
def page(shell: InteractiveShell) -> Iterator[LabPage]:
    """A page with a notebook, whose last cell is hidden."""
    sessions = Sessions(llm)
    page = LabPage(sessions)
    page.hello()
    cells = [
        {
            "cell_id": one,
            "kind": "markdown" if one == "text" else "code",
            "source": source,
            "is_off": one == "off",
        }
        for one, source in SOURCES.items()
    ]
    page.answer("cells", revision=1, at=0, remove=0, insert=cells)
    run(shell, "price = 3", cell_id="a", store_history=True)
    yield page
    sessions.close()


def propose(*cells: CellChange) -> str:
    return propose_cells(llm.task(), list(cells))


def change(action: Any, cell_id: str = "", source: str = "") -> CellChange:
    return CellChange(action=action, cell_id=cell_id, source=source)


def shown(page: LabPage) -> dict[str, dict[str, Any]]:
    waiting: dict[str, dict[str, Any]] = page.answer("open_proposals")
    return waiting


@needs_seal
def test_a_page_shows_new_changed_and_deleted_cells_each_tried_after_those_before(
    page: LabPage, shell: InteractiveShell
) -> None:
    text = propose(
        change("change", "a", "price = 4"),
        change("new", "a", "double = price * 2"),
        change("new", "a", "double / 0"),
        change("change", "text", "# Costs"),
        change("delete", "b"),
    )
    proposals = [one["proposal"] for one in shown(page).values()]
    assert [(one["cell"], one["before"], one["source"], one["below"]) for one in proposals] == [
        ("a", "price = 3", "price = 4", []),
        ("a", None, "double = price * 2", ["double / 0"]),
        ("text", "# Prices", "# Costs", []),
        ("b", "total = price * 2", "", []),
    ]
    assert "ran in a sealed copy" in proposals[0]["markdown"]
    assert "ZeroDivisionError" in proposals[1]["markdown"]
    assert proposals[2]["markdown"] == proposals[3]["markdown"] == ""
    assert "2. 2 new below a (" in text
    assert "4. delete b: not decided yet" in text
    assert shell.user_ns["price"] == 3


def test_an_agent_hears_what_the_person_accepted_rejected_and_left_out(page: LabPage) -> None:
    propose(change("change", "a", "price = 4"), change("delete", "text"), change("new", "", "x"))
    first, second, third = shown(page)
    less = shown(page)[first]
    less["proposal"]["source"] = "price = 3.5"
    page.answer("keep_proposal", task=first, waiting=less)
    page.answer("keep_proposal", task=first, waiting=None, is_accepted=True)
    page.answer("keep_proposal", task=second, waiting=None)
    assert "not decided yet" in proposal_state(llm.task(), wait_s=0)
    page.answer("keep_proposal", task=third, waiting=None, is_accepted=True)
    state = proposal_state(llm.task(), wait_s=60)
    assert "accepted in part, as\n```python\nprice = 3.5\n```" in state
    assert "2. delete text: rejected" in state
    assert state.endswith(": accepted")


def test_an_agent_hears_that_the_cell_of_its_proposal_is_gone(page: LabPage) -> None:
    propose(change("change", "a", "price = 4"), change("delete", "b"))
    page.answer("cells", revision=2, at=0, remove=1, insert=[])  # without a decision
    _, deleted = shown(page)
    page.answer("keep_proposal", task=deleted, waiting=None, is_accepted=True)
    page.answer("cells", revision=3, at=1, remove=1, insert=[])
    changed, deleted = proposal_state(llm.task(), wait_s=60).splitlines()
    assert changed.endswith(": not accepted, and its cell is gone")
    assert deleted == "2. delete b: accepted"


@needs_seal
def test_texts_are_proposed_among_code_as_markdown_and_are_not_tried(page: LabPage) -> None:
    heading = CellChange(action="new", source="## Not Python", cell_type="markdown")
    propose(heading, change("new", source="1 / 0"), change("change", "text", "# Costs"))
    new, changed = [one["proposal"] for one in shown(page).values()]
    assert (new["source"], new["below"]) == ("## Not Python", ["1 / 0"])
    assert (new["kinds"], changed["kinds"]) == (["markdown", "code"], [])
    assert new["markdown"].count("the code") == new["markdown"].count("ZeroDivisionError") == 1


def test_a_second_proposal_waits_until_the_person_has_decided_about_the_first(
    page: LabPage,
) -> None:
    propose(change("delete", "b"))
    with pytest.raises(OptionError, match="Another proposal waits for the person"):
        propose(change("delete", "a"))
    (name,) = shown(page)
    page.answer("keep_proposal", task=name, waiting=None)
    assert "1. delete a: not decided yet" in propose(change("delete", "a"))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([change("delete", "off")], "Cell 1: there is no cell 'off'."),
        ([change("new", "off", "x")], "Cell 1: there is no cell 'off'."),
        ([change("change", "a", "price = 3\n")], "Cell 1: it changes nothing."),
        (
            [CellChange(action="change", cell_id="a", source="# P", cell_type="markdown")],
            "Cell 1: a change keeps the cell's type",
        ),
        ([change("change", "a", " ")], "Cell 1: the source is empty"),
        ([change("new", "a", "x = '\u202e'")], "Cell 1: no reader sees the character U+202E"),
        ([change("new", "a", "\x1b[31mx")], "Cell 1: no reader sees the character U+001B"),
        ([change("delete", "a"), change("change", "a", "x")], "Cell 2: an earlier one changes"),
        (
            [change("delete", "a"), change("new", "a", "x")],
            "A new cell cannot come below a deleted",
        ),
    ],
)
def test_a_proposal_that_makes_no_sense_is_refused_in_one_line(
    page: LabPage, cells: list[CellChange], reason: str
) -> None:
    with pytest.raises(OptionError) as error:
        propose(*cells)
    assert str(error.value).startswith(reason)
    assert "\n" not in str(error.value)
    assert shown(page) == {}


def test_without_a_page_nobody_can_see_a_proposal(page: LabPage) -> None:
    page.close()
    with pytest.raises(OptionError, match="No page shows this notebook"):
        propose(change("delete", "a"))


def test_the_notebook_is_read_in_its_order_without_hidden_cells(page: LabPage) -> None:
    assert tools.read_notebook(llm.task()) == (
        "<!-- id a: cell [1] -->\n```python\nprice = 3\n```\n\n"
        "<!-- id text: markdown -->\n# Prices\n\n"
        "<!-- id b: not run as it is -->\n```python\ntotal = price * 2\n```"
    )
