"""Brings generated code into cells, where it waits for the user to run it."""

from __future__ import annotations

import hashlib
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
"""What is noted of a cell, where that can be."""

_MOST_WAITING = 16  # cells that have not landed; older ones are given up
MADE_KEY = "jupyter_llm_made_by"
"""Where a cell's metadata says for which cell it was made, and the hash of what it was then."""


class NextInput:
    """Writes cells by IPython's `set_next_input`, which every front end has.

    It brings one cell for each that is run: the others wait for the next that run without an error.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting: deque[tuple[str, bool]] = deque(maxlen=_MOST_WAITING)
        shell.events.register("post_run_cell", self._land)

    def write(self, sources: Sequence[str], *, replace: bool = False) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are.

        What is left of an answer before is given up. For the main thread.
        """
        if not sources:
            return ""
        first, *rest = sources
        self._shell.set_next_input(first, replace=replace)
        self._waiting.clear()
        self._waiting.extend((source, False) for source in rest)
        place = "in place of this cell" if replace else "in a new cell below"
        if not rest:
            return f"the code is {place}"
        return (
            f"the first of {len(sources)} pieces of code is {place}; run it, and the next follows"
        )

    def write_later(self, source: str, *, replace: bool = False) -> str:
        """Put a cell below the next one that is run, or in its place; say where. Any thread may."""
        self._waiting.append((source, replace))
        if replace:
            return "the code takes the place of the next cell that is run"
        return "the code comes in a new cell below the next one that is run"

    def close(self) -> None:
        """Let nothing land any more."""
        self._waiting.clear()
        with suppress(ValueError):  # closed before
            self._shell.events.unregister("post_run_cell", self._land)

    def _land(self, result: ExecutionResult | None) -> None:
        """Land the first that waits, unless the cell itself brings another one."""
        if not self._waiting or result is None or not result.success or _has_next(self._shell):
            return
        source, replace = self._waiting.popleft()
        self._shell.set_next_input(source, replace=replace)


def _has_next(shell: InteractiveShell) -> bool:
    """Tell whether a cell is to land below the one that runs: of several only the last would."""
    manager = shell.payload_manager
    payloads = manager.read_payload() if manager is not None else ()
    is_typed = getattr(shell, "rl_next_input", None)  # in a terminal
    return bool(is_typed) or any(one.get("source") == "set_next_input" for one in payloads)


@dataclass(frozen=True, slots=True)
class NewCell:
    """A cell as it is to be."""

    source: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class MadeCell:
    """A cell that was made for another one, and whether it still is what it was then."""

    cell_id: str
    source: str
    is_unchanged: bool

    @classmethod
    def of(cls, cell_id: str, source: str, made: Metadata) -> MadeCell:
        """A cell whose metadata says how it was made."""
        return cls(cell_id, source, is_unchanged=made.get("sha256") == _sha256(source))


class Page(Protocol):
    """A page that shows the notebook and can change its cells. For the main thread."""

    def made_by(self, cell_id: str) -> Sequence[MadeCell] | None:
        """The cells that were made for a cell, in their order; None if no page answers."""

    def put(self, cell_id: str, cells: Sequence[NewCell], places: Sequence[MadeCell]) -> int | None:
        """Put the first cells in the place of those that are what they were, the rest below.

        Return how many took a place; None if no page has put them anywhere.
        """

    def change(self, cell_id: str, before: str, cell: NewCell) -> bool:
        """Put a cell in the place of one that holds what it held before; say whether."""

    def close(self) -> None:
        """Ask nothing of it any more."""


class CellWriter:
    """Puts code into a notebook without running it.

    By way of the page, or else by IPython's next input, which can only add cells.

    A cell that runs again puts its code into those it made before, as far as the user has left them
    as they were, so that they do not pile up. `running` tells the id of the cell that runs.
    Belongs to the main thread.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        page: Callable[[], Page | None],
        running: Callable[[], str | None],
    ) -> None:
        self._page = page
        self._running = running
        self._next = NextInput(shell)

    @property
    def has_cells(self) -> bool:
        """Whether code can land in cells: a front end that has none sends no id of one."""
        return self._running() is not None

    def write(
        self, sources: Sequence[str], *, replace: bool = False, metadata: Sequence[Metadata] = ()
    ) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are."""
        cell_id = self._running()
        if sources and not replace and cell_id is not None and (page := self._page()) is not None:
            place = _put(page, cell_id, sources, metadata)
            if place is not None:
                return place
        return self._next.write(sources, replace=replace)

    def change(self, cell_id: str | None, before: str, source: str, metadata: Metadata) -> bool:
        """Put code in the place of another cell's, if that is still what it was; say whether."""
        page = self._page()
        if page is None or cell_id is None:
            return False
        return page.change(cell_id, before, NewCell(source, metadata))

    def close(self) -> None:
        """Let nothing land any more."""
        self._next.close()


def _put(
    page: Page, cell_id: str, sources: Sequence[str], metadata: Sequence[Metadata]
) -> str | None:
    """Where a page has put code of a cell, in words; None if it does not answer."""
    made = page.made_by(cell_id)
    if made is None:
        return None
    places = [cell for cell in made if cell.is_unchanged][: len(sources)]
    if list(map(_body, sources)) == [_body(cell.source) for cell in places]:
        return f"{_the_code(len(sources))} the same as before, below"
    notes = metadata or [{}] * len(sources)
    cells = [
        NewCell(source, {**note, MADE_KEY: {"cell": cell_id, "sha256": _sha256(source)}})
        for source, note in zip(sources, notes, strict=True)
    ]
    num_replaced = page.put(cell_id, cells, places)
    if num_replaced is None:  # closed or loaded again meanwhile
        return None
    return _where(len(cells), num_replaced, num_staying=len(made) - num_replaced)


def _sha256(source: str) -> str:
    return hashlib.sha256(source.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _body(source: str) -> str:
    return unmark(source).strip()


def _the_code(count: int) -> str:
    return "the code is" if count == 1 else f"the {count} pieces of code are"


def _where(count: int, num_replaced: int, *, num_staying: int) -> str:
    """Where code is that a page has put into cells, and what stays from before, in words."""
    the_code, new = _the_code(count), count - num_replaced
    stay = "stays" if num_staying == 1 else "stay"
    left = f"; {count_of(num_staying, 'other cell')} that it made {stay}" if num_staying else ""
    if not num_replaced:
        return f"{the_code} in {'a new cell' if new == 1 else f'{new} new cells'} below{left}"
    and_new = f", and in {count_of(new, 'new cell')}" if new else ""
    place = f"{the_code} below, in place of what this cell made before"
    return f"{place}{and_new}{left}; run it again, also after Run All"
