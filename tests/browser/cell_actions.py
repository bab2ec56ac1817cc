"""What is done with cells in a page, by a kernel whose answers a test decides."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from browser.extension import Extension
from playwright.sync_api import expect
from support.paths import TESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import Notebook
    from playwright.sync_api import Locator

SCRIPTED = f"""import sys
sys.path.insert(0, {str(TESTS)!r})
from support import scripted_actions
scripted_actions.script()
%load_ext jupyter_llm"""

# Runs code in the kernel as no cell of the notebook, and gives what it is worth.
ASK_KERNEL = """async code => {
    let value = null;
    const future = notebook.sessionContext.session.kernel.requestExecute({
        code: '', store_history: false, silent: false, user_expressions: { value: code } });
    const reply = await future.done;
    const { status, data, evalue } = reply.content.user_expressions.value;
    if (status !== 'ok') throw new Error(evalue);
    return data['text/plain'];
}"""


class CellActions:
    """The notebook of a page, at whose end a test adds cells."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page = notebook.page

    def connect(self) -> Self:
        """Run the first cell, which loads jupyter_llm."""
        Extension(self.notebook).wait_for_state("absent")
        self.notebook.run(0)
        assert self.notebook.outputs(0) == []
        Extension(self.notebook).wait_for_state("open")
        return self

    def add(self, source: str = "", **metadata: Any) -> int:
        """Put a cell at the end, go to it, and return its index."""
        index: int = self.page.evaluate(
            """([source, metadata]) => {
                const { sharedModel } = notebook.content.model;
                const index = sharedModel.cells.length;
                sharedModel.insertCell(index, { cell_type: 'code', source, metadata });
                notebook.content.deselectAll();
                notebook.content.activeCellIndex = index;
                notebook.content.mode = 'command';
                notebook.content.activate();
                return index;
            }""",
            [source, metadata],
        )
        return index

    def do(self, command: str) -> None:
        """Do what a menu entry or a shortcut does."""
        self.notebook.command(f"jupyter-llm:{command}")

    def region(self, index: int) -> Locator:
        """What stands under a cell while something is done with it."""
        return self.notebook.cell(index).locator(".jllm-action")

    def button(self, index: int, name: str) -> Locator:
        """A button in that region."""
        return self.region(index).get_by_role("button", name=name, exact=True)

    def added(self, index: int) -> Locator:
        """The lines that a proposal would add, as a cell's editor shows them."""
        return self.notebook.cell(index).locator(".jllm-added-lines .cm-line")

    def removed(self, index: int) -> Locator:
        """The lines that a proposal would take away."""
        return self.notebook.cell(index).locator(".jllm-removed-line")

    def metadata(self, index: int) -> dict[str, Any]:
        """The metadata of a cell."""
        found: dict[str, Any] = self.page.evaluate(
            "index => notebook.content.widgets[index].model.sharedModel.getMetadata()", index
        )
        return found

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Do something that asks the kernel once, and wait until it was asked."""
        num = self.kernel("len(scripted_actions.actions.asked)")
        yield
        self.wait_for(f"len(scripted_actions.actions.asked) == {num + 1}")

    def wait_for(self, expression: str) -> None:
        """Wait until something is true in the kernel; what a page says comes on another thread."""
        while not self.kernel(expression):
            pass

    def kernel(self, expression: str) -> Any:
        """What an expression is worth in the kernel, where JSON has it."""
        text = self.page.evaluate(ASK_KERNEL, f"__import__('json').dumps({expression})")
        return json.loads(text[1:-1].encode().decode("unicode_escape"))

    def reply(self, call: str) -> None:
        """Have the kernel answer the latest that it was asked, such as `propose('x = 1')`."""
        self.kernel(f"scripted_actions.actions.{call}")

    def start(self, action: str, source: str) -> int:
        """Add a cell, begin something with it, and wait until the kernel was asked."""
        index = self.add(source)
        with self.asking():
            self.do(action)
        return index

    def propose(self, source: str, proposed: str, action: str = "fix", **changes: Any) -> int:
        """Add a cell and have a change proposed for it."""
        index = self.start(action, source)
        self.reply(f"propose({proposed!r}, **{changes!r})")
        expect(self.button(index, "Reject")).to_be_visible()
        return index
