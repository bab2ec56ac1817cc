"""Code and proposals on their way into cells; the tests are the kernel and the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browser.panel_page import PanelPage, a_chat, a_result, a_turn, an_example
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

CODE = "Try:\n\n```python\nprint(len(dff))\n```\n\nand\n\n```python\nimport seaborn\n```\n"
CHECKED: list[dict[str, Any]] = [
    {"unknown_names": ["dff"], "missing_modules": []},
    {"unknown_names": [], "missing_modules": ["seaborn"]},
]
PREPARED = a_result("prepare")
LANDED = a_result("land")
NOTICE = {**an_example("notices", "notice"), "after": 1}
(PROPOSAL,) = NOTICE["proposals"]


@pytest.fixture
def page(bare_page: Page) -> Page:
    """The page that the tests of this file share, each of which loads it anew."""
    return bare_page


def show_code(chat: PanelPage, *cells: str, text: str = CODE, prepare: Any = PREPARED) -> None:
    """Show an answer with code beside a notebook whose last cell is the active one."""
    chat.open(a_chat(a_turn(1, text=text)), cells=list(cells), prepare=prepare)
    chat.page.locator(".jp-Cell").last.click()


def sources(chat: PanelPage) -> list[str]:
    return [cell["source"] for cell in chat.cells()]


def press(button: Locator, chat: PanelPage, meanwhile: Callable[[], None]) -> None:
    """Press a button, and do something else before the kernel has prepared the code."""
    chat.page.evaluate("() => { delete panelPage.model.answers.prepare; }")
    button.click()
    meanwhile()
    ids = [call["id"] for call in chat.calls("prepare")]
    chat.tell(*({"type": "reply", "id": each, "value": PREPARED} for each in ids))
    chat.answer(prepare=PREPARED)


# Code


def test_names_that_do_not_exist_are_marked(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1, text=CODE)), check=CHECKED)
    expect(chat.panel.locator(".jllm-code .jllm-warning")).to_have_text(
        ["Not defined: dff.", "Not installed: seaborn."]
    )
    assert chat.sent("check")[0]["sources"] == ["print(len(dff))", "import seaborn"]
    marked = chat.page.evaluate(
        """() => [...CSS.highlights.get('jllm-unknown-name')].map(range =>
            range.startContainer.data.slice(range.startOffset, range.endOffset))"""
    )
    assert marked == ["dff", "seaborn"]


def test_the_last_answers_code_is_tried_and_what_is_pointed_at_and_mends_are_said(
    chat: PanelPage,
) -> None:
    mended, plain = "mended: `citi` is no column", "mended: citi is no column"
    results = [
        {**one, "note": note}
        for one, note in zip(CHECKED, [f"ran in a sealed copy; {mended}", ""], strict=True)
    ]
    turns = [a_turn(number, text=f"{CODE}```\nIt shows 4\n```\n") for number in (1, 2)]
    prepare = {**PREPARED, "note": mended}
    chat.open(a_chat(*turns), cells=["a"], check=results, prepare=prepare)
    lines = chat.turns.nth(1).locator(".jllm-code > p")
    expect(lines).to_have_text([f"ran in a sealed copy; {plain}", "Not installed: seaborn.", ""])
    assert chat.sent("check")[0]["sources"] == ["print(len(dff))", "import seaborn"]
    assert {one["origin"]["number"] for one in chat.sent("check") if one["tries"]} == {2}
    chat.turns.first.locator("pre").first.hover()
    chat.page.wait_for_function(
        "() => panelPage.model.sent.some("
        "({ arguments: code }) => code.tries && code.origin.number === 1)"
    )
    chat.page.locator(".jp-Cell").last.click()
    chat.button("Insert below").last.click()
    expect(chat.panel.locator(".jllm-code-below").last).to_have_text(f"Inserted; {plain}.")
    chat.button("Insert all").last.click()
    expect(chat.turns.nth(1).locator(".jllm-code-below:not(:empty)")).to_have_text(
        [f"Inserted; {plain}."] * 3
    )


def test_code_goes_below_the_active_cell_with_its_record(chat: PanelPage) -> None:
    show_code(chat, "a = 1", "b = 2", "c = 3")
    chat.page.locator(".jp-Cell").nth(1).click()
    press(chat.button("Insert below").first, chat, chat.page.locator(".jp-Cell").first.click)
    expect(chat.button("Inserted")).to_be_visible()
    assert sources(chat) == ["a = 1", "b = 2", PREPARED["source"], "c = 3"]
    assert chat.cells()[2]["metadata"] == PREPARED["metadata"]
    assert chat.sent("prepare")[0]["origin"]["number"] == 1


def test_code_that_replaces_a_cell_is_proposed_there_with_what_is_known_of_it(
    chat: PanelPage,
) -> None:
    turn = a_turn(1, text=CODE)
    prepare = {**PREPARED, "note": "mended: `citi` is no column"}
    chat.open(a_chat(turn), cells=["a = 1", "b = 2"], prepare=prepare, check=CHECKED)
    replace, note = chat.button("Replace cell").first, chat.panel.locator(".jllm-code-below").first
    replace.click()
    expect(note).to_contain_text("Click into the cell")
    chat.page.locator(".jp-Cell").nth(1).click()
    replace.press("Enter")
    expect(note).to_have_text("The proposal is shown in cell 2. Decide about it there.")
    (change,) = chat.proposed()
    assert change.pop("cell") == chat.page.evaluate("() => panelPage.notebook.cells[1].id")
    assert change == {
        "before": "b = 2",
        "source": PREPARED["source"],
        "metadata": PREPARED["metadata"],
        "markdown": prepare["note"],
        "unknown_names": ["dff"],
        "runs": [],
    }
    assert sources(chat) == ["a = 1", "b = 2"]


def test_what_is_read_only_stays_and_the_panel_says_why(chat: PanelPage) -> None:
    show_code(chat, "a = 1")
    chat.page.evaluate("() => { panelPage.notebook.cells[0].metadata.editable = false; }")
    chat.button("Replace cell").first.click()
    expect(chat.panel.locator(".jllm-note")).to_contain_text("The cell is read-only.")
    chat.page.evaluate("() => { panelPage.notebook.context.model.readOnly = true; }")
    chat.button("Insert below").first.click()
    expect(chat.panel.locator(".jllm-note")).to_contain_text("The notebook is read-only.")
    assert sources(chat) == ["a = 1"]


def test_without_a_notebook_the_panel_says_so_and_the_kernel_brings_code_into_a_cell(
    chat: PanelPage,
) -> None:
    chat.open(a_chat(a_turn(1, text=CODE)), land=LANDED)
    expect(chat.panel).to_contain_text("The cells of this page are out of reach")
    for name in ("Attach cell", "Replace cell"):
        expect(chat.button(name)).to_have_count(0)
    expect(chat.button("Insert all")).to_be_hidden()
    chat.button("Insert below").first.click()
    expect(chat.panel.locator(".jllm-note")).to_have_text(LANDED)
    chat.change(notices={NOTICE["id"]: NOTICE})
    chat.button("Replace cell").click()
    expect(chat.turns.last.locator(".jllm-note")).to_have_text(LANDED)
    assert [sent["in_place"] for sent in chat.sent("land")] == [False, True]
    for has_extension in (False, True):
        turn = a_chat(a_turn(1, text=CODE))
        chat.open(turn, cells=["df = load()"], has_extension=has_extension)
        expect(chat.button("Replace cell")).to_have_count(2 * has_extension)
        expect(chat.panel.get_by_text("out of reach")).to_have_count(1 - has_extension)


def test_changes_that_a_command_proposes_are_shown_once_in_their_cells_as_these_were_then(
    chat: PanelPage,
) -> None:
    chat.open(a_chat(a_turn(1)), cells=["edited = 1", "b = 2"], prepare=PREPARED)
    cell, second = chat.page.evaluate("() => panelPage.notebook.cells.map(({ id }) => id)")
    proposal = {**PROPOSAL, "cell": cell}
    other = {**PROPOSAL, "cell": second, "before": "b = 2", "source": "b = 3"}
    chat.change(notices={NOTICE["id"]: {**NOTICE, "proposals": [proposal]}})
    shown = chat.turns.nth(1)
    expect(shown.locator(".jllm-code")).to_contain_text("-df['price'].mean()")
    expect(shown.get_by_role("button")).to_have_text(["Copy", "Show at the cell", "Close"])
    assert chat.proposed() == []  # another page asked, or this one before it was reloaded
    chat.send("/fix")
    own = chat.last_id("send")
    chat.change(notices={own: {**NOTICE, "id": own, "proposals": [proposal, other]}})
    expect(chat.turns.last.locator(".jllm-note")).to_contain_text("shown in cell 1")
    assert chat.sent("prepare")[0]["origin"]["notice"] == own
    behind, change = chat.proposed()
    assert (behind["cell"], behind["before"]) == (second, "b = 2")
    assert (change["cell"], change["before"]) == (cell, PROPOSAL["before"])
    shown.get_by_role("button", name="Show at the cell").click()
    expect(shown.locator(".jllm-note")).to_contain_text("shown in cell 1")
    assert len(chat.proposed()) == 3


def test_cells_that_a_command_proposes_to_run_are_offered_at_the_cell_that_needs_them(
    chat: PanelPage,
) -> None:
    chat.open(a_chat(a_turn(1)), cells=["x = y"])
    cell = chat.page.evaluate("() => panelPage.notebook.cells[0].id")
    known = {"cell": cell, "before": "x = y", "source": "x = y", "runs": ["y"]}
    notice = {**NOTICE, "proposals": [{**PROPOSAL, **known}], "markdown": "`y` first."}
    chat.change(notices={NOTICE["id"]: notice})
    shown = chat.turns.nth(1)
    expect(shown.get_by_role("button")).to_have_text(["Show at the cell", "Close"])
    chat.button("Show at the cell").click()
    (change,) = chat.proposed()
    assert change == {**change, **known, "markdown": "`y` first."}
