"""Proposals for cells that wait for a decision: one state of the kernel, shown by all pages."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from jupyter_llm.api import llm
from jupyter_llm.frontends.comm.messages import CellProposal, OpenProposal, Proposed
from jupyter_llm.frontends.mcp.review import ProposedCell

_MOST = 200  # cells may be deleted while no page is open


class Page(Protocol):
    """A page that hears of proposals; `path` is that of its notebook, "" without one."""

    path: str

    def put(self, message: Proposed) -> object:
        """Send a message."""


class Proposals:
    """The open proposals of all `pages`, by the tasks that made them, oldest first."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = pages
        self._open: dict[str, OpenProposal] = {}
        self._accepted: dict[str, OpenProposal] = {}  # as they were when a person accepted them
        self._lock = threading.Lock()  # guards the proposals, and the order of messages

    @property
    def is_shown(self) -> bool:
        """Whether a page shows the notebook."""
        return any(page.path for page in self._pages)

    def all(self) -> dict[str, OpenProposal]:
        """Return the open proposals by their tasks."""
        with self._lock:
            return dict(self._open)

    def accepted(self) -> dict[str, str]:
        """Return the sources that a person accepted last, by the tasks that proposed them."""
        with self._lock:
            return {task: one.proposal.source for task, one in self._accepted.items()}

    def propose(self, cells: Mapping[str, ProposedCell]) -> None:
        """Show proposals of an agent, by their names, at the cells of all pages."""
        for name, cell in cells.items():
            change = CellProposal(
                cell=cell.cell_id,
                before=cell.before,
                source=cell.sources[0],
                unknown_names=list(cell.unknown_names),
                metadata={},
                markdown=cell.verdict,
                runs=[],
                below=list(cell.sources[1:]),
                kinds=list(cell.kinds),
            )
            self.keep(name, OpenProposal(None, cell.cell_id, None, change))

    def keep(
        self,
        task: str,
        waiting: OpenProposal | None,
        by: object = None,
        *,
        is_accepted: bool = False,
    ) -> None:
        """Keep the proposal of a task, or with None drop it; tell the pages other than `by`."""
        with self._lock:
            old = self._open.pop(task, None)
            if old is not None and is_accepted:
                self._accepted[task] = old
                while len(self._accepted) > _MOST:
                    del self._accepted[next(iter(self._accepted))]
            if waiting is not None:
                self._open[task] = waiting
                llm.kept_runs.wrote(waiting.proposal.source, *waiting.proposal.below)
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
