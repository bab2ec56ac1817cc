"""Brings code into the cells of a page that shows the notebook, where it lets itself be changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.code.landing import Metadata, NextInput
from jupyter_llm.notebook.code.marks import unmark

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

MADE_KEY = "jupyter_llm_made_by"
"""Where a cell's metadata says for which cell it was made, and the hash of what it was then."""

_MOST_MADE = 20  # pieces of code of one cell
_MOST_REPLACED = 100  # cells of which it is known what they held before


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
    def of(cls, cell_id: str, source: str, made: Metadata | None) -> MadeCell:
        """A cell whose metadata says how it was made, or that holds what was made."""
        is_unchanged = made is None or made.get("sha256") == _sha256(source)
        return cls(cell_id, source, is_unchanged=is_unchanged)


class Page(Protocol):
    """A page that shows the notebook and can change its cells. For the main thread."""

    def made_by(self, cell_id: str, alike: Sequence[str]) -> Sequence[MadeCell] | None:
        """The cells that were made for a cell, in their order; None if no page answers.

        What was made without a page is `alike`: cells that hold it count as well.
        """

    def put(self, cell_id: str, cells: Sequence[NewCell], places: Sequence[MadeCell]) -> bool:
        """Put the first cells in the place of others, and the rest below; say whether it did."""

    def change(self, cell_id: str, before: str, cell: NewCell) -> bool:
        """Put a cell in the place of one that holds what it held before; say whether."""

    def close(self) -> None:
        """Ask nothing of it any more."""


class PageInput:
    """Writes cells by way of the page, or else by IPython's next input, which can only add them.

    A cell that runs again puts its code into those it made before, as far as the user has left them
    as they were, so that they do not pile up. `running` tells the id of the cell that runs, and
    `tell` shows the user a line. Belongs to the main thread.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        page: Callable[[], Page | None],
        running: Callable[[], str | None],
        tell: Callable[[str], object],
    ) -> None:
        self._shell = shell
        self._page = page
        self._running = running
        self._tell = tell
        self._next = NextInput(shell)
        self._made: dict[str, tuple[str, ...]] = {}  # without a page, by the cells that made it
        self._replaced: dict[str, str] = {}  # what cells held before, by their ids

    def write(
        self, sources: Sequence[str], *, replace: bool = False, metadata: Sequence[Metadata] = ()
    ) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are."""
        cell_id = self._running()
        if replace or cell_id is None or not sources:
            return self._next.write(sources, replace=replace)
        page = self._page()
        made = page.made_by(cell_id, self._made.get(cell_id, ())) if page is not None else None
        if page is None or made is None:
            return self._write_next(cell_id, sources)
        places = [cell for cell in made if cell.is_unchanged][: len(sources)]
        if list(map(_body, sources)) == [_body(cell.source) for cell in places]:
            return f"{_the_code(len(sources))} the same as before, below"
        notes = metadata or [{}] * len(sources)
        cells = [
            NewCell(source, {**note, MADE_KEY: {"cell": cell_id, "sha256": _sha256(source)}})
            for source, note in zip(sources, notes, strict=True)
        ]
        if not page.put(cell_id, cells, places):  # closed or loaded again meanwhile
            return self._write_next(cell_id, sources)
        self._note_replaced(places)
        return _where(len(cells), len(places), num_changed=0 if places else len(made))

    def change(self, cell_id: str | None, before: str, source: str, metadata: Metadata) -> bool:
        """Put code in the place of another cell's, if that is still what it was; say whether."""
        page = self._page()
        if page is None or cell_id is None:
            return False
        return page.change(cell_id, before, NewCell(source, metadata))

    def close(self) -> None:
        """Let nothing land any more."""
        self._next.close()
        if self._replaced:
            self._replaced.clear()
            self._shell.events.unregister("post_run_cell", self._say_what_ran)

    def _write_next(self, cell_id: str, sources: Sequence[str]) -> str:
        place = self._next.write(sources)
        is_again = cell_id in self._made
        self._made[cell_id] = (*self._made.get(cell_id, ()), *sources)[-_MOST_MADE:]
        return f"{place}; what this cell made before stays" if is_again else place

    def _note_replaced(self, places: Sequence[MadeCell]) -> None:
        """Remember what cells held: Run All has sent that to the kernel already."""
        if places and not self._replaced:
            self._shell.events.register("post_run_cell", self._say_what_ran)
        for cell in places:
            self._replaced[cell.cell_id] = cell.source
        for old in [*self._replaced][:-_MOST_REPLACED]:
            del self._replaced[old]

    def _say_what_ran(self, result: ExecutionResult | None) -> None:
        info = result.info if result is not None else None
        cell_id = getattr(info, "cell_id", None)
        if info is None or cell_id not in self._replaced:
            return
        before = self._replaced.pop(cell_id)
        if not self._replaced:
            self._shell.events.unregister("post_run_cell", self._say_what_ran)
        if _body(info.raw_cell) == _body(before):
            self._tell("This ran the code from before. The cell holds new code now: run it again.")


def _sha256(source: str) -> str:
    return hashlib.sha256(source.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _body(source: str) -> str:
    return unmark(source).strip()


def _the_code(count: int) -> str:
    return "the code is" if count == 1 else f"the {count} pieces of code are"


def _where(count: int, num_replaced: int, *, num_changed: int) -> str:
    """Where code is that a page has put into cells, in words."""
    the_code, new = _the_code(count), count - num_replaced
    if num_replaced:
        place = f"{the_code} below, in place of what this cell made before"
        return f"{place}, and in {count_of(new, 'new cell')}" if new else place
    place = f"{the_code} in {'a new cell' if new == 1 else f'{new} new cells'} below"
    if num_changed == 1:
        return f"{place}; the cell made before stays as you changed it"
    stay = f"; the {num_changed} cells made before stay as you changed them"
    return place + stay if num_changed else place
