"""Finds the cells that caused an error, not only the one that raised it.

The rules, in this order:

1. A cell is itself the cause if it is invalid Python, misspells a name, a key or an attribute,
   calls a function with wrong arguments, imports a missing module, or was interrupted.
2. If a name is missing because a cell failed before it, or deleted it, that cell is the cause.
3. A function that raises on purpose (`raise`, `assert`) blames its caller. Code in a file is not
   the notebook's to change. In both cases the next outer frame is blamed.
4. A function that fails in its own body is the cause, unless the failing expression reads values
   that cells made.
5. A line that only uses values is not their cause: the cell that made or changed them last is. A
   cell that remade a value, or that mentions the same column, comes first. Then come the cells
   that made the values from which these were made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.sources import CellSource
from jupyter_llm.notebook.code.bindings import Binding, bindings
from jupyter_llm.notebook.failures.failure import Failure
from jupyter_llm.notebook.failures.frames import Frame

_MAX_DEPTH = 4  # generations of values that are followed
_MAX_REASONS = 3  # reasons shown for one cell
_MAX_CELLS = 400  # latest cells that are searched

_RAISED = "raised the error"

# Scores of a cell as the cause. Only their order matters.
_CERTAIN = 100.0
_OWN_FAULT = 50.0
_MADE_VALUE = 10.0
_PER_GENERATION = 2.0
_MENTIONS_KEY = 6.0
_REMADE_VALUE = 2.0
_RAISED_ERROR = 5.0
_ON_THE_WAY = 4.0
_ONLY_CODE = 8.0  # subtracted for a cell that defines a function or imports a module
_MAYBE = 3.0  # subtracted for a cell that only passes the value to a function

_ALWAYS_OWN = frozenset(
    {
        *("ImportError", "IndexError", "KeyboardInterrupt", "NotImplementedError"),
        *("RecursionError", "SyntaxError", "SystemExit", "UsageError"),
    }
)
_WRONG_CALL = re.compile(
    r"unexpected keyword argument|required (positional|keyword-only) argument"
    r"|takes .* positional argument|multiple values for"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A cell that may have caused an error, and the reason, as "last assigns `df`".

    `mentioned` is a text in it that the failing code also has.
    """

    cell: CellEvent
    reason: str
    score: float
    has_raised: bool = False
    mentioned: str = ""


def causing_cells(failure: Failure, cells: Sequence[CellEvent]) -> tuple[Cause, ...]:
    """Return the cells that may have caused a failure, the likeliest first.

    The first one is the cell to change; see the rules above. Cells of the traceback that ran before
    the timeline began are included.
    """
    failure = _root(failure)
    ran = failed_cell(failure, cells)
    if ran is None:
        return ()
    before = [cell for cell in cells if ran.number == 0 or cell.number < ran.number]
    frame = _blamed(failure)
    if frame is None or frame.cell is None:
        return (Cause(ran, _RAISED, _OWN_FAULT, has_raised=True),)
    history = _History([*before[-_MAX_CELLS:], ran], failure.frames[0].line)
    return _ranked(_weighed(failure, frame, history, cells))


def is_over(failure: Failure, cells: Sequence[CellEvent]) -> bool:
    """Whether the failed cell has run without an error since."""
    failed = failed_cell(failure, cells)
    if failed is None or failed.cell_id is None:
        return False
    later = [c for c in cells if c.number > failed.number and c.cell_id == failed.cell_id]
    return any(not cell.has_failed for cell in later)


def _weighed(
    failure: Failure, frame: Frame, history: _History, cells: Sequence[CellEvent]
) -> Iterator[Cause]:
    """Yield a scored cause for each reason."""
    assert frame.cell is not None
    names = _shared_names(frame)
    wanted = set(frame.keys) | ({failure.missing.name} if failure.missing else set())
    makers = list(history.makers(names, frozenset(wanted)))
    is_own = _is_own_fault(failure, history, frame) or (
        not frame.is_module_level and not any(maker.score > _RAISED_ERROR for maker in makers)
    )
    if failure.missing is not None and failure.missing.kind == "name":
        yield from history.lost(failure.missing.name)
    yield Cause(_event_of(frame.cell, cells), _RAISED, _OWN_FAULT if is_own else _RAISED_ERROR)
    yield from makers
    for step in failure.frames:
        if step.cell is None or step is frame or step.is_comprehension:
            continue
        reason = "was running" if step.is_module_level else f"defines `{step.function.strip('<>')}`"
        yield Cause(_event_of(step.cell, cells), reason, _ON_THE_WAY)
        for maker in history.makers(_shared_names(step), frozenset()):
            yield replace(maker, score=maker.score - _MADE_VALUE)


def _root(failure: Failure) -> Failure:
    """Return the original exception, if the user's own code raised another from it."""
    frame, origin = failure.failing_frame, failure.origin
    if frame is not None and frame.is_raise and origin is not None and origin.frames:
        return _root(origin)
    return failure


def _blamed(failure: Failure) -> Frame | None:
    """Return the innermost frame of a cell that does not raise on purpose."""
    frames = [frame for frame in failure.frames if frame.cell is not None]
    own = [frame for frame in frames if not frame.is_comprehension]
    blamed = [frame for frame in own if frame.is_module_level or not frame.is_raise]
    return next(reversed(blamed or own or frames), None)


