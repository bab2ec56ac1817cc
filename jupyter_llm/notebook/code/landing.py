"""Inserts generated code into cells; the user decides whether to run it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.code.marks import unmark

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

Metadata = Mapping[str, Any]
"""The metadata of a cell, if it can be stored."""

_MOST_WAITING = 16  # cells to insert later; if there are more, the oldest are dropped

# Reasons for which a page does not change a cell or insert one.
_REFUSALS = {
    "changed": "has changed meanwhile",
    "cell": "is read-only",
    "gone": "is no longer in the notebook",
    "notebook": "is in a read-only notebook",
}
_NOWHERE = frozenset({"gone", "notebook"})  # no cell can be inserted below it either


class NextInput:
    """Inserts cells by IPython's `set_next_input`, which every front end supports.

    It inserts one cell per run. Further cells wait for the next run that has no error.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting: deque[tuple[str, bool]] = deque(maxlen=_MOST_WAITING)
        shell.events.register("post_run_cell", self._land)

    def write(self, sources: Sequence[str], *, replace: bool = False) -> str:
        """Insert cells below the running one, or replace it by the first; return their place.

        Cells that still wait from an earlier answer are dropped. For the main thread.
        """
        if not sources:
            return ""
        first, *rest = sources
        self._shell.set_next_input(first, replace=replace)
        self._waiting.clear()
        self._waiting.extend((source, False) for source in rest)
        place = "in place of this cell" if replace else "below"
        if not rest:
            return f"inserted {place}"
        return f"inserted the first of {len(sources)} cells {place}; run it to insert the next"

    def write_later(self, source: str, *, replace: bool = False) -> str:
        """Insert a cell below the next one that runs, or replace that.

        Return its place. Any thread.
        """
        self._waiting.append((source, replace))
        if replace:
            return "inserted in place of the next cell that you run"
        return "inserted below the next cell that you run"

    def close(self) -> None:
        """Insert nothing any more."""
        self._waiting.clear()
        with suppress(ValueError):  # already closed
            self._shell.events.unregister("post_run_cell", self._land)

    def _land(self, result: ExecutionResult | None) -> None:
        """Insert the first waiting cell after a cell ran.

        Insert nothing if that cell failed, or if it inserts a cell itself.
        """
        if not self._waiting or result is None or not result.success or _has_next(self._shell):
            return
        source, replace = self._waiting.popleft()
        self._shell.set_next_input(source, replace=replace)


def _has_next(shell: InteractiveShell) -> bool:
    """Whether the running cell already inserts a cell: IPython would keep only the last."""
    manager = shell.payload_manager
    payloads = manager.read_payload() if manager is not None else ()
    is_typed = getattr(shell, "rl_next_input", None)  # in a terminal
    return bool(is_typed) or any(one.get("source") == "set_next_input" for one in payloads)


@dataclass(frozen=True, slots=True)
class NewCell:
    """A cell to insert."""

    source: str
    metadata: Metadata

    @property
    def body(self) -> str:
        """Return the source without the line that names the model."""
        return unmark(self.source).strip()


@dataclass(frozen=True, slots=True)
class Landing:
    """The result of inserting code through a page.

    `num_replaced` cells replaced earlier ones of the same cell, and `num_staying` earlier ones
    remain. Nothing was inserted if there is a `refusal`, a key of `_REFUSALS`, or if `is_same`: the
    code was already there.
    """

    num_replaced: int = 0
    num_staying: int = 0
    is_same: bool = False
    refusal: str | None = None


class Page(Protocol):
    """A page that shows the notebook and can change its cells. For the main thread."""

    def land(
        self, cell_id: str, cells: Sequence[NewCell], before: str | None = None
    ) -> Landing | None:
        """Insert code below a cell, in place of earlier insertions that are unchanged.

        If `before` is not None, the first cell replaces the cell itself, if that still has this
        source. None if no page answers.
        """

    def show_fix(self, cell_id: str) -> None:
        """Offer at a cell that failed what can be run there, if the page has buttons for it."""

    def close(self) -> None:
        """Send no more requests to the page."""


@dataclass(frozen=True, slots=True)
class Insertion:
    """The place of code in words.

    `is_landed`: it is in a cell. `has_metadata`: the cell's metadata is stored, too.
    """

    words: str
    is_landed: bool = True
    has_metadata: bool = False


class CellWriter:
    """Inserts code into a notebook without running it.

    It uses the page, or else IPython's next input, which can only add cells. A cell that runs again
    replaces the cells that it inserted before, if the user has not changed them. So they do not
    pile up. `running` returns the id and the source of the running cell. `on_write` receives all
    sources. For the main thread.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        page: Callable[[], Page | None],
        running: Callable[[], tuple[str, str] | None],
        on_write: Callable[..., object] = lambda *_sources: None,
    ) -> None:
        self._page = page
        self._running = running
        self._on_write = on_write
        self._next = NextInput(shell)

    @property
    def has_cells(self) -> bool:
        """Whether the front end has cells: one without sends no cell id."""
        return self._running() is not None

    def write(
        self, sources: Sequence[str], *, replace: bool = False, metadata: Sequence[Metadata] = ()
    ) -> Insertion:
        """Insert cells below the running one, or replace it by the first; return their place."""
        self._on_write(*sources)
        running, count = self._running(), len(sources)
        page = self._page() if sources and running is not None else None
        if page is not None and running is not None:
            cell_id, before = running
            notes = metadata or [{}] * count
            cells = [NewCell(*each) for each in zip(sources, notes, strict=True)]
            landing = page.land(cell_id, cells, before if replace else None)
            why = _REFUSALS.get(landing.refusal or "", "") if landing is not None else ""
            if landing is not None and why and landing.refusal not in _NOWHERE:
                replace, landing = False, page.land(cell_id, cells)
            if landing is not None:
                if landing.refusal:
                    return Insertion(f"not inserted: this cell {why}", is_landed=False)
                position = _in_place(count) if replace else _where(count, landing)
                words = f"{position}: this cell {why}" if why else position
                return Insertion(words, has_metadata=True)
        return Insertion(self._next.write(sources, replace=replace), is_landed=bool(sources))

    def change(self, cell_id: str | None, before: str, source: str, metadata: Metadata) -> str:
        """Replace another cell's source if it is still `before`.

        Return the reason if that failed.
        """
        self._on_write(source)
        page = self._page()
        landing = None
        if page is not None and cell_id is not None:
            landing = page.land(cell_id, [NewCell(source, metadata)], before)
        if landing is None:
            return "cannot be changed from here"
        return _REFUSALS.get(landing.refusal or "", "")

    def close(self) -> None:
        """Insert nothing any more."""
        self._next.close()


def _inserted(count: int) -> str:
    return "inserted" if count == 1 else f"inserted {count} cells"


def _in_place(count: int) -> str:
    return f"inserted in place of this cell{' and below' if count > 1 else ''}"


def _where(count: int, landing: Landing) -> str:
    """Return in words the place of code that a page inserted, and the earlier cells that remain."""
    inserted = _inserted(count)
    if landing.is_same:
        return "the code below is unchanged"
    others = count_of(landing.num_staying, "other cell")
    stay = "stays" if landing.num_staying == 1 else "stay"
    remaining = f"; {others} of an earlier run {stay}" if landing.num_staying else ""
    if not landing.num_replaced:
        return f"{inserted} below{remaining}"
    replaced = "the cell" if landing.num_replaced == 1 else f"the {landing.num_replaced} cells"
    place = f"{inserted} below, in place of {replaced} of an earlier run"
    return f"{place}{remaining}; run {'it' if count == 1 else 'them'} again, also after Run All"
