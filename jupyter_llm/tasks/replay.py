"""Compares the cells of a task, when they run in the kernel, with what was seen in the tries.

A variable is compared by the line that describes it: its type, its size and its first values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.records.records import source_sha256
from jupyter_llm.tasks.steps import described

if TYPE_CHECKING:
    from jupyter_llm.tasks.steps import Steps

_MOST_CELLS = 200
_MOST_NAMED = 3  # variables that differ
_ANYWAY = "Run the cell again to run it anyway."


@dataclass(slots=True, eq=False)
class _Cell:
    """A cell of a task that has not run yet, and the cell after it."""

    number: int
    read: Mapping[str, str]
    after: Mapping[str, str]
    next: _Cell | None = None
    problem: str = ""  # why it must not run without a word


class Replays:
    """The cells of tasks that were tried and have not run in the kernel yet."""

    def __init__(self) -> None:
        self._cells: dict[str, _Cell] = {}  # by hashes of their sources
        self._running: _Cell | None = None

    def expect(self, steps: Steps) -> None:
        """Note the cells of a task and what was seen in the tries."""
        following: _Cell | None = None
        for number, step in reversed([*enumerate(steps.steps, 1)]):
            read = steps.read if number == 1 else {}
            following = _Cell(number, read, step.after, following)
            self._cells[source_sha256(step.source)] = following
        while len(self._cells) > _MOST_CELLS:
            del self._cells[next(iter(self._cells))]

    def begin(self, source: str, variables: Mapping[str, Any]) -> str:
        """Return why a cell must not run now, "" if it may. The reason is given once."""
        self._running = cell = self._cells.pop(source_sha256(unmark(source)), None)
        if cell is None:
            return ""
        moved = _differences(cell.read, variables)
        if moved:
            cell.problem = f"The variables have changed since the cells were tried: {moved}."
        if cell.problem:
            self._running = None
            return f"{cell.problem} {_ANYWAY}"
        return ""

    def end(self, variables: Mapping[str, Any], *, is_success: bool) -> None:
        """Compare the variables with those in the try; the next cell is held if they differ."""
        cell, self._running = self._running, None
        if cell is None or cell.next is None or not is_success:
            return
        if differs := _differences(cell.after, variables):
            cell.next.problem = (
                f"Cell {cell.number} of the task came out otherwise than in its try: {differs}."
            )


def _differences(seen: Mapping[str, str], variables: Mapping[str, Any]) -> str:
    """Return in words how variables differ from those that were seen; "" if they do not."""
    now = {name: described(name, variables) for name in seen}
    other = [name for name, line in seen.items() if now[name] != line]
    words = [
        f"{name} is {now[name] or 'missing'}, not {seen[name] or 'deleted'}"
        for name in other[:_MOST_NAMED]
    ]
    more = len(other) - len(words)
    return "; ".join([*words, *[f"and {count_of(more, 'other variable')}"] * (more > 0)])
