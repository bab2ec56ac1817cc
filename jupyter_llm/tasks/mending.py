"""Mends that rules know of, tried before a model is asked."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.cells.rendering import shown_name
from jupyter_llm.notebook.code.bindings import bindings
from jupyter_llm.notebook.failures.broken_cell import failing_line
from jupyter_llm.notebook.failures.failure import told_failure
from jupyter_llm.notebook.failures.mends import mends
from jupyter_llm.notebook.failures.missing import slot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.failures.broken_cell import Mend
    from jupyter_llm.notebook.failures.causes import Cause
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.task import Task

_MAX_CELLS = 4  # that may be the cause
_MAX_MENDS = 16  # of one cell
_MAX_S = 8.0  # in which another try is begun
_MAX_DEPTH = 3  # errors of one cell behind the first
_MAX_FILES = 2000
_SKIPPED = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A cell that rules have changed, with what was seen when it was tried.

    `is_past` where another error came behind the place of the first.
    """

    cause: Cause
    mend: Mend
    seen: Seen
    is_past: bool = False

    @property
    def is_good(self) -> bool:
        """Whether no model need be asked."""
        is_likely = self.mend.is_sure and (self.is_past or not self.seen.was_tried)
        return is_likely or (self.seen.runs and not self.mend.is_guess)

    @property
    def is_settled(self) -> bool:
        """Whether another mend would hardly be better."""
        return self.is_good and self.seen.outcome != "raises"

    @property
    def verdict(self) -> str:
        """What was seen, as a sentence."""
        return verdict(self.seen, is_past=self.is_past)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How the cells of a failure are tried: a changed one, and behind it what it is to mend.

    `makers` are all cells that had a hand in the values, in the order they ran.
    """

    task: Task
    failure: Failure
    failed: CellEvent | None = None
    makers: tuple[CellEvent, ...] = ()

    def seen(self, cell: CellEvent, source: str, **how: Any) -> Seen:
        """What comes of a cell with another source, up to the one that failed."""
        failed = self.failed
        is_failing = failed is None or is_same(cell, failed)
        behind = () if is_failing or failed is None else (failed.source,)
        seen = self.task.tries.seen(source, *behind, **how)
        makes_again = any(binding.makes_again for binding in bindings(cell.source))
        if seen.outcome != "raises" or failed is None or not (behind or makes_again):
            return seen
        # What was made of it, or what it was made of, may be as the error left it.
        others = [one for one in self.makers if not is_same(one, cell)]
        before = [one for one in others if one.number < cell.number]
        after = [one for one in others if cell.number < one.number < failed.number]
        made = (*_sources(before), source, *_sources(after), *behind)
        again = self.task.tries.seen(*made, **how) if before or after else seen
        if not again.runs:
            return seen
        names = " and ".join(map(shown_name, (*before, *after)))
        has = "has" if len(before) + len(after) == 1 else "have"
        return replace(again, text=f"runs once {names} {has} run again")

    def is_past(self, cell: CellEvent, before: str, after: str, seen: Seen) -> bool:
        """Whether the error came behind the place where the first one was."""
        if seen.outcome == "running":
            return True
        if seen.outcome != "raises":
            return False
        if self.failed is not None and not is_same(cell, self.failed):
            is_later = seen.lineno > failing_line(self.failure, self.failed.source) > 0
            return seen.index > 0 and (is_later or seen.error_kind != self.failure.kind)
        if self.failure.syntax is not None:
            return seen.error_kind not in ("SyntaxError", "IndentationError", "TabError")
        line = failing_line(self.failure, before)
        return seen.lineno > line + after.count("\n") - before.count("\n") and line > 0


def find_mends(trial: Trial, causes: Sequence[Cause]) -> Iterator[Mended]:
    """Yield mends of the cells that may be the cause, as they were seen, up to one that runs.

    Raises
    ------
    KeyboardInterrupt
        The user interrupted a try.
    """
    search = _Search(trial, time.monotonic() + _MAX_S)
    for cause in causes[:_MAX_CELLS]:
        for found in search.mended(cause, trial.failure, cause.cell.source):
            if cause is not causes[0] and not found.seen.was_tried:
                continue  # another cell is likelier to be wrong
            yield found
            if found.is_settled:
                return


def best_mend(found: Sequence[Mended]) -> Mended | None:
    """The mend to propose without a model: one that runs, or else the first that is good."""
    good = [one for one in found if one.is_good]
    return next((one for one in good if one.is_settled), good[0] if good else None)


class _Search:
    """Looks for mends, and tries them as long as there is time."""

    def __init__(self, trial: Trial, end_s: float) -> None:
        self._trial, self._end_s = trial, end_s
        self._namespace = _namespace(trial.task)
        self._files = tuple(islice(_files_near(trial.failure), _MAX_FILES))

    def mended(
        self, cause: Cause, failure: Failure, source: str, told: str = "", depth: int = _MAX_DEPTH
    ) -> Iterator[Mended]:
        """Yield mends of a cell; of one that has another error behind the first, of both."""
        trial = replace(self._trial, failure=failure)
        for mend in islice(mends(failure, source, self._namespace, self._files), _MAX_MENDS):
            if time.monotonic() > self._end_s:
                return
            reason = f"{told}; {mend.reason}" if told else mend.reason
            seen = trial.seen(cause.cell, mend.source, step="Trying a change")
            is_past = trial.is_past(cause.cell, source, mend.source, seen)
            told_mend = replace(mend, reason=reason)
            found = Mended(cause=cause, mend=told_mend, seen=seen, is_past=is_past)
            if is_past and mend.is_sure and seen.outcome == "raises" and seen.index == 0 and depth:
                behind = told_failure(seen.error_kind, seen.message, mend.source, seen.lineno)
                yield from self.mended(cause, behind, mend.source, reason, depth - 1)
            yield found
            if found.is_settled:
                return


def verdict(seen: Seen, *, is_past: bool = False) -> str:
    """What was seen when a change was tried, as a sentence; "" if nobody was to try it."""
    match seen.outcome:
        case "runs":
            return f"With this change the cell {seen.text}."
        case "raises":
            where = f"line {seen.lineno} " if seen.lineno and not seen.index else "it "
            return f"With this change {'the error is gone; then ' * is_past}{where}{seen.text}."
        case "running":
            return f"With this change the cell is {seen.text}."
    return f"{seen.text[:1].upper()}{seen.text[1:]}."


def is_same(cell: CellEvent, other: CellEvent) -> bool:
    """Whether two runs are of one cell, as far as that is known."""
    return cell == other or (cell.cell_id is not None and cell.cell_id == other.cell_id)


def _sources(cells: Sequence[CellEvent]) -> list[str]:
    return [cell.source for cell in cells]


def _namespace(task: Task) -> dict[str, Any]:
    """The notebook's variables, and those of its functions that were running when it failed."""
    found = dict(task.namespace)
    error = task.error[0] if task.error is not None else None
    traceback: TracebackType | None = (
        slot(error, BaseException, "__traceback__") if error is not None else None
    )
    while traceback is not None:
        frame = traceback.tb_frame
        is_function = frame.f_code.co_name != "<module>"
        if is_function and task.sources.find(frame.f_code.co_filename) is not None:
            found.update(frame.f_locals)
        traceback = traceback.tb_next
    return found


def _files_near(failure: Failure) -> Iterator[str]:
    """Yield the paths of files that may be meant where one was not found."""
    if {"OSError", "IOException"}.isdisjoint(failure.bases):
        return
    yield from _files(Path(), 2)
    found = re.search(r"'([^'\n]+)'", failure.message)
    folder = Path(found[1]).parent if found is not None else Path()
    if folder.is_absolute():
        yield from _files(folder, 0)


def _files(folder: Path, depth: int) -> Iterator[str]:
    """Yield the paths of the files in a folder, as one types them there."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        path = folder / entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield path.as_posix()
        elif depth:
            yield from _files(path, depth - 1)
