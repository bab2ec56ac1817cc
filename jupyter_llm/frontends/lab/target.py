"""Where pages of JupyterLab reach the kernel: the target of their comms."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from jupyter_llm.api import llm
from jupyter_llm.frontends.comm.line import Part, hear_beside_cells
from jupyter_llm.frontends.comm.models import ActivityWatch, ModelChoice
from jupyter_llm.frontends.lab.actions import Actions
from jupyter_llm.frontends.lab.cells import page_cells
from jupyter_llm.frontends.lab.ghost import Ghost
from jupyter_llm.frontends.lab.panels import Panels
from jupyter_llm.frontends.lab.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jupyter_llm.api import LLM

PARTS: Sequence[Callable[..., Part]] = (
    *(Actions, ActivityWatch, Ghost, ModelChoice, page_cells, Panels),
)


class Sessions:
    """The pages that are connected."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._sessions: list[Session] = []  # those that have not said who they are as well
        self._gone: set[str | None] = set()  # senders of pages that were here
        self._lock = threading.RLock()  # comms of several pages come on several threads

    def __iter__(self) -> Iterator[Session]:
        with self._lock:
            return iter(tuple(self._sessions))

    def page(self, sender: str | None) -> Session | None:
        """The page that has run a cell; if it has gone since, the one that came last."""
        can_land = [session for session in self if session.can_land]
        found = [session for session in can_land if session.sender == sender]
        stand_ins = can_land if sender in self._gone else []
        return next(reversed(found or stand_ins), None)

    def open(self, comm: Any, message: Mapping[str, Any] | None = None) -> None:
        """Take in a comm that a page has opened."""
        sender = message["header"]["session"] if message else None
        session = Session(self._llm, comm.send, self._take_in, sender)
        for part in PARTS:
            part(session)
        with self._lock:
            self._sessions.append(session)
        hear_beside_cells(comm, lambda message: session.take(message["content"]["data"]))
        comm.on_close(lambda _message: self._let_go(session))

    def close(self) -> None:
        """Let all pages go."""
        for session in self:
            self._let_go(session)

    def _take_in(self, session: Session) -> None:
        """Take in a page that says who it is; a connection that it lost goes."""
        for other in self:
            if other is not session and other.client == session.client:
                self._let_go(other)

    def _let_go(self, session: Session) -> None:
        session.close()
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
                self._gone.add(session.sender)


sessions = Sessions(llm)
"""The pages that are connected to this kernel."""
