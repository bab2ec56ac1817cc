"""Splits a cell into several by the structure of its code. No model is asked."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, first_line_of
from jupyter_llm.notebook.code.syntax import parse_cell, split_cell_magic
from jupyter_llm.tasks.proposal import Proposal

if TYPE_CHECKING:
    from jupyter_llm.tasks.target import ShownCell


def split(cell: ShownCell) -> Proposal:
    """Propose the first part of a cell in its place, and the other parts as cells below.

    `MagicUsageError`: the cell has only one part, is not valid Python, or has a `%%magic`.
    """
    cell.check_is_python()
    cell.check_is_written()
    name, _, _ = split_cell_magic(cell.source)
    if name:
        raise MagicUsageError(
            f"%%{name} applies to the whole cell.", "Remove it to split the cell."
        )
    first, *others = parts(cell.source)
    if parse_cell(cell.source) is None:
        raise MagicUsageError("The cell is not valid Python.", "Use Fix, then split it.")
    if not others:
        raise MagicUsageError("The cell has only one part.", "Put a blank line where a part ends.")
    return Proposal(source=first, cell=cell.event([]), below=tuple(others))


def parts(source: str) -> list[str]:
    """Return the parts of a cell: all of its lines but the blank ones between the parts.

    The cuts are at blank lines, but not between two imports or two definitions. If there is no such
    line, they are where the kind of statement changes, or else at each blank line.
    """
    tree, lines = parse_cell(source), source.split("\n")
    # For each line where a part may begin: is it blank, and the kinds of statements around it.
    gaps: list[tuple[int, bool, str, str]] = []
    for one, other in pairwise(tree.body if tree is not None else ()):
        end, start = one.end_lineno or one.lineno, first_line_of(other) - 1
        while lines[end - 1].endswith("\\"):  # of a magic
            end += 1
        blank = next((at for at in range(end, start) if not lines[at].strip()), None)
        kinds = [_kind(node, lines) for node in (one, other)]
        if start >= end:
            gaps.append((end if blank is None else blank, blank is not None, kinds[0], kinds[1]))
    ways = (
        [at for at, is_blank, one, other in gaps if is_blank and (one != other or one == "use")],
        [at for at, _, one, other in gaps if one != other],
        [at for at, is_blank, _, _ in gaps if is_blank],
    )
    places = next(filter(None, ways), [])
    found = [lines[start:end] for start, end in pairwise([0, *places, len(lines)])]
    return ["\n".join(part).strip("\n") if places else source for part in found]


def _kind(statement: ast.stmt, lines: list[str]) -> str:
    is_import = isinstance(statement, (ast.Import, ast.ImportFrom))
    if is_import or lines[statement.lineno - 1].startswith("%"):
        return "import"
    return "definition" if isinstance(statement, DEFINITIONS) else "use"
