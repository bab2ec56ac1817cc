"""A page that is asked to put code into cells, over whatever comm it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.line import Line, Part
from jupyter_llm.notebook.code.landing import Landing, NewCell

ANSWER_S = 8.0  # of a page that is there, on busy cores too: for all of what it is asked
SILENCE_S = 3.0  # after which a page counts as gone


class AskedPage(Part):
    """Sends a page what is to land, and waits for what comes of it.

    What a page says comes on a subshell, so also while a cell waits for it; one without subshells
    counts as none. Until it has said that it is there it is waited for once, for `patience_s`.
    """

    def __init__(self, line: Line, patience_s: float = 0.0) -> None:
        super().__init__(line)
        self._patience_s = patience_s
        self._clients: dict[str, None] = {}  # that have said that they are there, the latest last
        self._there: set[str] = set()  # those that have said so since somebody was asked last
        self._num_asked = 0
        self._answer: Landing | None = None
        self._changed = threading.Condition()  # guards what pages say

    @property
    def is_there(self) -> bool:
        """Whether somebody is heard while a cell runs."""
        return bool(self._clients)

    def land(
        self, client: str | None, cell_id: str, cells: Sequence[NewCell], before: str | None
    ) -> Landing | None:
        """Have the page of that name put code into cells; `landing.Page` says how.

        Where it has gone, as one that was loaded again has, the one that came last stands in. First
        it is asked whether it is there: what it heard when it was given up would land as well.
        """
        wanted = [messages.NewCellData(c.source, c.body, dict(c.metadata)) for c in cells]
        with self._changed:
            patience_s, self._patience_s = self._patience_s, 0.0
            self._changed.wait_for(lambda: self._clients, patience_s)
            end_s = time.monotonic() + ANSWER_S
            if (page := self._find(client)) is None:
                return None
            self._num_asked += 1
            self._answer = None
            self._put(messages.PutCells(str(self._num_asked), page, cell_id, before, wanted))
            left_s = end_s - time.monotonic()
            self._changed.wait_for(lambda: self._answer is not None, left_s)
            return self._answer

    def _find(self, client: str | None) -> str | None:
        """Ask who is there; return the client, or else the latest of the others that answer.

        Those that stay silent are asked no more, but for the client, which ran the cell.
        """
        if not self._clients:
            return None
        wanted = client if client in self._clients else [*self._clients][-1]
        self._there.clear()
        self._put(messages.Anybody())
        if self._changed.wait_for(lambda: wanted in self._there, SILENCE_S):
            return wanted
        for silent in self._clients.keys() - self._there - {client}:
            del self._clients[silent]
        return next((one for one in reversed(self._clients) if one in self._there), None)

    @call("later")
    def hello(self, request: str, /, protocol: int, client: str, path: str) -> None:  # noqa: ARG002
        """Take in a page, or the new path of its notebook below the root; "" is no notebook."""
        if _is_beside_cells():
            with self._changed:
                self._clients.pop(client, None)
                self._clients[client] = None
                self._there.add(client)
                self._changed.notify_all()
        self._line.greet(request, client, path)

    @call("at once")
    def landed(self, target: str, landing: Landing) -> None:
        """Take in what became of the cells in the message `put-cells` with the id `target`."""
        if _is_beside_cells():
            with self._changed:
                if target == str(self._num_asked):
                    self._answer = landing
                self._changed.notify_all()


def _is_beside_cells() -> bool:
    return threading.current_thread() is not threading.main_thread()
