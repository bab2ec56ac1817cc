"""The page that shows the notebook, reached by a widget that nobody sees."""

from __future__ import annotations

from collections.abc import Sequence

from anywidget import AnyWidget
from traitlets import Unicode

from jupyter_llm.api import llm
from jupyter_llm.frontends.comm.asked_page import AskedPage
from jupyter_llm.frontends.comm.line import Line, hear_beside_cells
from jupyter_llm.frontends.panel.panel import STATIC, built
from jupyter_llm.notebook.cells.shell import current_shell, parent_header
from jupyter_llm.notebook.code.landing import Landing, NewCell

GREETING_S = 4.0  # how long a new page may take, once, until it says that it is there


class CellPage(AnyWidget):
    """Has the page that runs a cell put code into others, where it has no connection of its own."""

    _esm = Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(_esm=built(STATIC, "cell_page.js"))
        hear_beside_cells(self.comm, self._handle_msg)
        line = Line(llm, self.send)
        self._asked = AskedPage(line, GREETING_S)
        self.on_msg(lambda _widget, content, _buffers: line.take(content))

    def land(
        self, cell_id: str, cells: Sequence[NewCell], before: str | None = None
    ) -> Landing | None:
        """Put code below a cell, or in place of one that is what it was `before`."""
        client = parent_header(current_shell()).get("header", {}).get("session")
        return self._asked.land(client, cell_id, cells, before)

    def show_fix(self, _cell_id: str) -> None:
        """Do nothing: without the extension there are no buttons."""
