"""The target of comms, by which pages of JupyterLab reach the kernel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from jupyter_llm.api import LLM, llm
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.line import Part, end_subshell, hear_beside_cells
from jupyter_llm.frontends.comm.models import ActivityWatch, ModelChoice
from jupyter_llm.frontends.lab.actions import Actions
from jupyter_llm.frontends.lab.cells import PageCells
from jupyter_llm.frontends.lab.ghost import Ghost
from jupyter_llm.frontends.lab.panels import Panels
from jupyter_llm.frontends.lab.proposals import Proposals
from jupyter_llm.frontends.lab.session import Session
from jupyter_llm.frontends.mcp import review

PARTS: Sequence[Callable[..., Part]] = (
    *(Actions, ActivityWatch, Ghost, ModelChoice, PageCells, Panels),
)

SILENT_S = 60.0  # a page that was asked whether it is there may be asleep, or its browser busy


class Sessions:
    """The pages that are connected."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._sessions: list[Session] = []  # those that have not said who they are as well
        self._proposals = review.reviewer = Proposals(self)
        self._gone: set[str | None] = set()  # senders of pages that were here
        self._lock = threading.RLock()  # comms of several pages come on several threads

    def __iter__(self) -> Iterator[Session]:
        with self._lock:
            return iter(tuple(self._sessions))

    def page(self, sender: str | None) -> Session | None:
        """The page that has run a cell; if it has gone since, the one that came last."""
        can_land = [session for session in self if session.can_land]
        own = [session for session in can_land if session.sender == sender]
        others = can_land if sender in self._gone else []
        return next(reversed(own or others), None)

    def open(self, comm: Any, message: Mapping[str, Any] | None = None) -> None:
        """Take in a comm that a page has opened. A browser that ended has not closed its own."""
        header = message["header"] if message else {}
        asker = header.get("session")
        session = Session(self._llm, comm.send, self._take_in, self._proposals, asker)
        session.on_silence = partial(_send_away, comm, header.get("subshell_id"))
        for part in PARTS:
            part(session)
        with self._lock:
            asked = {other: other.num_heard for other in self}
            self._sessions.append(session)
        for other in asked:
            other.put(messages.Anybody())
        if asked:
            timer = threading.Timer(SILENT_S, self._let_silent_go, [asked])
            timer.daemon = True
            timer.start()
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

    def _let_silent_go(self, asked: Mapping[Session, int]) -> None:
        """Let go of the pages that have sent no message since they were asked."""
        for session, num_heard in asked.items():
            if session.num_heard == num_heard and not session.is_closed:
                session.on_silence()
                self._let_go(session)

    def _let_go(self, session: Session) -> None:
        session.close()
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
                self._gone.add(session.sender)


def _send_away(comm: Any, subshell: str | None) -> None:
    """Do nothing for a page any more; if it wakes, have it connect anew.

    `seq` tells the page that it missed something. To close the comm would put a complaint into the
    log of every page of the kernel.
    """
    hear_beside_cells(comm, lambda _message: comm.send({"type": "anybody", "seq": 0}))
    end_subshell(comm, subshell)


sessions = Sessions(llm)
"""The pages that are connected to this kernel."""
