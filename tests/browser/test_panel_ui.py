"""The chat panel as a person meets it; the tests are its kernel and its notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from browser.accessibility import violations
from browser.panel_page import PanelPage, a_chat, a_result, a_turn, an_example, example
from browser.test_panel_code import CODE
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

TOKENS = an_example("notices", "notice-tokens")
PENDING = an_example("pending", "pending")


@pytest.fixture
def page(bare_page: Page) -> Page:
    """The page that the tests of this file share, each of which loads it anew."""
    return bare_page


def writing(number: int, **changes: Any) -> dict[str, Any]:
    open_ends = {"state": "writing", "finish_reason": None, "usage": None, "text": ""}
    return a_turn(number, **{**open_ends, **changes})


# The conversation


# Keeps what is read aloud.
HEAR = """node => {
    window.said = [];
    new MutationObserver(() => window.said.push(node.textContent)).observe(
        node, { childList: true });
}"""


def test_a_prompt_becomes_a_growing_answer_that_is_announced_once_it_is_finished(
    chat: PanelPage,
) -> None:
    chat.open()
    chat.send("Hello")
    assert chat.wait_for("send")["prompt"]["text"] == "Hello"
    expect(chat.turns).to_have_text([re.compile("Hello.*Stop")])
    chat.panel.locator(".jllm-announcer").evaluate(HEAR)
    chat.show(writing(1, prompt="Hello"), path=[1], request=chat.last_id("send"))
    chat.grow(1, "It is **gro")
    expect(chat.answers.locator("strong")).to_have_text("gro")
    chat.grow(1, "wing**.")
    expect(chat.answers).to_have_text("It is growing.")
    expect(chat.turns).to_have_count(1)
    assert chat.page.evaluate("() => window.said") == []
    for _ in range(2):
        chat.show(a_turn(1, prompt="Hello", text="It is growing."), path=[1])
    assert chat.page.evaluate("() => window.said") == ["Answer: It is growing."]
    chat.box.press("ArrowUp")
    expect(chat.box).to_have_value("Hello")


def test_thoughts_are_folded_while_they_grow_and_stay_as_the_reader_has_them(
    chat: PanelPage,
) -> None:
    chat.open(a_chat(writing(1)))
    thoughts, text = chat.turns.locator(".jllm-thoughts"), chat.turns.locator(".jllm-thoughts-text")
    expect(thoughts).to_be_hidden()
    chat.think(1, "Rows,\n\n<b>not")
    expect(thoughts.locator("summary")).to_have_text("Thoughts so far")
    expect(chat.turns.locator(".jllm-progress")).to_contain_text("Thinking…")
    expect(text).to_be_hidden()
    thoughts.locator("summary").click()
    chat.think(1, " columns</b>.")
    expect(text).to_have_text("Rows,\n\n<b>not columns</b>.", use_inner_text=True)
    chat.grow(1, "There are ")
    expect(thoughts.locator("summary")).to_have_text("Thought")
    expect(chat.turns.locator(".jllm-progress")).to_contain_text("Writing…")
    usage = {**a_turn(1)["usage"], "reasoning_tokens": 1212}
    told = {"text": "There are 891.", "reasoning": "Rows,\n\n<b>not columns</b>."}
    chat.show(a_turn(1, usage=usage, **told), path=[1])
    expect(thoughts.locator("summary")).to_have_text("Thought for 1,212 tokens")
    expect(text).to_be_visible()
    expect(chat.answers).to_have_text("There are 891.")


def test_reading_and_loading_show_how_far_they_are(chat: PanelPage) -> None:
    reading = an_example("turns", "turn-reading")["progress"]
    chat.open(
        a_chat(writing(5, parent=0, state="reading"), pending=[{**PENDING, "progress": None}])
    )
    chat.change(turns={"5": {"progress": reading}}, pending={PENDING["id"]: PENDING})
    expect(chat.turns.nth(0)).to_contain_text("Reading 1200 of 4000 tokens")
    expect(chat.turns.nth(1)).to_contain_text("Loading SmolLM2-135M-Instruct: 40%")
    fill = chat.turns.nth(1).locator(".jllm-bar-fill")
    assert fill.evaluate("node => node.style.inlineSize") == "40%"
    expect(chat.turns.nth(1)).to_contain_text(re.compile(r"40%\s*\d+ s"))


# Branches and what can be done with a turn


def test_arrows_step_through_the_answers_and_keep_the_focus(chat: PanelPage) -> None:
    first, second = (a_turn(number, parent=0, siblings=[1, 2]) for number in (1, 2))
    chat.open(a_chat(first))
    expect(chat.panel.locator(".jllm-branch-place")).to_have_text("1/2")
    chat.button("Earlier answer").press("Enter")
    assert chat.sent("choose") == []
    chat.button("Later answer").press("Enter")
    assert chat.sent("choose") == [{"number": 2}]
    chat.show({**second, "text": "Another"}, path=[2])
    expect(chat.answers).to_have_text("Another")
    expect(chat.panel.locator(".jllm-branch-place")).to_have_text("2/2")
    expect(chat.button("Later answer")).to_be_focused()


def test_an_edited_prompt_begins_a_branch(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1), a_turn(2, prompt="How much?")))
    chat.button("Edit").nth(1).click()
    field = chat.page.get_by_label("Edit the prompt")
    expect(field).to_be_focused()
    field.press("Escape")
    expect(chat.turns.nth(1)).to_contain_text("How much?")
    expect(chat.button("Edit").nth(1)).to_be_focused()
    chat.page.keyboard.press("Enter")
    field.fill("How many?")
    chat.button("Save").click()
    (send,) = chat.sent("send")
    assert (send["prompt"]["text"], send["after"]) == ("How many?", 1)
    assert send["like"] == 2  # the shape of its answer stays


def test_answer_again_offers_seeds_and_temperatures_by_keyboard(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1)))
    button = chat.button("Answer again")
    button.focus()
    keyboard = chat.page.keyboard
    choices = chat.page.get_by_role("dialog", name="Answer again")
    for keys in (["Enter"], ["Tab", "Enter"]):
        keyboard.press("Enter")
        expect(chat.button("Again")).to_be_focused()
        for key in keys:
            keyboard.press(key)
        expect(choices).to_be_hidden()
        expect(button).to_be_focused()
    again, another_seed = chat.sent("regenerate")
    assert again == {"number": 1, "seed": None, "temperature": None}
    assert isinstance(another_seed["seed"], int)

    keyboard.press("Enter")
    expect(chat.button("Again")).to_be_focused()
    choices.get_by_label("Temperature").fill("1.5")
    keyboard.press("Enter")
    assert chat.sent("regenerate")[-1]["temperature"] == 1.5

    keyboard.press("Enter")
    expect(choices).to_be_visible()
    keyboard.press("Escape")
    expect(choices).to_be_hidden()
    expect(button).to_be_focused()
    assert len(chat.sent("regenerate")) == 3


def test_the_probabilities_of_an_answer_are_told_by_lines_and_in_words(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1), a_turn(3, parent=1)))
    chat.button("Probabilities").nth(1).click()
    assert chat.wait_for("send")["prompt"]["text"] == "/tokens 2"  # by its place
    notice = {**TOKENS, "id": chat.last_id("send"), "after": 3}
    chat.change(notices={notice["id"]: notice})
    tokens = chat.panel.get_by_role("option")
    expect(tokens).to_have_text(["The sky", " is blue↵\n", "<b>[U+202E]"], use_inner_text=True)
    expect(tokens.nth(2)).to_have_css("border-bottom-width", "4px")
    told = chat.panel.locator(".jllm-tokens + .jllm-note")
    tokens.nth(1).hover()
    expect(told).to_have_text('is blue 41 %; " red" 38 %, " grey" <0.1 %')
    tokens.first.focus()
    expect(told).to_have_text("The sky 97 %")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        chat.page.keyboard.press(key)
    expect(told).to_have_text("<b>[U+202E] 2.0 %")
    expect(tokens.nth(2)).to_be_focused()
    assert violations(chat.page, ".jllm-notice") == []


def test_an_answer_is_deleted_only_after_a_question(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1), a_turn(2)))
    chat.button("Delete").nth(1).click()
    expect(chat.button("No, keep")).to_be_focused()
    chat.page.keyboard.press("Enter")
    assert chat.sent("remove") == []
    chat.button("Delete").nth(1).click()
    chat.button("Yes, delete").click()
    assert chat.sent("remove") == [{"target": 2}]
    chat.change(path=[1], turns={"2": None})
    expect(chat.turns).to_have_count(1)


# The status


def test_the_status_tells_the_model_how_full_it_is_and_how_fast(chat: PanelPage) -> None:
    chat.open().tell(example("activity"))
    status = chat.panel.locator(".jllm-status")
    for words in ("smollm2-135m · idle · KV 12 % · 470 MB", "32%"):
        expect(status).to_contain_text(words)
    gauge = chat.button("Context: 1,310 of 4,096 tokens, 32%")
    gauge.press("Enter")
    for words in ("58.3 tokens/s", "92% cached"):
        expect(chat.panel.get_by_text(words)).to_be_visible()
    legend = chat.panel.locator(".jllm-legend dd")
    expect(legend).to_have_text(["18", "820", "365", "80", "27", "2,786"])
    widths = chat.panel.locator(".jllm-gauge .jllm-part").evaluate_all(
        "parts => parts.map(part => parseFloat(part.style.inlineSize))"
    )
    assert widths == pytest.approx([100 * n / 4096 for n in (18, 820, 365, 80, 27)], abs=0.01)
    chat.page.keyboard.press("Escape")
    expect(legend.first).to_be_hidden()
    expect(gauge).to_be_focused()


def test_a_kernel_that_does_not_answer_is_said_to_be_busy(chat: PanelPage) -> None:
    chat.open()
    chat.page.evaluate("() => { panelPage.model.isSilent = true; }")
    chat.send("Hello")
    waiting = chat.panel.get_by_text("The kernel is busy. This waits for the cell.")
    expect(waiting).to_be_visible()
    chat.page.evaluate("() => panelPage.model.wake()")
    expect(waiting).to_be_hidden()


def test_a_prompt_that_cannot_be_sent_is_not_lost(chat: PanelPage) -> None:
    chat.open(cells=["a = 1"])
    chat.page.evaluate("() => { panelPage.model.send = () => { throw new Error('gone'); }; }")
    chat.page.locator(".jp-Cell").click()
    chat.button("Attach cell").click()
    chat.send("A long prompt")
    expect(chat.panel.get_by_role("alert")).to_contain_text("The kernel of this panel is gone.")
    expect(chat.box).to_have_value("A long prompt")
    expect(chat.panel.locator(".jllm-chip")).to_have_count(1)
    expect(chat.turns).to_have_count(0)


def test_a_prompt_stopped_before_the_first_word_is_in_the_box_again(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1)), cells=["a = 1"])
    chat.page.locator(".jp-Cell").click()
    chat.button("Attach cell").click()
    chat.send("A long prompt")
    request = chat.last_id("send")
    chat.show(writing(2, prompt="A long prompt", state="reading"), path=[1, 2], request=request)
    chat.button("Stop").press("Enter")  # of which there is one
    expect(chat.box).to_be_focused()
    assert chat.wait_for("stop")["target"] == 2
    chat.change(path=[1], turns={"2": None}, returned={request: "A…"})
    expect(chat.box).to_have_value("A…")
    expect(chat.box).to_be_focused()
    expect(chat.panel.locator(".jllm-chip")).to_have_count(1)
    expect(chat.turns).to_have_count(1)
    chat.box.press("Enter")
    first, again = (call["prompt"]["attachments"] for call in chat.sent("send"))
    assert again == first
    chat.box.fill("Something else")  # so there is no room for what comes back
    chat.change(returned={chat.last_id("send"): "A…"})
    chat.box.press("Home")
    chat.box.press("ArrowUp")
    expect(chat.box).to_have_value("A…")
    expect(chat.panel.locator(".jllm-chip")).to_have_count(1)


def test_why_no_cell_can_be_attached_is_said(chat: PanelPage) -> None:
    chat.open(cells=[""])
    hint = chat.panel.locator(".jllm-composer-hint")
    chat.button("Attach cell").click()
    expect(hint).to_have_text("Select a cell first.")
    chat.page.locator(".jp-Cell").click()
    chat.button("Attach cell").click()
    expect(hint).to_have_text("The selected cell is empty.")


# Files

DROP = """([name, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name));
    const box = document.querySelector('.jllm-composer textarea');
    for (const type of ['dragenter', 'dragover', 'drop']) {
        const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
        if (box.dispatchEvent(event)) throw new Error(`nobody takes ${type}`);
    }
}"""


PASTE = """([name, text]) => {
    const clipboardData = new DataTransfer();
    if (name) clipboardData.items.add(new File([text], name));
    else clipboardData.setData('text/plain', text);
    const box = document.querySelector('.jllm-composer textarea');
    const how = { clipboardData, bubbles: true, cancelable: true };
    return box.dispatchEvent(new ClipboardEvent('paste', how));
}"""


def test_a_file_of_the_desktop_goes_along_as_a_cell_does_unless_it_is_no_text(
    chat: PanelPage,
) -> None:
    chat.open()
    chips = chat.panel.locator(".jllm-chip")
    chat.page.evaluate(DROP, ["plot.png", "\x89PNG\0"])
    expect(chat.panel.locator(".jllm-composer-hint")).to_have_text("plot.png is no text.")
    chat.page.evaluate(DROP, ["notes.txt", "Sold by weight."])
    chat.page.evaluate(DROP, ["long.txt", "a" + "é" * 40_000])
    expect(chips).to_contain_text(["notes.txt", "long.txt"])
    assert chat.page.evaluate(PASTE, ["", "a short text"])  # goes into the field
    assert not chat.page.evaluate(PASTE, ["", "Traceback\n" * 500])
    assert not chat.page.evaluate(PASTE, ["pasted.txt", "By the kilo."])
    expect(chips).to_contain_text(["notes.txt", "long.txt", "Pasted text, 5000", "pasted.txt"])
    expect(chat.box).to_be_focused()
    chat.send("How?")
    short, long, text, pasted = chat.wait_for("send")["prompt"]["attachments"]
    assert text["text"] == "Traceback\n" * 500
    assert pasted["text"]["start"] == "By the kilo."
    assert short == {"label": "notes.txt", "text": {"start": "Sold by weight.", "size": 15}}
    assert long["text"] == {"start": "a" + "é" * 32_499, "size": 80_001}  # no half of a character
    expect(chips).to_have_count(0)
    # A name hides no character, and is sent as it is.
    chat.page.evaluate(DROP, ["gpj\u202e.py", "a\u200b = 1"])
    chip = chat.panel.locator(".jllm-chip")
    expect(chip).to_contain_text("gpj[U+202E].py")
    expect(chip.get_by_role("button").last).to_have_accessible_name("Leave out gpj[U+202E].py")
    name = chip.get_by_role("button", name="gpj[U+202E].py", exact=True)
    name.press("Enter")
    expect(name).to_have_attribute("aria-expanded", "true")
    read = chat.panel.get_by_role("group", name="gpj[U+202E].py")
    expect(read).to_have_text("a[U+200B] = 1")
    name.press("Enter")
    expect(read).to_be_hidden()
    chat.page.evaluate(DROP, ["a\u2066.png", "\0"])
    expect(chat.panel.locator(".jllm-composer-hint")).to_have_text("a[U+2066].png is no text.")
    chat.send("What\u200b?")
    assert chat.sent("send")[-1]["prompt"]["attachments"][0]["label"] == "gpj\u202e.py"


# As JupyterLab's file browser and tabs do: their paths are those of the server.
DROP_IN_LAB = """([paths, path]) => {
    const data = paths
        ? { 'application/x-jupyter-icontents': paths }
        : { 'application/vnd.lumino.widget-factory': () => ({ context: { path } }) };
    const mimeData = { hasData: (mime) => mime in data, getData: (mime) => data[mime] };
    const box = document.querySelector('.jllm-composer textarea');
    for (const type of ['lm-dragenter', 'lm-dragover', 'lm-drop']) {
        const event = new Event(type, { bubbles: true, cancelable: true });
        Object.assign(event, { mimeData, proposedAction: 'move', dropAction: 'none' });
        if (box.dispatchEvent(event) || event.dropAction !== 'move') throw new Error(type);
    }
}"""


def test_files_and_tabs_of_jupyterlab_go_along_by_their_way_from_the_notebook(
    chat: PanelPage,
) -> None:
    chat.open(cells=["a = 1"])
    chat.page.evaluate(DROP_IN_LAB, [["work/data/a.csv", "other/b.csv"], None])
    chat.page.evaluate(DROP_IN_LAB, [None, "work/units.py"])
    chat.page.evaluate(DROP_IN_LAB, [None, None])  # a tab without a file
    chat.send("How?")
    assert chat.wait_for("send")["prompt"]["attachments"] == [
        {"label": label, "text": None} for label in ("data/a.csv", "../other/b.csv", "units.py")
    ]


# Scrolling


def distance_from_end(chat: PanelPage) -> float:
    return float(chat.log.evaluate("log => log.scrollHeight - log.clientHeight - log.scrollTop"))


def test_the_newest_line_stays_in_sight_until_one_scrolls_up(chat: PanelPage) -> None:
    long = "\n\n".join(f"Paragraph {number}" for number in range(40))
    chat.open(a_chat(a_turn(1, text=long), writing(2, text=long)))
    newest = chat.button("↓ Newest")
    for _ in range(5):
        chat.grow(2, "\n\nmore and more")
        assert distance_from_end(chat) < 2
    expect(newest).to_be_hidden()
    chat.log.hover()
    chat.page.mouse.wheel(0, -400)
    expect(newest).to_be_visible()
    top = chat.log.evaluate("log => log.scrollTop")
    chat.grow(2, "\n\nmore and more")
    assert chat.log.evaluate("log => log.scrollTop") == top
    newest.click()
    expect(newest).to_be_hidden()
    chat.grow(2, "\n\nmore and more")
    assert distance_from_end(chat) < 2


# For everybody


def test_everything_is_reached_with_the_keyboard_and_in_order(chat: PanelPage) -> None:
    chat.open(a_chat(a_turn(1, text=CODE)), cells=["a = 1"])
    # Starts at the panel, wherever the page's focus is.
    chat.page.evaluate(
        """() => {
            const start = document.createElement('button');
            document.querySelector('.jllm-panel').before(start);
            start.focus();
        }"""
    )
    walked = []
    for _ in range(20):
        chat.page.keyboard.press("Tab")
        walked.append(
            chat.page.evaluate(
                """() => {
                    const { activeElement: at } = document;
                    return at.getAttribute('aria-label') || at.textContent || at.tagName;
                }"""
            )
        )
        if walked[-1].startswith("Context"):
            break
    assert walked == [
        "Conversation",
        *("Copy", "Code in python"),
        *("Copy", "Code in python"),
        *("Copy", "36 tokens, how SmolLM2-135M-Instruct answered"),
        "Message",
        *("Attach cell", "Attach output", "Attach file…", "Connecting…"),
        "Context: 1,310 of 4,096 tokens, 32%",
    ]
    keys = chat.page.keyboard
    chat.panel.locator(".jllm-turn-actions").get_by_role("button", name="Copy").focus()
    names = []
    for _ in range(6):
        names.append(chat.page.evaluate("() => document.activeElement.textContent"))
        keys.press("ArrowRight")
    assert names == ["Copy", "Insert all", "Probabilities", "Answer again", "Edit", "Delete"]


def test_text_begins_on_the_side_where_its_language_does(chat: PanelPage) -> None:
    text = "زرافه `a.b()` حيوان.\n\n- אחד\n\nEnglish\n\n```python\n# שלום\n```\n\nאז $x < y$"
    chat.open(a_chat(a_turn(1, prompt="שלום", text=text)))
    expect(chat.panel.locator("math")).to_be_visible()  # what draws it is fetched first
    sides = chat.panel.locator(
        ".jllm-markdown :is(p:not(.jllm-warning), li, pre, math)"
    ).evaluate_all(
        "nodes => nodes.map(node => `${node.localName} ${getComputedStyle(node).direction}`)"
    )
    assert sides == ["p rtl", "li rtl", "p ltr", "pre ltr", "p rtl", "math ltr"]
    for field in (chat.panel.locator(".jllm-prompt-text"), chat.box):
        expect(field).to_have_attribute("dir", "auto")


def test_a_suggestion_that_was_taken_can_be_undone(chat: PanelPage) -> None:
    suggestions = {**a_result("suggest"), "start": 8, "end": 10}
    box = chat.open(suggest=suggestions).box
    box.press_sequentially("What is @d")
    expect(chat.page.get_by_role("listbox")).to_be_visible()
    box.press("Tab")
    expect(box).to_have_value(f"What is {suggestions['items'][0]['text']}")
    box.press("ControlOrMeta+z")
    expect(box).to_have_value("What is @d")


# Pages


@pytest.fixture
def insecure_chat(page: Page, panel_address: str, panel_folder: Path) -> PanelPage:
    """Return a page for a panel as from a server on another machine, without TLS."""

    def answer(route: Route) -> None:
        route.fulfill(path=panel_folder / urlsplit(route.request.url).path.strip("/"))

    page.route("http://lab.example/**", answer)
    return PanelPage(page, "http://lab.example/index.html")


def test_on_a_page_that_is_not_secure_texts_are_copied_too_and_values_without_their_fence(
    insecure_chat: PanelPage,
) -> None:
    texts = ('```json\n{"a": 1}\n```', "```\n1\n```\n\n```\n2\n```", "One.\n\nTwo.")
    insecure_chat.open(a_chat(*(a_turn(n, text=text) for n, text in enumerate(texts, 1))))
    assert not insecure_chat.page.evaluate("() => isSecureContext")
    box = insecure_chat.box
    for number, copied in enumerate(('{"a": 1}', *texts[1:])):
        box.fill("")
        actions = insecure_chat.panel.locator(".jllm-turn-actions").nth(number)
        actions.get_by_role("button", name="Copy").click()
        box.press("ControlOrMeta+v")
        expect(box).to_have_value(copied)
    box.press("Enter")
    assert insecure_chat.wait_for("send")["prompt"]["text"] == "One.\n\nTwo."
