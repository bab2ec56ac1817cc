"""Code and proposals on their way into cells; the tests are the kernel and the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browser.panel_page import PanelPage, a_snapshot, a_turn, example
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

CODE = "Try:\n\n```python\nprint(len(dff))\n```\n\nand\n\n```python\nimport seaborn\n```\n"
CHECKED: dict[str, Any] = {
    "type": "checked",
    "results": [
        {"unknown_names": ["dff"], "missing_modules": []},
        {"unknown_names": [], "missing_modules": ["seaborn"]},
    ],
}
PREPARED = example("prepared")
LANDED = example("text")
NOTICE = {**example("notice-error"), "after": 1, "level": "info"}
PROPOSAL = example("notice")["proposal"]


@pytest.fixture
def page(bare_page: Page) -> Page:
    """The page that the tests of this file share, each of which loads it anew."""
    return bare_page


def show_code(chat: PanelPage, *cells: str, text: str = CODE, prepare: Any = PREPARED) -> None:
    """Show an answer with code beside a notebook whose last cell is the active one."""
    chat.open(a_snapshot(a_turn(1, text=text)), cells=list(cells), prepare=prepare)
    chat.page.locator(".jp-Cell").last.click()


def propose(chat: PanelPage, *cells: str, markdown: str = "", **changes: Any) -> None:
    """Show a proposal to change the last of these cells, which is the active one."""
    chat.open(a_snapshot(a_turn(1)), cells=list(cells), prepare=PREPARED)
    cell = chat.page.evaluate("() => panelPage.notebook.cells.at(-1).id")
    proposal = {**PROPOSAL, "cell": cell, **changes}
    chat.tell({**NOTICE, "markdown": markdown, "proposal": proposal})
    chat.page.locator(".jp-Cell").last.click()


def sources(chat: PanelPage) -> list[str]:
    return [cell["source"] for cell in chat.cells()]


def write(chat: PanelPage, source: str) -> None:
    """Type into the last cell of the notebook."""
    chat.page.evaluate(
        "source => panelPage.notebook.cells.at(-1).sharedModel.setSource(source)", source
    )


def press(button: Locator, chat: PanelPage, meanwhile: Callable[[], None]) -> None:
    """Press a button, and do something else before the kernel has prepared the code."""
    chat.page.evaluate("() => { delete panelPage.model.answers.prepare; }")
    button.click()
    meanwhile()
    prepare = "panelPage.model.sent.filter(({ type }) => type === 'prepare')"
    ids = chat.page.evaluate(f"() => {prepare}.map(({{ id }}) => id)")
    chat.tell(*({**PREPARED, "id": each} for each in ids))
    chat.answer(prepare=PREPARED)


# Code


def test_names_that_do_not_exist_are_marked(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1, text=CODE)), check=CHECKED)
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
        for one, note in zip(CHECKED["results"], [f"runs; {mended}", ""], strict=True)
    ]
    turns = [a_turn(number, text=f"{CODE}```\nIt shows 4\n```\n") for number in (1, 2)]
    prepare = {**PREPARED, "note": mended}
    chat.open(
        a_snapshot(*turns), cells=["a"], check={**CHECKED, "results": results}, prepare=prepare
    )
    lines = chat.turns.nth(1).locator(".jllm-code > p")
    expect(lines).to_have_text([f"runs; {plain}", "Not installed: seaborn.", ""])
    assert chat.sent("check")[0]["sources"] == ["print(len(dff))", "import seaborn"]
    assert {one["number"] for one in chat.sent("check") if one["tries"]} == {2}
    chat.turns.first.locator("pre").first.hover()
    chat.page.wait_for_function(
        "() => panelPage.model.sent.some(one => one.tries && one.number === 1)"
    )
    chat.page.locator(".jp-Cell").last.click()
    chat.button("Insert below").last.click()
    expect(chat.panel.locator(".jllm-code-below").last).to_have_text(f"Inserted; {plain}.")
    chat.button("Replace cell").last.click()
    chat.button("Accept").click()
    expect(chat.panel.locator(".jllm-code-below").last).to_have_text(f"Cell 1 replaced; {plain}.")
    chat.button("Insert all").last.click()
    said = [f"Inserted; {plain}."] * 2 + [f"Cell 1 replaced; {plain}."]
    expect(chat.turns.nth(1).locator(".jllm-code-below:not(:empty)")).to_have_text(said)


def test_code_goes_below_the_active_cell_with_its_record(chat: PanelPage) -> None:
    show_code(chat, "a = 1", "b = 2", "c = 3")
    chat.page.locator(".jp-Cell").nth(1).click()
    press(chat.button("Insert below").first, chat, chat.page.locator(".jp-Cell").first.click)
    expect(chat.button("Inserted")).to_be_visible()
    assert sources(chat) == ["a = 1", "b = 2", PREPARED["source"], "c = 3"]
    assert chat.cells()[2]["metadata"] == PREPARED["metadata"]
    assert chat.sent("prepare")[0]["number"] == 1


def test_a_cell_is_replaced_only_after_its_change_was_shown(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1, text=CODE)), cells=["a = 1", "b = 2"], prepare=PREPARED)
    replace, note = chat.button("Replace cell").first, chat.panel.locator(".jllm-code-below").first
    replace.click()
    expect(note).to_contain_text("Click into the cell")
    chat.page.locator(".jp-Cell").nth(1).click()
    replace.press("Enter")
    expect(chat.panel.locator(".jllm-diff-removed")).to_have_text("-b = 2")
    chat.button("Reject").press("Enter")
    expect(replace).to_be_focused()
    assert sources(chat) == ["a = 1", "b = 2"]
    replace.press("Enter")
    expect(chat.button("Accept")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(note).to_have_text("Cell 2 replaced.")
    expect(replace).to_be_focused()
    assert chat.cells()[1] == {"source": PREPARED["source"], "metadata": PREPARED["metadata"]}


def test_a_cell_that_has_changed_is_not_replaced_unseen(chat: PanelPage) -> None:
    show_code(chat, "a = 1")
    chat.button("Replace cell").first.click()
    write(chat, "a = 1\nmine = 2")
    chat.button("Accept").click()
    expect(chat.panel.locator(".jllm-offer")).to_contain_text("Cell 1 has changed meanwhile.")
    expect(chat.panel.locator(".jllm-diff-removed").last).to_have_text("-mine = 2")
    assert sources(chat) == ["a = 1\nmine = 2"]
    chat.button("Accept").click()
    expect(chat.panel.locator(".jllm-note")).to_have_text("Cell 1 replaced.")
    assert sources(chat) == [PREPARED["source"]]


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
    chat.open(a_snapshot(a_turn(1, text=CODE)), land=LANDED)
    expect(chat.panel).to_contain_text("The cells of this page are out of reach")
    for name in ("Attach cell", "Replace cell"):
        expect(chat.button(name)).to_have_count(0)
    expect(chat.button("Insert all")).to_be_hidden()
    chat.button("Insert below").first.click()
    expect(chat.panel.locator(".jllm-note")).to_have_text(LANDED["text"])
    show_code(chat, "df = load()")
    expect(chat.button("Replace cell").first).to_be_visible()
    expect(chat.panel).not_to_contain_text("out of reach")


# Notices and proposals


def test_an_accepted_proposal_changes_its_cell(chat: PanelPage) -> None:
    propose(chat, "a = 1", "df['price'].mean()", markdown=example("notice")["markdown"])
    expect(chat.turns.nth(1).locator(".jllm-diff")).to_have_count(1)
    expect(chat.turns.nth(1).locator(".jllm-code")).to_have_count(0)
    chat.button("Accept").click()
    chat.wait_for("remove")
    assert chat.sent("prepare")[0]["notice"] == NOTICE["id"]
    assert sources(chat) == ["a = 1", PREPARED["source"]]


def test_a_proposal_for_a_new_cell_inserts_one_however_often_it_is_accepted(
    chat: PanelPage,
) -> None:
    propose(chat, "a = 1", "b = 2", cell=None, before=None, unknown_names=["dff\u3164"])
    chat.page.locator(".jp-Cell").first.click()
    expect(chat.turns.nth(1).locator(".jllm-warning")).to_have_text("Not defined: dff[U+3164].")
    chat.page.evaluate("() => { delete panelPage.model.answers.prepare; }")
    chat.button("Accept").dblclick()
    (_,) = chat.sent("prepare")
    chat.page.locator(".jp-Cell").last.click()
    chat.tell({**PREPARED, "id": chat.last_id("prepare")})
    chat.wait_for("remove")
    chat.button("Accept").click()
    assert sources(chat) == ["a = 1", PREPARED["source"], "b = 2"]
