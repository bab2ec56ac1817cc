"""The page that shows the notebook, reached by a widget that nobody sees."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from anywidget import AnyWidget
from traitlets import Unicode

from jupyter_llm.frontends.comm.line import hear_beside_cells
from jupyter_llm.frontends.panel.panel import STATIC, built
from jupyter_llm.notebook.cells.shell import current_shell, parent_header
from jupyter_llm.notebook.code.landing import MADE_KEY, MadeCell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.notebook.code.landing import NewCell

_GREETING_S = 2.0  # how long a new page may take, once, until it says that it is there
_ANSWER_S = 3.0  # of a page that is there


class CellPage(AnyWidget):
    """Asks a page for the cells that were made for another one, and has it change them.

    What a page says comes on a subshell, so also while a cell waits for it; one without subshells
    counts as none. Of several pages the one that runs the cell is asked, and others stand in.
    """

    _esm = Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(_esm=built(STATIC, "cell_page.js"))
        hear_beside_cells(self.comm, self._handle_msg)
        self._patience_s = _GREETING_S
        self._is_there = False
        self._num_asked = 0
        self._page: str | None = None  # which has told of its cells
        self._answer: dict[str, Any] | None = None
        self._changed = threading.Condition()  # guards what pages say
        self.on_msg(lambda _widget, content, _buffers: self._take(content))

    def made_by(self, cell_id: str) -> Sequence[MadeCell] | None:
        """The cells that were made for a cell, in their order; None if no page answers."""
        answer = self._ask({"type": "made", "page": _page(), "cell": cell_id})
        if answer is None:
            return None
        self._page = answer["page"]
        return [MadeCell.of(c["id"], c["source"], c["made"]) for c in answer["cells"]]

    def put(self, cell_id: str, cells: Sequence[NewCell], places: Sequence[MadeCell]) -> int | None:
        """Put the first cells in the place of those that are what they were, the rest below.

        Return how many took a place; None if no page has put them anywhere.
        """
        replaced = [{"id": place.cell_id, "before": place.source} for place in places]
        made = [{"source": cell.source, "metadata": dict(cell.metadata)} for cell in cells]
        wanted = {"cell": cell_id, "cells": made, "places": replaced}
        answer = self._ask({"type": "put", "page": self._page, **wanted})
        return None if answer is None else int(answer["num_replaced"])

    def change(self, cell_id: str, before: str, cell: NewCell) -> bool:
        """Put a cell in the place of one that holds what it held before; say whether."""
        wanted = {
            "cell": cell_id,
            "wanted": {"source": cell.source, "metadata": dict(cell.metadata)},
            "place": {"id": cell_id, "before": before},
        }
        answer = self._ask({"type": "change", "page": _page(), **wanted})
        return answer is not None and bool(answer["is_done"])

    def _ask(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """What the page says that has the cell; None if there is none, or it fails."""
        with self._changed:
            patience_s, self._patience_s = self._patience_s, 0.0
            if not self._changed.wait_for(lambda: self._is_there, patience_s):
                return None
            self._num_asked += 1
            self._answer = None
            self.send({**message, "key": MADE_KEY, "id": self._num_asked})
            self._is_there = self._changed.wait_for(lambda: self._answer is not None, _ANSWER_S)
            has_failed = self._answer is not None and self._answer["type"] == "failed"
            return None if has_failed else self._answer

    def _take(self, content: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        with self._changed:
            self._is_there = True
            is_answer = isinstance(content, dict) and content.get("id") == self._num_asked
            if is_answer:
                self._answer = content
            self._changed.notify_all()


def _page() -> str | None:
    """The page that runs the cell, by what it names itself in all that it sends."""
    session: str | None = parent_header(current_shell()).get("header", {}).get("session")
    return session
