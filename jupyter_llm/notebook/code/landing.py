"""Brings generated code into cells, where it waits for the user to run it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

Metadata = Mapping[str, Any]
"""What is noted of a cell, where that can be."""

_MOST_WAITING = 16  # cells that have not landed; older ones are given up


class CellWriter(Protocol):
    """Puts code into a notebook without running it."""

    def write(
        self, sources: Sequence[str], *, replace: bool = False, metadata: Sequence[Metadata] = ()
    ) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are."""

    def change(self, cell_id: str | None, before: str, source: str, metadata: Metadata) -> bool:
        """Put code in the place of another cell's, if that is still what it was; say whether."""


class LaterInput:
    """Writes cells when no cell of ours runs: one below each that is run without an error.

    By IPython's `set_next_input`, which every front end has, and which brings one cell for each
    that is run. Safe from any thread.
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


class NextInput(LaterInput):
    """Writes cells while one runs: the first below that one, others below the next that are run.

    What is left of an answer before is given up. Belongs to the main thread.
    """

    def write(self, sources: Sequence[str], *, replace: bool = False) -> str:
        """Put cells below the one that runs, or the first in its place; say where they are."""
        if not sources:
            return ""
        first, *rest = sources
        self._shell.set_next_input(first, replace=replace)
        self._waiting.clear()
        super().write(rest)
        place = "in place of this cell" if replace else "in a new cell below"
        if not rest:
            return f"the code is {place}"
        return (
            f"the first of {len(sources)} pieces of code is {place}; run it, and the next follows"
        )


def _has_next(shell: InteractiveShell) -> bool:
    """Tell whether a cell is to land below the one that runs: of several only the last would."""
    manager = shell.payload_manager
    payloads = manager.read_payload() if manager is not None else ()
    is_typed = getattr(shell, "rl_next_input", None)  # in a terminal
    return bool(is_typed) or any(one.get("source") == "set_next_input" for one in payloads)
