"""The cells of a failure run once more, one of them changed, to see what the change comes to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.cells.rendering import shown_name
from jupyter_llm.notebook.code.bindings import bindings
from jupyter_llm.notebook.failures.broken_cell import failing_line
from jupyter_llm.notebook.failures.failure import reported_failure, slot
from jupyter_llm.notebook.failures.mends import mends
from jupyter_llm.tasks.losses import lost_statement
from jupyter_llm.tasks.mending import MendSearch, comes_behind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.failures.causes import Cause
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.mending import Mended, Place
    from jupyter_llm.tasks.task import Task

_MAX_CELLS = 4  # that may be the cause
_MAX_CHARS = 120  # of a statement that is named
_MAX_FILES = 2000
_ONCE = "ran in a sealed copy once "
_FILES = ("*", "*/*", "*/*/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """Tries the cells of a failure: a changed cell, and after it the cell that failed."""

    task: Task
    failure: Failure
    failed: CellEvent | None = None
    causes: Sequence[Cause] = ()

    def sources(self, cell: CellEvent, source: str) -> tuple[str, ...]:
        """Return another source of a cell, and the source of the cell that failed after it."""
        failed = self.failed
        return (source,) if failed is None or self.is_failed(cell) else (source, failed.source)

    def seen(self, cell: CellEvent, sources: Sequence[str], **how: Any) -> Seen:
        """Try a cell with another source, and after it the cell that failed; see `sources`.

        A source that loses a statement of its cell is no mend, unless somebody wished for it.
        """
        from jupyter_llm.notebook.sealed.seen import Seen  # brings msgspec

        former = self.task.former
        is_free = former is not None and bool(former.wish.strip())
        for old, new in zip(self.sources(cell, cell.source), sources, strict=True):
            if not is_free and (lost := lost_statement(old, new, self.task.namespace)):
                text = f"loses the statement `{lost.strip()[:_MAX_CHARS]}`"
                return Seen(outcome="raises", text=text)
        source, *behind = sources
        failed, how["mended"] = self.failed, cell.source
        seen = self.task.tries.seen(source, *behind, **how)
        makes_again = any(binding.makes_again for binding in bindings(cell.source))
        if seen.outcome != "raises" or failed is None or not (behind or makes_again):
            return seen
        # What was made of it, or what it was made of, may be as the error left it.
        before, after = self._makers(cell)
        before_it, after_it = ([one.source for one in some] for some in (before, after))
        made = (*before_it, source, *after_it, *behind)
        again = self.task.tries.seen(*made, **how) if before or after else seen
        if not again.runs:
            return seen
        names = " and ".join(map(shown_name, (*before, *after)))
        return replace(again, text=f"{_ONCE}{names} had run again")

    def _makers(self, cell: CellEvent) -> tuple[list[CellEvent], list[CellEvent]]:
        """Return the other cells that made the values, before a cell and after it."""
        makers = sorted((one.cell for one in self.causes), key=lambda one: one.number)
        others = [one for one in makers if not is_same(one, cell)]
        last = self.failed.number if self.failed is not None else 0
        return (
            [one for one in others if one.number < cell.number],
            [one for one in others if cell.number < one.number < last],
        )

    def runs(self, cell: CellEvent, seen: Seen) -> tuple[str, ...]:
        """Return the ids of the cells to run with a change as it was seen, in order.

        Empty: that is only the cell itself, or one of them has no id.
        """
        before, after = self._makers(cell) if seen.text.startswith(_ONCE) else ([], [])
        failed = [] if self.failed is None or self.is_failed(cell) else [self.failed]
        ids = [one.cell_id for one in (*before, cell, *after, *failed)]
        return tuple(filter(None, ids)) if len(ids) > 1 and all(ids) else ()

    def is_failed(self, cell: CellEvent) -> bool:
        """Whether a cell is the one that failed, as far as that is known."""
        return self.failed is None or is_same(cell, self.failed)

    def is_past(self, cell: CellEvent, source: str, seen: Seen) -> bool:
        """Whether a changed cell's error came behind the place where the first one was."""
        num_more = source.count("\n") - cell.source.count("\n") if self.is_failed(cell) else 0
        return comes_behind(seen, self.failure, self._place(cell), num_more)

    def mended(self, causes: Sequence[Cause]) -> Iterator[tuple[Cause, Mended]]:
        """Yield mends of the cells that may be the cause, as seen, up to one that runs."""
        namespace = _namespace(self.task, self.failure)
        files = tuple(islice(_files_near(self.failure), _MAX_FILES))
        for cause in causes[:_MAX_CELLS]:

            def seen_of(sources: Sequence[str], cell: CellEvent = cause.cell) -> Seen:
                return self.seen(cell, sources, step="Trying a change")

            search = MendSearch(seen_of, namespace, files)
            place = self._place(cause.cell)
            sources = self.sources(cause.cell, cause.cell.source)
            for found in search.mended(sources, self.failure, place):
                is_likely = cause is causes[0] or cause.has_raised
                if loses(found.seen) or not (found.seen.was_tried or is_likely):
                    continue  # another cell is likelier to be wrong
                yield cause, found
                if found.is_settled:
                    return

    def mended_behind(self, cell: CellEvent, source: str, seen: Seen) -> Mended | None:
        """Return a mend of the failed cell with which it runs after a changed cell, if any."""
        sources, at = self.sources(cell, source), seen.index
        if seen.outcome != "raises" or not 0 < at < len(sources):
            return None
        behind = reported_failure(seen.error_kind, seen.message, sources[at], seen.lineno)
        search = MendSearch(partial(self.seen, cell), dict(self.task.namespace))
        found = search.mended(sources, behind, (at, seen.lineno), at)
        return next((one for one in found if one.seen.runs), None)

    def suspicion(self, cell: CellEvent) -> str:
        """Return a fault that rules are sure of, and a line of its mend; nothing is tried.

        "" if there is none.
        """
        files = tuple(islice(_files_near(self.failure), _MAX_FILES))
        found = mends(self.failure, cell.source, _namespace(self.task, self.failure), files)
        mend = next((mend for mend in found if mend.is_sure), None)
        if mend is None:
            return ""
        old = cell.source.split("\n")
        new = next((line.strip() for line in mend.source.split("\n") if line not in old), "")
        return f"{mend.reason}; mended it is `{new}`" if new else mend.reason

    def _place(self, cell: CellEvent) -> Place:
        """Return the place of the failure in the sources that are tried for a cell."""
        if self.failed is None or self.is_failed(cell):
            return 0, failing_line(self.failure, cell.source)
        return 1, failing_line(self.failure, self.failed.source)


