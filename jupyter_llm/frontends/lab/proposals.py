"""Proposals for cells that wait for a decision: one state of the kernel, shown by all pages."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from jupyter_llm.frontends.comm.line import Line
from jupyter_llm.frontends.comm.messages import OpenProposal, Proposed

_MOST = 200  # cells may be deleted while no page is open


class Proposals:
    """The open proposals of all `pages`, by the tasks that made them, oldest first."""

    def __init__(self, pages: Iterable[Line]) -> None:
        self._pages = pages
        self._open: dict[str, OpenProposal] = {}
        self._lock = threading.Lock()  # guards the proposals, and the order of messages

    def all(self) -> dict[str, OpenProposal]:
        """Return the open proposals by their tasks."""
        with self._lock:
            return dict(self._open)

    def keep(self, task: str, waiting: OpenProposal | None, by: Line | None = None) -> None:
        """Keep the proposal of a task, or with None drop it; tell the pages other than `by`."""
        with self._lock:
            self._open.pop(task, None)
            if waiting is not None:
                self._open[task] = waiting
            while len(self._open) > _MOST:
                del self._open[next(iter(self._open))]
            for page in self._pages:
                if page is not by:
                    page.put(Proposed(task, waiting))

    def keep_others(self, task: str, others: Sequence[OpenProposal]) -> None:
        """Keep the changes of other cells that a task proposes now, each as its own proposal."""
        names = [f"{task}/{number}" for number in range(1, len(others) + 1)]
        for old in self.all().keys() - names:
            if old.startswith(f"{task}/"):
                self.keep(old, None)
        for name, waiting in zip(names, others, strict=True):
            self.keep(name, waiting)
