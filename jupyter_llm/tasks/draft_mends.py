"""Drafts that raise an error which rules can mend: a near column, a missing import."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.code.names import missing_modules, unknown_names
from jupyter_llm.notebook.failures.failure import told_failure
from jupyter_llm.notebook.failures.mends import mends

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from jupyter_llm.notebook.failures.broken_cell import Mend
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.code_answer import CodeAnswer, CodeCell

_MAX_MENDS = 4  # of one error
_MAX_ERRORS = 4  # of one draft
_NOT_RAISING = ("runs", "running")


def without_errors(
    answer: CodeAnswer,
    namespace: Mapping[str, Any],
    names: Container[str],
    seen_of: Callable[[Sequence[CodeCell]], Seen | None],
) -> CodeAnswer:
    """A draft that raises as rules mend it, if it then raises nothing; else as it was.

    The first mend that runs is taken, or one that is sure and lets the code run on to another
    error. One that is not sure only makes the code run, so it is a doubt, and another draft is
    written. `seen_of` tries cells; the names that they may use are `names`.
    """
    mended = answer
    for _ in range(_MAX_ERRORS):
        further = _further(mended, namespace, names, seen_of)
        if further is None:
            return answer
        mended = further
        if mended.seen is not None and mended.seen.outcome in _NOT_RAISING:
            return mended
    return answer


def _further(
    answer: CodeAnswer,
    namespace: Mapping[str, Any],
    names: Container[str],
    seen_of: Callable[[Sequence[CodeCell]], Seen | None],
) -> CodeAnswer | None:
    """A draft without its first error; None where no rule knows what to do."""
    before = answer.seen
    if before is None or before.outcome != "raises" or before.index >= len(answer.cells):
        return None
    source = answer.cells[before.index].source
    failure = told_failure(before.error_kind, before.message, source, before.lineno)
    found = (mend for mend in mends(failure, source, namespace) if not mend.is_guess)
    for mend in islice(found, _MAX_MENDS):
        cells = [*answer.cells]
        cells[before.index] = _changed(cells[before.index], mend, names)
        seen = seen_of(cells)
        if seen is None:
            return None
        num_more = mend.source.count("\n") - source.count("\n")
        is_past = seen.outcome == "raises" and (
            (seen.index, seen.lineno - num_more) > (before.index, before.lineno)
            or (mend.is_sure and (seen.error_kind, seen.message) != (failure.kind, failure.message))
        )
        if seen.outcome in _NOT_RAISING or is_past:
            further = replace(answer, cells=tuple(cells), seen=seen)
            if mend.is_sure:
                return replace(further, mends=(*answer.mends, mend.reason))
            return replace(further, doubts=(*answer.doubts, f"mended only to run: {mend.reason}"))
    return None


def _changed(cell: CodeCell, mend: Mend, names: Container[str]) -> CodeCell:
    return replace(
        cell,
        source=mend.source,
        unknown_names=unknown_names(mend.source, names),
        missing_modules=missing_modules(mend.source),
    )
