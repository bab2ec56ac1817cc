"""Brings generated code into cells, where it waits for the user to run it."""

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
"""What is noted of a cell, where that can be."""

_MOST_WAITING = 16  # cells that have not landed; older ones are given up

# Why a page leaves a cell as it is, or puts nothing into the notebook.
_REFUSALS = {
    "changed": "has changed meanwhile",
    "cell": "is read-only",
    "gone": "is no longer in the notebook",
    "notebook": "is in a read-only notebook",
}
_NOWHERE = frozenset({"gone", "notebook"})  # nor can anything be put below it


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

    @property
    def body(self) -> str:
        """What stands in it but for the line that says whose it is."""
        return unmark(self.source).strip()


@dataclass(frozen=True, slots=True)
class Landing:
    """What has come of code that a page was to put into cells.

    So many took the place of cells that were made before, and so many others of those stay. Nothing
    landed if there is a `refusal`, a key of `_REFUSALS`, or if `is_same` says that it was there.
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
        """Put code below a cell, in place of what it made before as far as that is unchanged.

        If there is a `before`, the first comes in place of the cell itself, while it reads so. None
        if no page answers.
        """

    def close(self) -> None:
        """Ask nothing of it any more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where code is, in words, whether that is in a cell, and whether its metadata is there too."""

    words: str
    is_landed: bool = True
    has_metadata: bool = False


class CellWriter:
    """Puts code into a notebook without running it.

    By way of the page, or else by IPython's next input, which can only add cells.

    A cell that runs again puts its code into those it made before, as far as the user has left them
    as they were, so that they do not pile up. `running` tells the id of the cell that runs, and its
    source. Belongs to the main thread.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        page: Callable[[], Page | None],
        running: Callable[[], tuple[str, str] | None],
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
    ) -> Place:
        """Put cells below the one that runs, or the first in its place; say where they are."""
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
                    return Place(f"this cell {why}, so the code is in none", is_landed=False)
                where = _in_place(count) if replace else _where(count, landing)
                words = f"this cell {why}, so {where}" if why else where
                return Place(words, has_metadata=True)
        return Place(self._next.write(sources, replace=replace), is_landed=bool(sources))

    def change(self, cell_id: str | None, before: str, source: str, metadata: Metadata) -> str:
        """Put code in the place of another cell's, if that is still what it was, or say why not."""
        page = self._page()
        landing = None
        if page is not None and cell_id is not None:
            landing = page.land(cell_id, [NewCell(source, metadata)], before)
        if landing is None:
            return "cannot be changed from here"
        return _REFUSALS.get(landing.refusal or "", "")

    def close(self) -> None:
        """Let nothing land any more."""
        self._next.close()


def _the_code(count: int) -> str:
    return "the code is" if count == 1 else f"the {count} pieces of code are"


def _in_place(count: int) -> str:
    first = "the code is" if count == 1 else f"the first of {count} pieces of code is"
    return f"{first} in place of this cell{', the rest below' if count > 1 else ''}"


def _where(count: int, landing: Landing) -> str:
    """Where code is that a page has put below a cell, and what stays from before, in words."""
    the_code, new = _the_code(count), count - landing.num_replaced
    if landing.is_same:
        return f"{the_code} the same as before, below"
    others = count_of(landing.num_staying, "other cell")
    stay = "stays" if landing.num_staying == 1 else "stay"
    left = f"; {others} that it made {stay}" if landing.num_staying else ""
    if not landing.num_replaced:
        return f"{the_code} in {'a new cell' if new == 1 else f'{new} new cells'} below{left}"
    and_new = f", and in {count_of(new, 'new cell')}" if new else ""
    place = f"{the_code} below, in place of what this cell made before"
    return f"{place}{and_new}{left}; run it again, also after Run All"
