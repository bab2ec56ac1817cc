"""Code of our own as somebody may type it: notebooks, and places in their cells."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from jupyter_llm.notebook.cells.document import CellKind, Document, DocumentCell
from jupyter_llm.notebook.code.syntax import cell_python

FOLDER = Path(__file__).parent.parent / "data" / "typed"
NAMES = ("houses", "words")


def read_typed(name: str) -> Document:
    """A notebook of ours."""
    cells = []
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    for number, piece in enumerate(text.split("# %%")[1:]):
        head, _, source = piece.partition("\n")
        kind: CellKind = "markdown" if "[markdown]" in head else "code"
        if kind == "markdown":
            source = "\n".join(line.removeprefix("# ") for line in source.split("\n"))
        cells.append(DocumentCell(str(number), kind, source.strip()))
    return Document(tuple(cells))


def run_above(document: Document, cell_id: str) -> dict[str, Any]:
    """What the cells above one leave in the namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with redirect_stdout(StringIO()):
        for cell in document.above(cell_id):
            if cell.kind == "code":
                exec(cell_python(cell.source), namespace)  # noqa: S102  our own code
    return namespace


@dataclass(frozen=True)
class Place:
    """A cursor in a cell of a notebook whose cells above have run."""

    document: Document
    cell_id: str
    prefix: str
    suffix: str


def places(count: int, seed: int = 1) -> Iterator[Place]:
    """Places all over our notebooks: in words and lines, on blank ones, with more below or not."""
    drawn = random.Random(seed)  # noqa: S311  no secret
    documents = [read_typed(name) for name in NAMES]
    for number in range(count):
        document = documents[number * len(documents) // count]
        cell = drawn.choice([one for one in document.cells[2:] if one.kind == "code"])
        place = drawn.randrange(len(cell.source) + 1)
        prefix, rest = cell.source[:place], cell.source[place:]
        below = "".join(rest.partition("\n")[1:])
        suffix = drawn.choice(["", "", rest, below])
        if prefix.count('"') % 2 and drawn.random() < 0.5:
            suffix = '"' + suffix
        yield Place(document, cell.cell_id, prefix, suffix)


def missing_names(source: str, start: int, namespace: Mapping[str, Any]) -> list[str]:
    """The attributes, keys and columns that a cell reads and that do not exist, by running nothing.

    Told are those of variables that the cell itself gives no value, where the name ends behind
    `start`. Independent of the code under test: of a syntax tree, and with `hasattr`.
    """
    try:
        tree = ast.parse(python := cell_python(source))
    except SyntaxError:
        return []
    lines = python.splitlines(keepends=True)
    moved = len(source) - len(python)
    bound = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    bound |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    kept = {name: value for name, value in namespace.items() if name not in bound}
    set_here = {
        ast.unparse(n).replace("'", '"')
        for n in ast.walk(tree)
        if isinstance(n, ast.Subscript | ast.Attribute) and isinstance(n.ctx, ast.Store)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Subscript) or isinstance(node.ctx, ast.Store):
            continue
        end = (
            sum(map(len, lines[: (node.end_lineno or 1) - 1])) + (node.end_col_offset or 0) + moved
        )
        if end <= start or ast.unparse(node).replace("'", '"') in set_here:
            continue
        owner = _value(node.value, kept)
        if owner is not None and not _has(owner, node):
            found.append(ast.unparse(node))
    return found


def _value(node: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """What plain names, attributes and keys lead to, or None."""
    if isinstance(node, ast.Name):
        return namespace.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, namespace), node.attr, None)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        owner = _value(node.value, namespace)
        key = node.slice.value
        return (
            owner[key] if isinstance(key, str) and hasattr(owner, "keys") and key in owner else None
        )
    return None


def _has(owner: Any, node: ast.Attribute | ast.Subscript) -> bool:
    if isinstance(node, ast.Attribute):
        return hasattr(owner, node.attr)
    keys = node.slice.elts if isinstance(node.slice, ast.List) else [node.slice]
    texts = [key.value for key in keys if isinstance(key, ast.Constant)]
    texts = [key for key in texts if isinstance(key, str)]
    return not hasattr(owner, "keys") or all(key in owner for key in texts)