def failed_cell(failure: Failure, cells: Sequence[CellEvent]) -> CellEvent | None:
    """Return the cell whose run ended with the failure."""
    own_cells = [frame.cell for frame in failure.frames if frame.cell is not None]
    if not own_cells and failure.syntax is not None and failure.syntax.cell is not None:
        own_cells = [failure.syntax.cell]
    if own_cells:
        return _event_of(own_cells[0], cells)
    run = failure.run
    if run is None:
        return None
    for cell in reversed(cells):
        if cell.source == run.source and run.execution_count in cell.counts:
            return cell
    return _early_event(run.source, run.execution_count, run.cell_id)


def _event_of(source: CellSource, cells: Sequence[CellEvent]) -> CellEvent:
    for cell in reversed(cells):
        if source.number is not None and cell.number == source.number:
            return cell
    return _early_event(source.source, source.execution_count, source.cell_id)


def _early_event(source: str, execution_count: int | None, cell_id: str | None) -> CellEvent:
    """Return an event for a cell that ran before the timeline began."""
    return CellEvent(number=0, source=source, execution_count=execution_count, cell_id=cell_id)


def _shared_names(frame: Frame) -> list[str]:
    """Return the names that a frame reads from the notebook's namespace."""
    own = frozenset() if frame.is_module_level else frame.local_names
    return [name for name in frame.names if name not in own]


def _is_own_fault(failure: Failure, history: _History, frame: Frame) -> bool:
    """Whether the raising cell is wrong by itself."""
    if _ALWAYS_OWN.intersection(failure.bases) or frame.is_raise:
        return True
    if failure.kind == "TypeError" and _WRONG_CALL.search(failure.message):
        return True
    missing = failure.missing
    if missing is None:
        return False
    if missing.kind in ("name", "module"):
        return True
    # A name that earlier cells mention existed once; one that none mentions never did.
    is_of_none = "'NoneType' object" in failure.message
    makers = history.makers(_shared_names(frame), frozenset({missing.name}))
    return not is_of_none and not any(maker.mentioned for maker in makers)


def _ranked(entries: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return one cause for each cell, ranked by its best reason, with its other reasons."""
    by_cell: dict[tuple[int, str], list[Cause]] = {}
    for cause in sorted(entries, key=lambda cause: -cause.score):
        by_cell.setdefault((cause.cell.number, cause.cell.source), []).append(cause)
    causes = []
    for best, *others in by_cell.values():
        reasons = list(dict.fromkeys(cause.reason for cause in (best, *others)))
        reason = "; ".join(reasons[:_MAX_REASONS])
        causes.append(replace(best, reason=reason, has_raised=_RAISED in reasons))
    return tuple(sorted(causes, key=lambda cause: (-cause.score, -cause.cell.number)))


def _reason(binding: Binding, product: str, mentioned: str) -> str:
    """Return in words what a cell did to a value, or to a value from which `product` was made."""
    reason = f"{binding.verb} `{binding.name}`"
    if not product:
        reason = f"last {reason}" if binding.verb == "assigns" else reason
    elif product == binding.name:
        reason = f"{reason} before that"
    else:
        reason = f"{reason}, which `{product}` was made from"
    return f"{reason} and mentions {mentioned!r}" if mentioned else reason


def _score(binding: Binding, depth: int, mentioned: str) -> float:
    """Return the score of a cell that acted on a value `depth` generations back."""
    score = _MADE_VALUE - _PER_GENERATION * depth + (_MENTIONS_KEY if mentioned else 0)
    if binding.verb in ("defines", "imports"):
        return score - _ONLY_CODE
    if binding.verb == "passes on":
        return score - _MAYBE
    return score + (_REMADE_VALUE if binding.makes_again else 0)


class _History:
    """The bindings of names in the cells up to the failing line, which is in the last cell."""

    def __init__(self, cells: Sequence[CellEvent], line: int) -> None:
        self._past: list[tuple[CellEvent, Binding]] = []
        for cell in cells:
            is_last = cell is cells[-1]
            for binding in bindings(cell.source):
                if not is_last or binding.line < line or binding.verb in ("defines", "imports"):
                    self._past.append((cell, binding))
        self._failed = cells[-1]

    def makers(self, names: Iterable[str], wanted: frozenset[str]) -> Iterator[Cause]:
        """Yield the cells that made the values of names, and the values from which these were made.

        `wanted` are texts, such as a column's name, that raise the score of cells that mention
        them.
        """
        level = [(name, len(self._past), "") for name in names]
        seen: set[tuple[str, int]] = set()
        for depth in range(_MAX_DEPTH):
            following: list[tuple[str, int, str]] = []
            for name, end, product in level:
                for index in self._last(name, end):
                    if (name, index) in seen:
                        continue
                    seen.add((name, index))
                    cell, binding = self._past[index]
                    if depth and binding.verb == "imports":
                        continue
                    mentioned = min(wanted & binding.keys, default="")
                    yield Cause(
                        cell,
                        _reason(binding, product, mentioned),
                        _score(binding, depth, mentioned),
                        mentioned=mentioned,
                    )
                    following += [(use, index, name) for use in binding.uses]
            level = following

    def lost(self, name: str) -> Iterator[Cause]:
        """Yield the cell that deleted a name, or that failed before it defined the name."""
        for cell, binding in reversed(self._past):
            if binding.name != name or cell is self._failed:
                continue
            if binding.verb == "deletes":
                yield Cause(cell, f"deletes `{name}`", _CERTAIN)
            elif cell.has_failed:
                yield Cause(cell, f"would have defined `{name}`, but failed", _CERTAIN)
            return

    def _last(self, name: str, end: int) -> Iterator[int]:
        """Yield the index of each change to a name before `end`, back to its last assignment."""
        for index in range(end - 1, -1, -1):
            binding = self._past[index][1]
            if binding.name == name:
                yield index
                if binding.verb in ("assigns", "imports", "defines"):
                    return
