"""Ghost text in a page: the cells of its notebook, and what may stand at the cursor."""

from __future__ import annotations

import threading
from functools import partial

from jupyter_llm.errors import DocumentError
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.line import Part
from jupyter_llm.frontends.lab.session import Session
from jupyter_llm.notebook.cells.document import Document, DocumentCell
from jupyter_llm.tasks.completing.completing import (
    NO_MODEL,
    GhostEnd,
    GhostRequest,
    GhostRun,
    GhostText,
    GhostWriter,
)


class Ghost(Part):
    """Completes code in one page's notebook; it loads no model."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._document = Document()
        self._waits_for_all = False
        self._writer: GhostWriter | None = None
        self._run: GhostRun | None = None
        self._last: str | None = None  # whose answer is not sent yet
        self._answering = threading.Lock()
        self._end_watch = session.llm.current.watch(self._tell_model)

    def close(self) -> None:
        """Write nothing any more."""
        self._end_watch()
        self._llm.timeline.documents.pop(self, None)
        if self._writer is not None:
            self._writer.cancel()

    @call("at once")
    def cells(self, revision: int, at: int, remove: int, insert: list[DocumentCell]) -> None:
        """Replace `remove` cells from the cell `at` on; revision 1 inserts all cells."""
        before = Document() if revision == 1 else self._document
        if revision != before.revision + 1:
            self._ask_for_all()
            return
        self._llm.timeline.see_tags({c.cell_id: c.is_off for c in insert})
        try:
            self._document = before.edited(at, remove, insert)
            self._llm.timeline.documents[self] = self._document
            self._waits_for_all = False
        except DocumentError:
            self._ask_for_all()

    def _ask_for_all(self) -> None:
        """Ask for the cells anew, once: what is on its way meanwhile does not fit either."""
        if not self._waits_for_all:
            self._waits_for_all = True
            self._put(messages.Resend())

    @call("at once")
    def focus(self, revision: int, cell: str) -> None:
        """Prefill what a completion in a cell would need: the user has moved to the cell.

        Nothing is read if `revision` is not that of the cells that the kernel has.
        """
        if revision == self._document.revision:
            self._ghost_writer().read_ahead(self._document, cell)

    @call("later")
    def complete(self, request: str, /, revision: int, place: GhostRequest) -> None:
        """Write texts that fit at a place; reply with the reason if there is none."""
        self._end(self._last)
        self._last = request
        if revision != self._document.revision:
            self._ask_for_all()
            self._end(request, reason="cells are missing")
            return
        tell = partial(self._tell, request)
        self._run = self._ghost_writer().complete(self._document, place, tell)

    def stop(self, target: int | str | None) -> None:
        """Stop the last completion by its id."""
        if target == self._last and self._run is not None:
            self._run.cancel()
            self._end(self._last)

    def _end(self, request_id: str | None, reason: str | None = "cancelled") -> None:
        """Answer a request, unless it is answered: one may end while it is cancelled."""
        with self._answering:
            if request_id is None or request_id != self._last:
                return
            self._last = None
        self._put(messages.Reply(request_id, reason))

    def _tell(self, request_id: str, news: GhostText | GhostEnd) -> None:
        """Pass on what is written. Comes on any thread."""
        if isinstance(news, GhostText):
            self._put(messages.CompletionMessage(request_id, news.item, news.text, news.is_final))
            return
        self._end(request_id, news.reason or None)
        if news.reason == NO_MODEL:
            self._tell_model()

    def _tell_model(self) -> None:
        self._put(messages.ModelMessage(model=self._llm.current.name_for("complete")))

    def _ghost_writer(self) -> GhostWriter:
        """Return the writer of ghost text; the page has reported its notebook by now."""
        if self._writer is None:
            llm, place = self._llm, self._session.path or self._session.client
            engine = partial(llm.current.resident_of, "complete")
            self._writer = GhostWriter(engine, place, timeline=llm.timeline)
        return self._writer
