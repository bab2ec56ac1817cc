"""The chat panel for everybody: in every theme, narrow, enlarged, and with a long conversation."""

from __future__ import annotations

import json
import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from browser.accessibility import is_in_sight, is_in_sight_with_focus, unfold_all, violations
from browser.panel_page import PanelPage, a_chat, a_result, a_turn, an_example, example
from playwright.sync_api import expect
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

# Pages that are no JupyterLab, and narrow ones: their theme, and what the browser is told.
LOOKS: dict[str, dict[str, Any]] = {
    "plain light": {"theme": None, "color_scheme": "light"},
    "plain dark": {"theme": None, "color_scheme": "dark"},
    "narrow": {"theme": "light", "width": 320},
}

TEXT = """The mean of **a column** is $\\bar x = \\frac{1}{n} \\sum_i x_i$; see
[the docs](https://pandas.pydata.org/docs/), or `help(df)`:

| column | mean | missing |
|---|--:|--:|
| age | 29.7 | 177 |

```python
import seaborn as sns

means = dff.groupby("sex").mean(numeric_only=True)  # a line that is wider than a narrow panel
```

> It is so, he said, and wrote a_very_long_word_without_any_place_at_which_it_could_be_broken_again.
"""

NUM_TOKENS = 20_000
CHARACTERS_PER_TOKEN = 4  # of English text and of Python, nearly
FRAME_MS = 50
KEYSTROKE_MS = 50  # above this, typing is felt to lag

# Notes for each key how long it is until the page shows what it did.
WATCH_KEYS = """() => {
    if (!window.key_ms) document.addEventListener('keydown', ({ timeStamp }) => {
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => window.key_ms.push(performance.now() - timeStamp);
            port2.postMessage(null);
        });
    }, true);
    window.key_ms = [];
}"""

# Every text half as long again, accented, in ⟦ ⟧, with the form of its plural.
PSEUDO_LANGUAGE = """
const pseudo = text => text.replace(/%\\d|[a-z]/gi, one =>
    one.length > 1 ? one : 'àƀćđéƒǵĥíĵķĺḿńóṕɋŕśťúṽŵẋýź'['abcdefghijklmnopqrstuvwxyz'.indexOf(
        one.toLowerCase())]) + ' ·'.repeat(text.length / 4);
const filled = (text, values) => text.replace(/%(\\d)/g, (_, at) => values[at - 1]);
globalThis.jupyterLlmWords = {
    __: (text, ...values) => `⟦${filled(pseudo(text), values)}⟧`,
    _n: (one, many, count, ...values) => count === 1
        ? `⟦1: ${filled(pseudo(one), [count, ...values])}⟧`
        : `⟦n: ${filled(pseudo(many), [count, ...values])}⟧`,
};
document.addEventListener('DOMContentLoaded', () => { document.documentElement.lang = 'de'; });
"""

# Returns texts in no ⟦ ⟧ that the kernel did not send, numbers that are not German, texts made of
# several, and texts that are cut off without a title that has all of them.
MISTRANSLATED = """(panel, sent) => {
    const texts = [];
    const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); ) {
        const { parentElement: parent } = node;
        if (parent.closest('.jllm-markdown, .jllm-prompt-text, textarea, kbd')) continue;
        texts.push(parent.closest(':has(kbd)')?.tagName === 'P' ? parent.textContent : node.data);
        const { overflowX } = getComputedStyle(parent);
        const isCut = overflowX === 'hidden' && parent.scrollWidth > parent.clientWidth + 1;
        if (isCut && !parent.closest('[title], .jllm-hidden')) texts.push(`cut off: ${node.data}`);
    }
    for (const node of panel.querySelectorAll('*'))
        for (const name of ['aria-label', 'title', 'placeholder'])
            if (node.hasAttribute(name)) texts.push(node.getAttribute(name));
    return texts.filter(text => {
        let outside = text;
        for (let before = ''; before !== outside; )
            [before, outside] = [outside, outside.replace(/⟦[^⟦⟧]*⟧/g, '')];
        const words = outside.match(/[a-z_][\\w.-]*\\w/gi) ?? [];
        const isBare = words.some(word => !sent.includes(word));
        let flat = text;
        for (let before = ''; before !== flat; )
            [before, flat] = [flat, flat.replace(/⟦([^⟦⟧]*)⟦[^⟦⟧]*⟧/g, '⟦$1')];
        const isMade = /⟧[^⟦⟧·\\n]*⟦/.test(flat);
        return isBare || isMade || /\\d,\\d{3}\\b/.test(text);
    });
}"""

