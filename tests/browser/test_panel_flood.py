"""Two thousand hostile messages in one panel: nothing runs, nothing is lost, nothing is left.

Most turns come from a cell that talks to the chat in the kernel. That is the panel's own way all
the same: the panel watches the chat, whoever talks to it, and tells its views of every turn over
the comm, through the store, onto the page. Only how a prompt gets to the kernel is another way, and
the last turns take that one too, as they are typed into the panel.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

import pytest
from browser.answers import note_complaints
from browser.lab import Traffic
from browser.live_panel import SCRIPTED, LivePanel
from browser.smoothness import typing_ms
from browser.test_panel_hostile import hostile_texts
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Notebook
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.soak, pytest.mark.timeout(1200)]

PATIENCE_MS = 300_000

CONVERSE = """
import json, pathlib
for prompt, answer in json.loads(pathlib.Path("messages.json").read_text("utf-8")):
    engine.replies.append(answer)
    llm.chat("talk")(prompt, max_tokens=4000)
"""
EXPECT_ANSWERS = "engine.replies.extend({answers!r})"
NOTE = """
said = [[turn.prompt, turn.completion.text] for turn in llm.chat("talk").turns]
pathlib.Path("said.json").write_text(json.dumps(said), "utf-8")
"""

FORMULA = "from IPython.display import HTML\nHTML('$x$')"

# Returns the prompts as they are shown, and the answers as their buttons copy them.
READ_TURNS = """async () => {
    const copied = [];
    navigator.clipboard.writeText = async text => { copied.push(text); };
    const turns = [...document.querySelectorAll('.jllm-panel .jllm-turn')];
    for (const turn of turns) {
        const buttons = [...turn.querySelectorAll('.jllm-finished-actions > button')];
        buttons.find(({ textContent }) => textContent === 'Copy').click();
        await Promise.resolve();
    }
    return turns.map((turn, index) => [
        turn.querySelector('.jllm-prompt-text').textContent, copied[index]]);
}"""

# Returns what no text may become, whatever it is.
FIND_FOREIGN = """() => {
    const active = 'script style link img svg iframe object embed video audio form input textarea';
    const isForeign = node =>
        active.split(' ').includes(node.localName) ||
        [...node.attributes].some(({ name }) => name.startsWith('on') || name === 'src');
    return [
        ...document.querySelectorAll('.jllm-prompt-text *'),
        ...[...document.querySelectorAll('.jllm-turn > .jllm-markdown *')].filter(isForeign),
    ].map(node => node.outerHTML.slice(0, 200));
}"""


def messages(num_turns: int) -> list[tuple[str, str]]:
    """Prompts with their answers; always the same."""
    # No half characters, which no model writes and no file holds.
    texts = [
        text["text"].encode(errors="replace").decode() for text in hostile_texts(3 * num_turns)
    ]
    texts = [text for text in texts if text.strip()]
    return list(zip(texts[:num_turns], texts[num_turns : 2 * num_turns], strict=True))


def typed(prompt: str) -> str:
    """Return a prompt as one that can be typed: no command, no expression, and no suggestion."""
    return "Read this: " + prompt.replace("{{", "{ {") + " What is it?"


class Memory:
    """What a page holds."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._client = page.context.new_cdp_session(page)
        self._client.send("Performance.enable")

    def now(self) -> dict[str, int]:
        """Return how many nodes, listeners and bytes there are that something still refers to."""
        for _ in range(3):
            self._client.send("HeapProfiler.collectGarbage")
        metrics = self._client.send("Performance.getMetrics")["metrics"]
        values = {metric["name"]: int(metric["value"]) for metric in metrics}
        return {name: values[name] for name in ("Nodes", "JSEventListeners", "JSHeapUsedSize")}

    def without_outputs(self, notebook: Notebook, formula: int) -> dict[str, int]:
        """Clear all outputs and return what is left; a cell is given that shows a formula."""
        notebook.command("notebook:clear-all-cell-outputs")
        expect(self._page.locator(".jllm-panel")).to_have_count(0)
        # MathJax keeps what it has typeset last: here, a transcript before its panel was there.
        notebook.run(formula)
        expect(notebook.cell(formula).locator("mjx-container")).to_have_count(1)
        notebook.command("notebook:clear-all-cell-outputs")
        left = self.now()
        while (less := self._after_a_moment())["Nodes"] < left["Nodes"]:
            left = less
        return less

    def _after_a_moment(self) -> dict[str, int]:
        """Return what is held when JupyterLab, which tidies up once a second, has done so."""
        self._page.evaluate("() => new Promise(resolve => setTimeout(resolve, 1500))")
        return self.now()


