"""The cells that ran in this kernel, in their order; which of them to keep and which to hide."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from jupyter_llm.common.watchers import Watchers
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.events import CellEvent, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Mark = Literal["llm-pin", "llm-hide"]
"""What a cell may be marked as, by the name of the cell tag that does the same."""

_Key = str | int  # a cell's id, or the number of its one run where a cell has none


def _key(cell: CellEvent) -> _Key:
    return cell.cell_id if cell.cell_id is not None else cell.number


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A timeline at one moment."""

    cells: tuple[CellEvent, ...] = ()
    pinned: frozenset[CellEvent] = frozenset()
    _hidden: frozenset[_Key] = field(default=frozenset(), repr=False)

    def is_hidden(self, cell: CellEvent) -> bool:
        """Whether the model is not to see a run of a cell."""
        return _key(cell) in self._hidden

    @property
    def visible(self) -> tuple[CellEvent, ...]:
        """The runs that the model may see."""
        return tuple(cell for cell in self.cells if not self.is_hidden(cell))


class Timeline:
    """The runs of cells, which are only ever added to. Safe to use from any thread.

    A cell that is pinned stays in the prompts when others no longer fit: its latest run does. Of a
    cell that is hidden no run is in any prompt. The cell tags `llm-pin` and `llm-hide` do the same
    until `pin`, `unpin`, `hide` or `unhide` say otherwise; the tags of the latest run count.
    """

    def __init__(self) -> None:
        self._cells: list[CellEvent] = []
        self._latest: dict[_Key, CellEvent] = {}
        self._marks: dict[tuple[_Key, Mark], bool] = {}
        self._watchers = Watchers()
        self._lock = threading.Lock()

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever cells have run or were marked; what is returned ends that.

        The call comes on any thread and must return at once. Its errors are logged.
        """
        return self._watchers.add(callback)

    @property
    def cells(self) -> tuple[CellEvent, ...]:
        """The runs so far, the oldest first."""
        with self._lock:
            return tuple(self._cells)

    def append(
        self,
        source: str,
        *,
        execution_count: int | None = None,
        cell_id: str | None = None,
        outputs: Iterable[Output] = (),
        tags: Iterable[str] = (),
    ) -> CellEvent:
        """Add a run of a cell and return it."""
        with self._lock:
            cell = CellEvent(
                number=len(self._cells) + 1,
                source=source,
                execution_count=execution_count,
                cell_id=cell_id,
                outputs=tuple(outputs),
                tags=frozenset(tags),
            )
            self._cells.append(cell)
            self._latest[_key(cell)] = cell
        self._watchers.tell()
        return cell

    def pin(self, *cells: int | str) -> list[CellEvent]:
        """Keep cells in the prompts, by execution counts or cell ids; return their latest runs."""
        return self._mark(cells, "llm-pin", is_set=True)

    def unpin(self, *cells: int | str) -> list[CellEvent]:
        """Let pinned cells give way like others."""
        return self._mark(cells, "llm-pin", is_set=False)

    def hide(self, *cells: int | str) -> list[CellEvent]:
        """Keep cells out of all prompts."""
        return self._mark(cells, "llm-hide", is_set=True)

    def unhide(self, *cells: int | str) -> list[CellEvent]:
        """Let the model see hidden cells again."""
        return self._mark(cells, "llm-hide", is_set=False)

    def snapshot(self) -> Snapshot:
        """Return the runs so far and how they are marked."""
        with self._lock:
            return Snapshot(
                tuple(self._cells),
                frozenset(self._latest[key] for key in self._marked("llm-pin")),
                frozenset(self._marked("llm-hide")),
            )

    def _mark(self, cells: tuple[int | str, ...], mark: Mark, *, is_set: bool) -> list[CellEvent]:
        with self._lock:
            found = [self._find(cell) for cell in cells]  # all of them or none
            for cell in found:
                self._marks[_key(cell), mark] = is_set
        self._watchers.tell()
        return found

    def _find(self, wanted: int | str) -> CellEvent:
        for cell in reversed(self._cells):
            if wanted in (cell.execution_count, cell.cell_id):
                return self._latest[_key(cell)]
        name = f"In [{wanted}]" if isinstance(wanted, int) else f"with the id {wanted!r}"
        raise OptionError(f"No cell {name} has run here. `%llm /context` lists those that have.")

    def _marked(self, mark: Mark) -> list[_Key]:
        return [
            key
            for key, cell in self._latest.items()
            if self._marks.get((key, mark), mark in cell.tags)
        ]