# Returns what reaches over the edge of a panel, or of the window where it pops up.
STICKING_OUT = """panel => {
    const scrolls = new Set(['auto', 'scroll', 'hidden']);
    const page = document.documentElement.getBoundingClientRect();
    return [...panel.querySelectorAll('*')].filter(node => {
        const box = node.getBoundingClientRect();
        const popup = node.closest('[popover]');
        const { left, right } = popup ? page : panel.getBoundingClientRect();
        if (box.width === 0 || node.closest('.jllm-hidden, math')) return false;
        const end = popup?.parentElement ?? panel;
        for (let at = node.parentElement; at !== end; at = at.parentElement)
            if (scrolls.has(getComputedStyle(at).overflowX) && !at.matches('.jllm-log'))
                return false;
        return box.left < left - 1 || box.right > right + 1;
    }).map(node => node.outerHTML.slice(0, 120));
}"""

# Scrolls from the end to the start and returns how long each frame took.
SCROLL = """async () => {
    const log = document.querySelector('.jllm-log');
    const frame = () => new Promise(requestAnimationFrame);
    const durations = [];
    let before = await frame();
    while (log.scrollTop > 0) {
        log.scrollTop -= 300;
        const now = await frame();
        durations.push(now - before);
        before = now;
    }
    return durations;
}"""


@pytest.fixture(params=list(LOOKS.values()), ids=list(LOOKS))
def busy_chat(request: pytest.FixtureRequest, chat: PanelPage) -> PanelPage:
    """Return a panel that shows all there is, at once."""
    look = dict(request.param)
    chat.page.set_viewport_size({"width": look.pop("width", 900), "height": 2400})
    theme = look.pop("theme")
    chat.page.emulate_media(**look)
    chat.open(
        everything(),
        cells=["df = load()"],
        theme=theme,
        **{name: a_result(name) for name in ("prepare", "suggest", "describe")},
        check=[{"unknown_names": ["dff"], "missing_modules": ["seaborn"]}],
    )
    chat.page.add_style_tag(content=".jllm-panel { block-size: 2300px; }")
    chat.page.locator(".jp-Cell").click()
    unfold_all(chat.panel)
    return chat


def everything() -> dict[str, Any]:
    """Return a chat with one of each thing."""
    return a_chat(
        a_turn(1, prompt="Hello", siblings=[1, 4], attachments=["In [3]"], finish_reason="length"),
        a_turn(2, prompt="What is a mean?", text=TEXT, num_cells=3, variables=["df"]),
        {**an_example("turns", "turn-reading"), "number": 3, "parent": 2, "siblings": [3]},
        notices=[
            {**an_example("notices", name), "after": 2}
            for name in ("notice", "notice-error", "notice-growing")
        ],
        pending=[an_example("pending", "pending")],
    )


def test_axe_finds_no_serious_issue(busy_chat: PanelPage) -> None:
    assert violations(busy_chat.page, "main") == []
    busy_chat.page.keyboard.press("Escape")
    busy_chat.button("Answer again").nth(1).click()
    expect(busy_chat.page.get_by_role("dialog", name="Answer again")).to_be_visible()
    assert violations(busy_chat.page, "main") == []


@pytest.mark.parametrize("width", [250, 640])
def test_nothing_sticks_out_of_a_narrow_panel_in_any_language(chat: PanelPage, width: int) -> None:
    chat.page.set_viewport_size({"width": width, "height": 480})  # 640: a laptop's at 200 %
    chat.page.add_init_script(PSEUDO_LANGUAGE)  # in which each text is longer than in English
    shown = everything()
    activity = example("activity")
    chat.open(shown, cells=["df = load()"]).tell(activity)
    sent = json.dumps([shown, activity, "smollm2-135m"])  # the name is shortened
    for opener in (".jllm-facts summary", ".jllm-answer-again > button", ".jllm-gauge-button"):
        chat.panel.locator(opener).first.click()
        assert chat.panel.evaluate(STICKING_OUT) == []
        assert chat.panel.evaluate(MISTRANSLATED, sent) == []
        chat.page.keyboard.press("Escape")
    assert chat.log.evaluate("log => log.scrollWidth <= log.clientWidth")
    expect(chat.panel.locator("textarea")).to_be_in_viewport()


# Gives how many rows the buttons of a toolbar take, and what keeps two turns apart.
ROWS = """bar => new Set([...bar.querySelectorAll('button')].filter(one => one.checkVisibility())
    .map(one => Math.round(one.getBoundingClientRect().top / 12))).size"""
GAP = """([text, next]) => next.getBoundingClientRect().top - text.getBoundingClientRect().bottom"""