def test_two_thousand_hostile_messages(
    open_notebook: Callable[..., Notebook],
    page: Page,
    record_property: Callable[[str, object], None],
    scaled: Callable[[int], int],
) -> None:
    num_turns, num_typed = scaled(1000), scaled(40)  # a turn is two messages
    traffic, complaints = Traffic(page), note_complaints(page, "error")
    memory = Memory(page)
    turns = messages(num_turns)
    by_cell, by_hand = turns[:-num_typed], turns[-num_typed:]
    notebook = open_notebook(
        SCRIPTED,
        "panel = ChatPanel('talk', max_tokens=4000)\npanel",
        CONVERSE,
        EXPECT_ANSWERS.format(answers=[answer for _, answer in by_hand]),
        NOTE,
        "panel",
        "panel.close()",
        FORMULA,
    )
    (notebook.path.parent / "messages.json").write_text(json.dumps(by_cell), "utf-8")
    notebook.run(0)
    before = memory.now()
    notebook.run(1)
    panel = LivePanel(notebook)

    notebook.run(2)
    expect(panel.turns).to_have_count(len(by_cell), timeout=PATIENCE_MS)
    notebook.run(3)
    for prompt, _ in by_hand:
        panel.ask(typed(prompt))
    expect(panel.turns).to_have_count(num_turns)

    notebook.run(4)
    said = json.loads((notebook.path.parent / "said.json").read_text("utf-8"))
    assert said[: len(by_cell)] == [list(turn) for turn in by_cell]
    assert [answer for _, answer in said] == [answer for _, answer in turns]
    assert page.evaluate(READ_TURNS) == said
    assert page.evaluate(FIND_FOREIGN) == []

    # Several times, since what else the machine does is not the page's doing.
    text = "How does one type below two thousand messages? "
    tries = [typing_ms(panel.box, text) for _ in range(3)]
    keys = min(tries, key=statistics.median)
    panel.box.fill("")
    held = {"before": before, "full": memory.now()}
    held["cleared"] = memory.without_outputs(notebook, 7)
    notebook.run(5)
    again = LivePanel(notebook, 5)
    expect(again.turns).to_have_count(num_turns, timeout=PATIENCE_MS)
    assert again.ask("Are you there?").startswith("word")
    held["cleared again"] = memory.without_outputs(notebook, 7)
    notebook.run(6)
    held["closed"] = memory.without_outputs(notebook, 7)

    numbers: dict[str, object] = {
        "keystroke_ms": round(statistics.median(keys), 1),
        "slowest_keystroke_ms": round(max(keys), 1),
        **{f"{name} {when}": value for when, now in held.items() for name, value in now.items()},
    }
    for name, value in numbers.items():
        record_property(name, value)
    print(json.dumps(numbers, indent=1))

    assert complaints == []
    assert traffic.beyond_loopback == []
    assert held["full"]["Nodes"] - before["Nodes"] > 100 * num_turns
    for when in ("cleared", "cleared again", "closed"):
        # JupyterLab itself leaves three thousand nodes; a view that stays has 200 a turn.
        assert held[when]["Nodes"] - before["Nodes"] < max(3 * num_turns, 4_000)
        # A turn has thirty. JupyterLab makes 800 each time a cell runs, whatever is in it.
        assert held[when]["JSEventListeners"] - before["JSEventListeners"] < 12_000
    for when in ("cleared again", "closed"):
        more = held[when]["JSHeapUsedSize"] - held["cleared"]["JSHeapUsedSize"]
        assert more < 8 * 2**20  # a view of a thousand turns that stays is twenty
