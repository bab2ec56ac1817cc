"""Finds the cell in which running code was typed; IPython has replaced its magics."""

from __future__ import annotations

import linecache
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any

from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.code.syntax import transform

# File names under which IPython compiles the bodies of %%time and %%timeit.
_BODY_NAMES = frozenset({"<timed exec>", "<timed eval>", "<magic-timeit>"})
_MAGIC_CALL = "get_ipython()"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSource:
    """The cell of running code: as typed, as compiled, and the mapping of their lines.

    `number` is that of its event on the timeline, None if it has none.
    """

    source: str
    compiled: str
    execution_count: int | None = None
    cell_id: str | None = None
    number: int | None = None
    line_offset: int = 0  # of a body that was compiled separately
    blocks: tuple[tuple[int, int], ...] = field(default=((0, 0),), repr=False)

    def typed_line(self, line: int) -> int:
        """Return the typed line of a compiled one; both count from 1."""
        index = bisect_right(self.blocks, line - 1, key=lambda block: block[0]) - 1
        compiled, typed = self.blocks[max(index, 0)]
        last = self.source.count("\n") + 1
        return min(max(typed + line - compiled + self.line_offset, 1), last)


@dataclass(eq=False)
class CellSources:
    """Finds cells by the file name of their code.

    `counts` maps the file name of each compiled cell to its execution count. `typed` has the
    sources by that count, for cells that ran before the timeline began.
    """

    cells: Sequence[CellEvent] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    typed: Sequence[str] = ()

    @classmethod
    def of_shell(cls, shell: Any, cells: Sequence[CellEvent] = ()) -> CellSources:
        """Return the sources of all cells that a shell has run."""
        typed = getattr(getattr(shell, "history_manager", None), "input_hist_raw", ())
        return cls(cells, getattr(shell.compile, "_filename_map", {}), typed)

    def find(self, filename: str) -> CellSource | None:
        """Return the cell that was compiled under a name; None if the name is no cell's.

        The kernel names a cell after its text, so of equal texts the later run is returned.
        """
        count = self.counts.get(filename)
        if count is None:
            return None
        compiled = "".join(linecache.getlines(filename))
        return self._cell(compiled, count) or _aligned(compiled, compiled, count)

    def find_text(self, source: str, execution_count: int | None = None) -> CellSource:
        """Return the cell of a typed text, compiled or not."""
        compiled = transform(source) or source
        cell = self._cell(compiled, execution_count)
        if cell is not None and cell.source == source:
            return cell
        return _aligned(source, compiled, execution_count)

    def body_of(self, cell: CellSource, filename: str) -> CellSource | None:
        """Return the body of a cell like `%%time`, which is compiled under a name of its own.

        None if the name is another one, or the cell begins with no magic.
        """
        lines = cell.source.split("\n")
        start = next((i for i, line in enumerate(lines) if line.strip()), 0)
        if filename not in _BODY_NAMES or not lines[start].lstrip().startswith("%%"):
            return None
        body = "\n".join(lines[start + 1 :])
        aligned = _aligned(body, transform(body) or body)
        return replace(
            cell, compiled=aligned.compiled, line_offset=start + 1, blocks=aligned.blocks
        )

    def _cell(self, compiled: str, count: int | None) -> CellSource | None:
        # Code that runs inside a cell, as under %%capture, has the next count. So the text decides;
        # the count only chooses among equal texts.
        for event in sorted(self.cells, key=lambda e: (count not in e.counts, -e.number)):
            if _holds(event.source, compiled, is_counted=count in event.counts):
                place = replace(_aligned(event.source, compiled), number=event.number)
                return replace(place, execution_count=event.execution_count, cell_id=event.cell_id)
        typed = self.typed[count] if count is not None and count < len(self.typed) else ""
        is_same = bool(typed) and _holds(typed, compiled, is_counted=True)
        return _aligned(typed, compiled, count) if is_same else None


def _holds(typed: str, compiled: str, *, is_counted: bool) -> bool:
    """Whether compiled lines come from a typed cell.

    Lines of magics are not compared. If there are no others, `is_counted` decides: the cell has the
    execution count of the lines.
    """
    lines = {line.strip() for line in typed.split("\n")}
    ours = [line.strip() for line in compiled.split("\n")]
    plain = {line for line in ours if line and _MAGIC_CALL not in line}
    return plain <= lines and (is_counted or bool(plain))


def _aligned(typed: str, compiled: str, count: int | None = None) -> CellSource:
    """Return a cell whose compiled lines are mapped to the typed ones."""
    ours = [line.strip() for line in compiled.split("\n")]
    theirs = [line.strip() for line in typed.split("\n")]
    start = next((i for i, line in enumerate(theirs) if line), 0)
    blocks = [(0, start)]
    if theirs[start:] != ours[: len(theirs) - start]:
        matcher = SequenceMatcher(a=ours, b=theirs, autojunk=False)
        # The lines before a match are magics: they end where it begins.
        matches = [(one.a, one.b) for one in matcher.get_matching_blocks() if one.size]
        blocks = matches if matches and not matches[0][0] else [*blocks, *matches]
    return CellSource(source=typed, compiled=compiled, blocks=tuple(blocks), execution_count=count)