def test_in_a_side_bar_buttons_are_one_row_of_named_icons_and_leave_no_gap_where_they_are_hidden(
    chat: PanelPage,
) -> None:
    chat.page.set_viewport_size({"width": 250, "height": 900})
    code = "```python\nx = 1\n```\n\n```python\ny = 2\n```"
    turns = a_turn(1, text="One."), a_turn(2, text=code, siblings=[2, 3])
    chat.open(a_chat(*turns), cells=["a = 1"])
    toolbars = chat.panel.get_by_role("toolbar")
    expect(toolbars).to_have_count(4)
    assert [toolbars.nth(at).evaluate(ROWS) for at in range(4)] == [1, 1, 1, 1]
    assert chat.panel.locator(".jllm-composer-actions").evaluate(ROWS) == 1
    attach = ("Attach cell", "Attach output", "Attach file…")
    for name in ("Copy", "Insert below", "Replace cell", "Answer again", "Edit", "Delete", *attach):
        button = chat.button(name).last
        expect(button).to_have_attribute("title", name)
        assert button.evaluate("button => button.offsetWidth") <= 26
    parts = [chat.answers.first.element_handle(), chat.turns.last.element_handle()]
    assert chat.page.evaluate(GAP, parts) < 36
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.button("Copy").last.click()
    expect(chat.button("Copied")).to_be_visible()
    assert chat.button("Copied").evaluate("button => button.offsetWidth") > 30


@pytest.mark.parametrize("has_own_view", [False, True], ids=["below a cell", "in its own view"])
@pytest.mark.parametrize("percent", [200, 400])
def test_enlarged_everything_can_be_reached(
    chat: PanelPage, percent: int, *, has_own_view: bool
) -> None:
    chat.page.set_viewport_size({"width": 128_000 // percent, "height": 102_400 // percent})
    writing = {"state": "writing", "finish_reason": None, "usage": None, "text": "Well, "}
    found = a_result("suggest")
    chat.open(
        a_chat(a_turn(1, text=TEXT), a_turn(2, **writing)),
        suggest={**found, "items": found["items"] * 6},
        describe="A long description.\n" * 20,
    )
    if has_own_view:
        chat.page.add_style_tag(content="main { block-size: 100vh; box-sizing: border-box; }")
        chat.page.evaluate("() => document.querySelector('main > div').classList.add('jllm-fill')")
        chat.page.add_style_tag(content=".jllm-fill { block-size: 100%; }")
    box = chat.page.get_by_label("Message")
    for text in ("", "Some words. " * 60):
        box.fill(text)
        for element in (chat.button("Stop").last, chat.button("Send"), chat.log):
            until(partial(is_in_sight_with_focus, element))  # the page may scroll once more
        box.scroll_into_view_if_needed()
        until(partial(is_in_sight, box))
    box.fill("What is @d")
    for shown in (chat.page.get_by_role("option").first, chat.panel.locator(".jllm-description")):
        expect(shown).to_be_visible()
        until(partial(is_in_sight, shown))


def typing_ms(box: Locator, text: str) -> list[float]:
    """Type a text and return for each key how long the page took to show it."""
    box.page.evaluate(WATCH_KEYS)
    box.press_sequentially(text, delay=20)
    box.page.wait_for_function("count => window.key_ms.length >= count", arg=len(text))
    keys: list[float] = box.page.evaluate("() => window.key_ms")
    return keys


@pytest.mark.benchmark
@pytest.mark.parametrize("num_turns", [1, 40])
def test_a_long_conversation_stays_smooth(
    chat: PanelPage, num_turns: int, record_property: Callable[[str, object], None]
) -> None:
    repeats = NUM_TOKENS * CHARACTERS_PER_TOKEN // len(TEXT) // num_turns
    turns = [a_turn(number + 1, text=(TEXT + "\n") * repeats) for number in range(num_turns)]
    open_end = {"state": "writing", "finish_reason": None, "usage": None, "text": ""}
    chat.open(a_chat(*turns, a_turn(num_turns + 1, **open_end)))
    chat.page.evaluate(
        """number => {
            window.timer = setInterval(() => panelPage.model.tell(
                { type: 'delta', number, text: 'word after word ', reasoning: '' }), 33);
        }""",
        num_turns + 1,
    )
    box = chat.page.get_by_label("Message")
    keys = typing_ms(box, "How does one type beside an answer that grows?")
    chat.page.evaluate("() => clearInterval(window.timer)")
    frames = chat.page.evaluate(SCROLL)
    assert len(frames) > 100
    numbers = {
        "keystroke_ms": statistics.median(keys),
        "slowest_keystroke_ms": max(keys),
        "frame_ms": statistics.median(frames),
        "slow_frame_ms": statistics.quantiles(frames, n=20)[-1],
    }
    for name, value in numbers.items():
        record_property(name, round(value, 1))
    print({name: round(value, 1) for name, value in numbers.items()})
    assert numbers["keystroke_ms"] < KEYSTROKE_MS
    assert numbers["frame_ms"] < FRAME_MS
