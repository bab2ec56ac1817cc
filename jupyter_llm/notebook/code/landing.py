"""Brings generated code into cells, where it waits for the user to run it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_llm.notebook.code.marks import read_mark

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

Metadata = Mapping[str, Any]
"""What is noted of a cell, where that can be."""

_MOST_WAITING = 16  # answers with cells that have not landed; older ones are given up


class CellWriter(Protocol):
    """Puts code into a notebook without running it."""

    def write(
        self, sources: Sequence[str], *, replace: bool = False, metadata: Sequence[Metadata] = ()
    ) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are."""

    def change(self, cell_id: str | None, before: str, source: str, metadata: Metadata) -> bool:
        """Put code in the place of another cell's, if that is still what it was; say whether."""


@dataclass(slots=True)
class _Waiting:
    """The cells of an answer that follow one that has landed."""

    landed: str
    rest: list[str]
    cell_ids: set[str]


class NextInput:
    """Writes cells by IPython's `set_next_input`, which every front end has.

    It brings one cell for each cell that is run. Further ones wait until the user has run the one
    before without an error, and then land below it. Belongs to the main thread.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting: deque[_Waiting] = deque(maxlen=_MOST_WAITING)

    def write(self, sources: Sequence[str], *, replace: bool = False) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are."""
        if not sources:
            return ""
        first, *rest = sources
        self._shell.set_next_input(first, replace=replace)
        place = "in place of this cell" if replace else "in a new cell below"
        if not rest:
            return f"the code is {place}"
        if not self._waiting:
            self._shell.events.register("post_run_cell", self._go_on)
        self._waiting.append(_Waiting(first, rest, set()))
        return (
            f"the first of {len(sources)} pieces of code is {place}; run it, and the next follows"
        )

    def close(self) -> None:
        """Let nothing land any more."""
        if self._waiting:
            self._waiting.clear()
            self._shell.events.unregister("post_run_cell", self._go_on)

    def _go_on(self, result: ExecutionResult | None) -> None:
        """Land the next piece below a cell that holds the one before, once it was run well.

        What is set now still goes along with the reply to the cell.
        """
        if result is None or not result.success or result.info is None:
            return
        cell_id = result.info.cell_id
        for waiting in self._waiting:
            if _is_landed(waiting, result.info.raw_cell, cell_id):
                self._land_next(waiting, cell_id)
                return

    def _land_next(self, waiting: _Waiting, cell_id: str | None) -> None:
        if cell_id is not None:
            waiting.cell_ids.add(cell_id)
        waiting.landed = waiting.rest.pop(0)
        self._shell.set_next_input(waiting.landed)
        if not waiting.rest:
            self._waiting.remove(waiting)
        if not self._waiting:
            self._shell.events.unregister("post_run_cell", self._go_on)


class LaterInput:
    """Writes cells when no cell of ours runs: below the next one that is run without an error.

    There is room for one there, so others wait for the cells after that. Safe from any thread.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting: deque[tuple[str, bool]] = deque(maxlen=_MOST_WAITING)
        shell.events.register("post_run_cell", self._land)

    def write(self, sources: Sequence[str], *, replace: bool = False) -> str:
        """Put cells below the next one that is run, or the first in its place; say where."""
        for number, source in enumerate(sources):
            self._waiting.append((source, replace and number == 0))
        if not sources:
            return ""
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
    return any(payload.get("source") == "set_next_input" for payload in payloads)


def _is_landed(waiting: _Waiting, source: str, cell_id: str | None) -> bool:
    """Tell whether a cell holds the code that landed last, perhaps edited by the user.

    All cells of an answer have the same mark, so a cell that was run before is told by its id.
    """
    if cell_id is not None and cell_id in waiting.cell_ids:
        return False
    if source.strip() == waiting.landed.strip():
        return True
    origin, expected = read_mark(source), read_mark(waiting.landed)
    if cell_id is None or origin is None or expected is None:
        return False
    return (origin.model, origin.record_id) == (expected.model, expected.record_id)
