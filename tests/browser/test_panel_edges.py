"""The chat panel where pages, notebooks and people are not as one thinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.panel_page import PanelPage, a_snapshot, a_turn, example
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

CODE = "```python\nprint(len(df))\n```"
PREPARED = example("prepared")
PROPOSAL = example("notice")["notice"]["proposal"]
NOTICE = {**example("notice")["notice"], "after": 1}


def write(chat: PanelPage, index: int, source: str) -> None:
    """Type into a cell of the notebook."""
    chat.page.evaluate(
        "([index, source]) => panelPage.notebook.cells[index].sharedModel.setSource(source)",
        [index, source],
    )


# Pages


@pytest.fixture
def insecure_chat(page: Page, panel_address: str, panel_folder: Path) -> PanelPage:
    """Return a page for a panel as from a server on another machine, without TLS."""

    def answer(route: Route) -> None:
        route.fulfill(path=panel_folder / route.request.url.partition("?")[0].rpartition("/")[2])

    page.route("http://lab.example/**", answer)
    return PanelPage(page, "http://lab.example/index.html")


def test_a_panel_works_on_a_page_that_is_not_secure(insecure_chat: PanelPage) -> None:
    insecure_chat.open(a_snapshot(a_turn(1, text="One.\n\nTwo.")))
    assert not insecure_chat.page.evaluate("() => isSecureContext")
    insecure_chat.button("Copy").click()
    box = insecure_chat.page.get_by_role("textbox")
    box.press("ControlOrMeta+v")
    expect(box).to_have_value("One.\n\nTwo.")
    box.press("Enter")
    assert insecure_chat.wait_for("send")["text"] == "One.\n\nTwo."


def test_ids_are_those_of_one_element_however_many_panels_there_are(chat: PanelPage) -> None:
    chat.open()
    # As anywidget does it: each model has loaded the script for itself.
    chat.page.evaluate(
        """async () => {
            const source = await (await fetch('chat_panel.js')).text();
            const script = new Blob([source], { type: 'text/javascript' });
            const { default: createWidget } = await import(URL.createObjectURL(script));
            panelPage.widget = createWidget();
            panelPage.widget.initialize({ model: panelPage.model });
            await panelPage.show();
        }"""
    )
    expect(chat.page.locator(".jllm-panel")).to_have_count(2)
    ids = chat.page.locator("[id]").evaluate_all("nodes => nodes.map(({ id }) => id)")
    assert len(ids) == len(set(ids)) > 0


# The focus, without which keys go nowhere


@pytest.mark.parametrize("where", ["turn", "composer"])
def test_who_has_stopped_an_answer_can_type_on(chat: PanelPage, where: str) -> None:
    chat.open(a_snapshot(a_turn(1, state="writing", finish_reason=None, usage=None)))
    stops = chat.button("Stop")
    (stops.first if where == "turn" else stops.last).press("Enter")
    chat.tell({"type": "turn", "turn": a_turn(1, finish_reason="cancelled"), "id": None})
    expect(stops).to_have_count(0)
    expect(chat.page.get_by_role("textbox")).to_be_focused()


def test_what_comes_in_takes_the_focus_from_nobody(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1)))
    chat.button("Copy").first.focus()
    chat.tell({"type": "turn", "turn": a_turn(2), "id": None}, {"type": "path", "path": [1, 2]})
    expect(chat.button("Copy").first).to_be_focused()
    chat.page.evaluate("() => document.activeElement.blur()")
    chat.tell({"type": "path", "path": [1]})
    expect(chat.page.locator("body")).to_be_focused()


@pytest.mark.parametrize("answer", ["Accept", "Reject"])
def test_the_focus_goes_back_to_where_the_offer_came_from(chat: PanelPage, answer: str) -> None:
    chat.open(a_snapshot(a_turn(1, text=CODE)), cells=["a = 1"], prepare=PREPARED)
    chat.page.locator(".jp-Cell").click()
    chat.button("Replace cell").press("Enter")
    chat.button(answer).press("Enter")
    expect(chat.button(answer)).to_have_count(0)
    expect(chat.button("Replace cell")).to_be_focused()


def test_a_proposal_that_landed_leaves_the_focus_on_close(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1)), land=example("landed"))
    chat.tell({"type": "notice", "notice": NOTICE})
    chat.button("Accept").press("Enter")
    expect(chat.button("Close")).to_be_focused()


# Kernels that are gone


def test_a_prompt_that_cannot_be_sent_is_not_lost(chat: PanelPage) -> None:
    chat.open(cells=["a = 1"])
    chat.page.evaluate("() => { panelPage.model.send = () => { throw new Error('gone'); }; }")
    chat.page.locator(".jp-Cell").click()
    chat.button("Attach cell").click()
    box = chat.page.get_by_role("textbox")
    box.fill("A long prompt")
    box.press("Enter")
    expect(chat.panel.get_by_role("alert")).to_contain_text("The kernel of this panel is gone.")
    expect(box).to_have_value("A long prompt")
    expect(chat.panel.locator(".jllm-chip")).to_have_count(1)
    expect(chat.turns).to_have_count(0)


# Languages and keyboards


def test_text_begins_on_the_side_where_its_language_does(chat: PanelPage) -> None:
    text = "زرافه `a.b()` حيوان.\n\n- אחד\n\nEnglish\n\n```python\n# שלום\n```\n\nאז $x < y$"
    chat.open(a_snapshot(a_turn(1, prompt="שלום", text=text)))
    sides = chat.panel.locator(
        ".jllm-markdown :is(p:not(.jllm-warning), li, pre, math)"
    ).evaluate_all(
        "nodes => nodes.map(node => `${node.localName} ${getComputedStyle(node).direction}`)"
    )
    assert sides == ["p rtl", "li rtl", "p ltr", "pre ltr", "p rtl", "math ltr"]
    for field in (chat.panel.locator(".jllm-prompt-text"), chat.page.get_by_role("textbox")):
        expect(field).to_have_attribute("dir", "auto")


@pytest.mark.parametrize("key", ["Tab", "Enter"])
def test_a_suggestion_that_was_taken_can_be_undone(chat: PanelPage, key: str) -> None:
    suggestions = {**example("suggestions"), "start": 8, "end": 10}
    chat.open(complete=suggestions)
    box = chat.page.get_by_role("textbox")
    box.press_sequentially("What is @d")
    expect(chat.page.get_by_role("listbox")).to_be_visible()
    box.press(key)
    expect(box).to_have_value(f"What is {suggestions['items'][0]['text']}")
    box.press("ControlOrMeta+z")
    expect(box).to_have_value("What is @d")


# Cells that are not what they were


def test_a_cell_that_has_changed_is_not_replaced_unseen(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1, text=CODE)), cells=["a = 1"], prepare=PREPARED)
    chat.page.locator(".jp-Cell").click()
    chat.button("Replace cell").click()
    write(chat, 0, "a = 1\nmine = 2")
    chat.button("Accept").click()
    expect(chat.panel.locator(".jllm-offer")).to_contain_text("Cell 1 has changed meanwhile.")
    expect(chat.panel.locator(".jllm-diff-removed").last).to_have_text("-mine = 2")
    assert chat.cells()[0]["source"] == "a = 1\nmine = 2"
    chat.button("Accept").click()
    expect(chat.panel.locator(".jllm-note")).to_have_text("Cell 1 replaced.")
    assert chat.cells()[0]["source"] == PREPARED["source"]


def test_a_proposal_for_a_cell_that_has_changed_shows_what_it_would_change(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1)), cells=["df['price'].mean()"], prepare=PREPARED)
    cell = chat.page.evaluate("() => panelPage.notebook.cells[0].id")
    chat.tell({"type": "notice", "notice": {**NOTICE, "proposal": {**PROPOSAL, "cell_id": cell}}})
    write(chat, 0, "mine = 2")
    chat.button("Accept").click()
    expect(chat.turns.last).to_contain_text("The cell has changed meanwhile.")
    expect(chat.panel.locator(".jllm-diff-removed")).to_have_text("-mine = 2")
    assert chat.cells()[0]["source"] == "mine = 2"
    chat.button("Accept").click()
    chat.wait_for("dismiss")
    assert chat.cells()[0]["source"] == PREPARED["source"]


def test_a_cell_of_text_is_not_replaced_by_code(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1, text=CODE)), cells=["# Title"], prepare=PREPARED)
    chat.page.evaluate("() => { panelPage.notebook.cells[0].type = 'markdown'; }")
    chat.page.locator(".jp-Cell").click()
    chat.button("Replace cell").click()
    expect(chat.panel.locator(".jllm-note")).to_contain_text("Cell 1 holds no code.")


def test_a_proposal_accepted_twice_is_one_cell(chat: PanelPage) -> None:
    chat.open(a_snapshot(a_turn(1)), cells=["a = 1"])
    new = {**PROPOSAL, "cell_id": None, "before": None}
    chat.tell({"type": "notice", "notice": {**NOTICE, "proposal": new}})
    chat.button("Accept").dblclick()
    (_,) = chat.sent("prepare")
    chat.tell({**PREPARED, "id": chat.last_id("prepare")})
    chat.wait_for("dismiss")
    chat.button("Accept").click()
    assert len(chat.cells()) == 2
