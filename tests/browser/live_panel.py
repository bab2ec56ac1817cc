"""The chat panel in a real notebook: what a person does with it, and what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect
from support.paths import TESTS

if TYPE_CHECKING:
    from browser.lab import Notebook
    from playwright.sync_api import Locator, Page


LOAD = "%load_ext jupyter_llm\nfrom jupyter_llm import ChatPanel, llm"
# Answers in the kernel that are known beforehand, where a test is about what becomes of them.
SCRIPTED = f"""{LOAD}
import sys
sys.path.insert(0, {str(TESTS)!r})
from support.scripted import ScriptedEngine
engine = ScriptedEngine()
llm.current.get = lambda *args, **options: engine
"""
# Takes that back: the real model answers again.
REAL_MODEL = "del llm.current.get"

# A prompt whose answer takes long on any machine.
LONG = "--regex '[a-z ]{4000}' --may-repeat Sing a song."

# Clicks, and waits in the page itself until nothing is written any more; gives milliseconds.
TIME_STOP = """async ([button, panel]) => {
    const began = performance.now();
    button.click();
    while (panel.querySelector('.jllm-turn[aria-busy="true"], .jllm-pending')) {
        await new Promise(resolve => setTimeout(resolve, 5));
    }
    return performance.now() - began;
}"""


class LivePanel:
    """The panel below a cell."""

    def __init__(self, notebook: Notebook, index: int = 1) -> None:
        self.notebook = notebook
        self.page: Page = notebook.page
        self.root = notebook.cell(index).locator(".jllm-panel")
        expect(self.root.locator(".jllm-status")).not_to_contain_text("Connecting")

    @property
    def box(self) -> Locator:
        """Where prompts are written."""
        # A role is looked for below the composer only: a long conversation has many elements.
        return self.root.locator(".jllm-composer").get_by_role("textbox", name="Message")

    @property
    def turns(self) -> Locator:
        return self.root.locator(".jllm-turn")

    @property
    def answers(self) -> Locator:
        return self.root.locator(".jllm-turn > .jllm-markdown")

    def send(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def ask(self, text: str) -> str:
        count = self.turns.count()
        self.send(text)
        expect(self.turns).to_have_count(count + 1)
        self.wait_until_finished()
        return self.answers.last.inner_text()

    def wait_until_finished(self) -> None:
        expect(self.root.locator('.jllm-turn[aria-busy="true"], .jllm-pending')).to_have_count(0)

    def wait_until_writing(self) -> None:
        """Wait until the last answer has begun."""
        expect(self.turns.last).to_have_attribute("aria-busy", "true")
        expect(self.answers.last).not_to_be_empty()

    def button(self, name: str) -> Locator:
        """Return the last button of a name."""
        return self.root.get_by_role("button", name=name, exact=True).last

    def stop_ms(self) -> float:
        """Press Stop, and return after how many milliseconds the panel was done."""
        stop = self.button("Stop")
        expect(stop).to_be_visible()
        handles = [stop.element_handle(), self.root.element_handle()]
        return float(self.page.evaluate(TIME_STOP, handles))

    def texts(self) -> list[str]:
        """Return what can be read of each turn: the prompt and the answer."""
        # Not as it is drawn: what is out of sight is not.
        prompts = self.root.locator(".jllm-turn .jllm-prompt-text").all_text_contents()
        return [*prompts, *self.answers.all_text_contents()]
