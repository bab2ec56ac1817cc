"""The page that shows the notebook, reached by a widget that nobody sees."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anywidget import AnyWidget
from msgspec import to_builtins
from traitlets import Unicode

from jupyter_llm.frontends.comm.asked_page import AskedPage
from jupyter_llm.frontends.comm.line import hear_beside_cells
from jupyter_llm.frontends.comm.messages import Hello, Landed, read_message
from jupyter_llm.frontends.panel.panel import STATIC, built
from jupyter_llm.notebook.cells.shell import current_shell, parent_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.notebook.code.landing import Landing, NewCell

_GREETING_S = 2.0  # how long a new page may take, once, until it says that it is there


class CellPage(AnyWidget):
    """Has the page that runs a cell put code into others, where it has no connection of its own."""

    _esm = Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(_esm=built(STATIC, "cell_page.js"))
        hear_beside_cells(self.comm, self._handle_msg)
        self._asked = AskedPage(lambda message: self.send(to_builtins(message)), _GREETING_S)
        self.on_msg(lambda _widget, content, _buffers: self._take(content))

    def land(
        self, cell_id: str, cells: Sequence[NewCell], before: str | None = None
    ) -> Landing | None:
        """Put code below a cell, or in place of one that is what it was `before`."""
        client = parent_header(current_shell()).get("header", {}).get("session")
        return self._asked.land(client, cell_id, cells, before)

    def _take(self, content: Any) -> None:
        with suppress(ValueError):
            message = read_message(content)
            if isinstance(message, Hello | Landed):
                self._asked.hear(message)
