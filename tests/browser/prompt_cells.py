"""Prompt cells in a page, and the badges of what a model wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from browser.cell_actions import CellActions
from playwright.sync_api import expect

if TYPE_CHECKING:
    from typing import Any

    from playwright.sync_api import Locator

ASK = "%%llm -n 6 -t 0 --chat {}\nWhat is the capital of France?"
MARKDOWN = "text/x-ipythongfm"


class Prompts(CellActions):
    """A notebook with a real kernel, at whose end cells are added."""

    def add(self, source: str = "", **metadata: Any) -> int:
        """Put a cell at the end, go into it, and return its index."""
        index = super().add(source, **metadata)
        self.notebook.cell(index).locator(".cm-content").click()
        return index

    def complete(self, wanted: str) -> None:
        """Take what is offered at the cursor."""
        self.page.keyboard.press("Tab")
        item = self.page.locator(".jp-Completer-item").get_by_text(wanted, exact=True)
        expect(item).to_be_visible()
        self.page.keyboard.press("Enter")
        expect(item).to_be_hidden()

    def mime(self, index: int) -> str:
        found: str = self.page.evaluate(
            "index => notebook.content.widgets[index].model.mimeType", index
        )
        return found

    def badges(self, index: int, name: str = "") -> Locator:
        """What says of a cell, or of its outputs, who wrote that."""
        return self.notebook.cell(index).get_by_role("button", name=re.compile(f"{name}.*record"))

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def label(self, index: int) -> None:
        """Let a cell hold a record as one holds that was written into it, of an answer here."""
        code = (
            "(lambda api, records: records.landed(list(api.llm.answers)[-1].record, 'x = 1')"
            ".to_metadata())(__import__('jupyter_llm.api').api, "
            "__import__('jupyter_llm.records.records').records.records)"
        )
        self.page.evaluate(
            """([index, metadata]) => {
                const { sharedModel } = notebook.content.widgets[index].model;
                sharedModel.transact(() => {
                    sharedModel.setSource('x = 1');
                    sharedModel.setMetadata('jupyter_llm', metadata.jupyter_llm);
                });
            }""",
            [index, self.kernel(code)],
        )
