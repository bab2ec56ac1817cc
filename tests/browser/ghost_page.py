"""A notebook in a page whose kernel has a model, and somebody who types in its last cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from browser.extension import Extension
from browser.lab import Lab, Notebook

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOAD = "%load_ext jupyter_llm\nfrom jupyter_llm import llm"
MODEL = "_ = llm.use()"
FACTS = """import math
import pandas as pd
cities = pd.DataFrame({"price": [1, 2], "population": [3, 4]})"""

# Keeps what goes over the extension's comm, either way.
LISTEN = """() => {
    window.said = [];
    notebook.sessionContext.session.kernel.anyMessage.connect((_, { msg }) => {
        const said = msg.content.data?.message ?? msg.content.data; // of a chat, or the page
        if (msg.header.msg_type === 'comm_msg' && said?.type)
            window.said.push({ time: performance.now(), ...said });
    });
}"""
# What is shown in grey, once it is written to its end, in what is in front: in a notebook that is
# hidden meanwhile something may still be there.
SHOWN = """() => {
    const seen = kind => Array.from(document.querySelectorAll(kind)).filter(
        ghost => ghost.checkVisibility());
    const ghosts = seen('.jp-GhostText').filter(ghost => !/Spacer/.test(ghost.className));
    const isWriting = seen('.jp-GhostText-streamingIndicator').length > 0;
    return isWriting ? '' : ghosts.map(ghost => ghost.innerText).join('');
}"""


class GhostPage(Notebook):
    """Types in the last cell of a notebook, and sees what is suggested there."""

    def __init__(self, page: Page, lab: Lab, name: str, *cells: str) -> None:
        path = lab.write(name, LOAD, MODEL, FACTS, *cells, "")
        super().__init__(page, path)
        lab.open(page, path)
        page.evaluate(LISTEN)
        self.last = len(cells) + 3
        self.settings: dict[str, Any] = {}
        for index in range(3):
            self.run(index)
        Extension(self).wait_for_state("open")

    def write(self, text: str) -> None:
        """Empty the last cell, and type there."""
        self.page.keyboard.press("Escape")
        self.set_source(self.last, "")
        self.type(self.last, text)

    @property
    def written(self) -> str:
        return self.source(self.last)

    def wait_for_ghost(self, timeout: float | None = None) -> str:
        """Wait until something is suggested that is written to its end; milliseconds."""
        return str(self.page.wait_for_function(SHOWN, timeout=timeout).json_value())

    def wait_for_source(self, source: str) -> None:
        """Wait until the last cell holds this."""
        self.page.wait_for_function(
            "([index, source]) =>"
            " notebook.content.widgets[index].model.sharedModel.getSource() === source",
            arg=[self.last, source],
        )

    def said(self, *kinds: str) -> list[dict[str, Any]]:
        """The messages of some types, and the calls of methods, since the page was opened."""
        said: list[dict[str, Any]] = self.page.evaluate("() => window.said")
        return [message for message in said if message.get("method", message["type"]) in kinds]

    def metadata(self, name: str) -> Any:
        """Of the last cell."""
        return self._in_cell(self.last, f"sharedModel.getMetadata('{name}')")

    def tag(self, *tags: str) -> None:
        """Give the last cell these tags and no others."""
        self._in_cell(self.last, f"sharedModel.setMetadata('tags', {list(tags)})")

    def settle(self, pause_ms: int = 700) -> None:
        """Wait until all that was asked for is answered, and nothing more was said for a while."""
        self.page.evaluate(
            """async (pause) => {
                const isOpen = () => {
                    const open = new Set();
                    for (const { type, method, id } of window.said) {
                        if (method === 'complete') open.add(id);
                        if (type === 'reply') open.delete(id);
                    }
                    return open.size > 0;
                };
                for (let before = -1; before !== window.said.length || isOpen(); ) {
                    before = window.said.length;
                    await new Promise(resolve => setTimeout(resolve, pause));
                }
            }""",
            pause_ms,
        )

    def set_up(self, **settings: Any) -> None:
        """Set these settings of ghost text and no others, and load the page again."""
        self.settings = settings
        self.page.evaluate(
            """settings => jupyterapp.serviceManager.settings.save(
                '@jupyterlab/completer-extension:inline-completer',
                JSON.stringify({ providers: { 'jupyter-llm': settings } }))""",
            settings,
        )
        self.save()
        self.reload()
        self.page.evaluate(LISTEN)
        Extension(self).wait_for_state("open")