def loses(seen: Seen) -> bool:
    """Whether `Rerun` did not try a change, since it loses a statement."""
    return seen.outcome == "raises" and not seen.error_kind


def is_same(cell: CellEvent, other: CellEvent) -> bool:
    """Whether two runs are of one cell, as far as that is known."""
    return cell == other or (cell.cell_id is not None and cell.cell_id == other.cell_id)


def as_it_is_now(cell: CellEvent, cells: Sequence[CellEvent]) -> CellEvent:
    """The latest run of a cell: it may have been changed since it caused the error."""
    return next((one for one in reversed(cells) if is_same(one, cell)), cell)


def _namespace(task: Task, failure: Failure) -> dict[str, Any]:
    """The notebook's variables, and those of its functions that were running when it failed."""
    found, hidden = dict(task.namespace), {one.number for one in task.hidden}
    error, run = task.error or (None, None)
    error = error if run == failure.run else None  # that of an earlier one is gone
    traceback: TracebackType | None = (
        slot(error, BaseException, "__traceback__") if error is not None else None
    )
    while traceback is not None:
        frame = traceback.tb_frame
        cell = task.sources.find(frame.f_code.co_filename)
        is_visible = cell is not None and cell.number not in hidden
        if is_visible and frame.f_code.co_name != "<module>":
            found.update(frame.f_locals)
        traceback = traceback.tb_next
    return found


def _files_near(failure: Failure) -> Iterator[str]:
    """Yield the paths of files that may be meant where one was not found, as one types them."""
    if {"OSError", "IOException"}.isdisjoint(failure.bases):
        return
    found = re.search(r"'([^'\n]+)'", failure.message)
    folder = Path(found[1]).parent if found is not None else Path()
    places = [(Path(), pattern) for pattern in _FILES]
    if folder.is_absolute():
        places.append((folder, "*"))
    for root, pattern in places:
        for path in sorted(islice(root.glob(pattern), _MAX_FILES)):
            if not path.name.startswith(".") and path.is_file():
                yield path.as_posix()
