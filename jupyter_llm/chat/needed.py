"""What the next cell of a notebook needs: all that a small model is told where it is to write code.

A small model copies what it reads, whole cells that have nothing to do with the request too. So it
is told the cells that its code may build on, and the variables right before the request.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from jupyter_llm.notebook.cells.rendering import without_setup
from jupyter_llm.notebook.code.bindings import bindings, bindings_of, mutated_in
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import parse_cell

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.code.fresh import Ran

_NUM_LAST: Final = 2  # cells that are told whatever they do


def needed_cells(
    cells: Sequence[CellEvent], meant: Container[CellEvent] = ()
) -> tuple[CellEvent, ...]:
    """The cells that import, define or bind something, the last two, and those that are meant.

    Of a cell that ran more than once it is the latest run.
    """
    latest = {cell.cell_id or cell.number: cell for cell in cells}.values()
    told = [cell for cell in latest if without_setup(unmark(cell.source))]
    last = told[-_NUM_LAST:]
    return tuple(cell for cell in told if cell in last or cell in meant or _binds(cell))


def _binds(cell: CellEvent) -> bool:
    return not cell.has_failed and bool(bindings(cell.source))


def literal_names(cells: Iterable[CellEvent]) -> frozenset[str]:
    """The variables whose value stands in some cells as it was typed: no summary says more."""
    found: set[str] = set()
    for cell in cells:
        tree = parse_cell(cell.source)
        for node in tree.body if tree is not None else ():
            with suppress(RecursionError):  # a chain of hundreds of `elif`
                found.difference_update(binding.name for binding in bindings_of(node))
            found -= mutated_in(node)
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_literal(value):
                    found.add(name)
    return frozenset(found)


def sources_that_ran(cells: Iterable[CellEvent]) -> list[Ran]:
    """The sources of cells in the order of their latest runs, which a timeline may not have.

    With each goes whether it came to its end.
    """
    latest = sorted(cells, key=lambda cell: cell.counts[-1] or 0)
    return [(cell.source, not cell.has_failed) for cell in latest]


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
