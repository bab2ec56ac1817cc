"""Mends that rules know of, each tried: of a cell that failed, or of a draft that raises."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.code.names import missing_modules, unknown_names
from jupyter_llm.notebook.failures.failure import reported_failure
from jupyter_llm.notebook.failures.mends import mends

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from jupyter_llm.notebook.failures.broken_cell import Mend
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.code_answer import CodeAnswer, CodeCell

    Place = tuple[int, int]
    """Where an error came: in which of some sources, and in which of its lines."""

_MAX_MENDS = 16  # of one error of a cell
MAX_DRAFT_MENDS = 4  # of one error of a draft
_MAX_ERRORS = 4  # one behind the other
_MAX_S = 8.0  # in which another try is begun
_SAME_CHARS = 100  # by which messages are told apart
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """Sources of which rules have changed some, with what was seen when they were tried.

    `is_past` where the first error is gone, and another one came behind it.
    """

    sources: tuple[str, ...]
    mends: tuple[Mend, ...]
    seen: Seen
    is_past: bool = False

    @property
    def reason(self) -> str:
        """The fault."""
        return "; ".join(mend.reason for mend in self.mends)

    @property
    def is_sure(self) -> bool:
        """Whether all of it is what was meant, and not only what runs."""
        return all(mend.is_sure for mend in self.mends)

    @property
    def is_good(self) -> bool:
        """Whether no model need be asked."""
        return self.seen.runs or (self.is_sure and (self.is_past or not self.seen.was_tried))

    @property
    def is_settled(self) -> bool:
        """Whether another mend would hardly be better."""
        return self.is_good and self.seen.outcome != "raises"


class MendSearch:
    """Looks for mends of sources that are run one after the other, and tries them.

    `seen_of` tries sources, `namespace` holds what their code reads, and `files` are the paths
    that there are.
    """

    def __init__(
        self,
        seen_of: Callable[[Sequence[str]], Seen],
        namespace: Mapping[str, Any],
        files: Sequence[str] = (),
        *,
        max_mends: int = _MAX_MENDS,
    ) -> None:
        self._seen_of, self._namespace, self._files = seen_of, namespace, files
        self._max_mends, self._end_s = max_mends, time.monotonic() + _MAX_S

    def mended(
        self,
        sources: Sequence[str],
        failure: Failure,
        place: Place,
        at: int = 0,
        before: tuple[Mend, ...] = (),
    ) -> Iterator[Mended]:
        """Yield mends of one of the sources, up to one that hardly leaves a better one.

        Where another error comes behind the place of the first, on the same line too, it is mended
        as well.
        """
        source = sources[at]
        found_mends = mends(failure, source, self._namespace, self._files)
        for mend in islice(found_mends, self._max_mends):
            if time.monotonic() > self._end_s:
                return
            new = (*sources[:at], mend.source, *sources[at + 1 :])
            seen = self._seen_of(new)
            num_more = mend.source.count("\n") - source.count("\n") if place[0] == at else 0
            # What is sure has mended the first of two errors on one line.
            is_past = comes_behind(seen, failure, place, num_more, or_there=mend.is_sure)
            found = Mended(sources=new, mends=(*before, mend), seen=seen, is_past=is_past)
            is_last = seen.index >= len(new) or len(found.mends) == _MAX_ERRORS
            if is_past and mend.is_sure and seen.outcome == "raises" and not is_last:
                there = new[seen.index]
                behind = reported_failure(seen.error_kind, seen.message, there, seen.lineno)
                yield from self.mended(
                    new, behind, (seen.index, seen.lineno), seen.index, found.mends
                )
            yield found
            if found.is_settled:
                return


def comes_behind(
    seen: Seen, failure: Failure, place: Place, num_more: int = 0, *, or_there: bool = False
) -> bool:
    """Whether code ran on behind the place of a failure; `num_more` lines are new before that.

    With `or_there` another error at that place counts, too.
    """
    if seen.outcome != "raises":
        return seen.outcome == "running"
    if "SyntaxError" in failure.bases:
        return seen.error_kind not in ("", *_SYNTAX)
    there = (seen.index, seen.lineno - (num_more if seen.index == place[0] else 0))
    is_other = or_there and not is_alike(seen, failure)
    return place[1] > 0 and (there > place or (there == place and is_other))


def is_alike(seen: Seen, failure: Failure) -> bool:
    """Whether what was raised is what the failure was."""
    before, now = (failure.kind, failure.message), (seen.error_kind, seen.message)
    return before[0] == now[0] and before[1][:_SAME_CHARS] == now[1][:_SAME_CHARS]


def without_errors(
    answer: CodeAnswer,
    namespace: Mapping[str, Any],
    names: Container[str],
    seen_of: Callable[[Sequence[CodeCell]], Seen | None],
) -> CodeAnswer:
    """A draft that raises as rules mend it, if it then raises nothing; else as it was.

    A mend that is not sure only makes the code run, so it is a doubt, and another draft is written.
    `seen_of` tries cells; the names that they may use are `names`.
    """
    first = answer.seen
    if first is None or first.outcome != "raises" or first.index >= len(answer.cells):
        return answer

    def cells_of(sources: Sequence[str]) -> tuple[CodeCell, ...]:
        return tuple(
            cell if cell.source == source else _changed(cell, source, names)
            for cell, source in zip(answer.cells, sources, strict=True)
        )

    search = MendSearch(
        lambda sources: seen_of(cells_of(sources)) or first,
        namespace,
        max_mends=MAX_DRAFT_MENDS,
    )
    source = answer.cells[first.index].source
    failure = reported_failure(first.error_kind, first.message, source, first.lineno)
    place = (first.index, first.lineno)
    for found in search.mended(answer.sources, failure, place, first.index):
        if found.seen.outcome in ("runs", "running"):
            return replace(
                answer,
                cells=cells_of(found.sources),
                seen=found.seen,
                mends=tuple(mend.reason for mend in found.mends if mend.is_sure),
                doubts=(
                    *answer.doubts,
                    *(
                        f"mended only to run: {one.reason}"
                        for one in found.mends
                        if not one.is_sure
                    ),
                ),
            )
    return answer


def _changed(cell: CodeCell, source: str, names: Container[str]) -> CodeCell:
    return replace(
        cell,
        source=source,
        unknown_names=unknown_names(source, names),
        missing_modules=missing_modules(source),
    )
