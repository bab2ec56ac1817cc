"""Converts a draft's cells to Python that a copy can run, or gives the reason against it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from jupyter_llm.notebook.code.syntax import (
    PYTHON_MAGICS,
    cell_python,
    parse_python,
    split_cell_magic,
)

# Magics whose setup a copy does not need.
_SET_UP = frozenset({"autoreload", "colors", "config", "load_ext", "matplotlib", "precision"})
_LINE, _CELL, _COMMANDS = "run_line_magic", "run_cell_magic", ("system", "getoutput")


@dataclass(frozen=True, slots=True)
class Unit:
    """A source as typed and as Python, with the same line numbers."""

    name: str  # file name of its code
    source: str
    python: str


def unit_of(source: str, index: int) -> Unit:
    """Return a source in the form that a copy runs."""
    python = _blanked(cell_python(source))
    return Unit(f"<try {index + 1}>", source, python)


def why_not_run(unit: Unit) -> str:
    """Return the reason why a source cannot be tried, or ""."""
    name, _, _ = split_cell_magic(unit.source)
    if name and name not in PYTHON_MAGICS:
        return f"it has a magic (%%{name})"
    tree = parse_python(unit.python)
    for call, kind in _ipython_calls(tree) if tree is not None else ():
        if kind in _COMMANDS:
            return f"it would start a process ({_first_word(call)})"
        return f"it has a magic (%{_first_word(call)})"
    return ""


def _blanked(python: str) -> str:
    """Return Python with the lines of setup magics blank."""
    tree = parse_python(python)
    if tree is None:
        return python
    lines = python.split("\n")
    for statement in tree.body:
        calls = _ipython_calls(statement)
        if not (isinstance(statement, ast.Expr) and calls):
            continue
        call, kind = calls[0]
        if call is statement.value and kind == _LINE and _first_word(call) in _SET_UP:
            for number in range(statement.lineno, (statement.end_lineno or 0) + 1):
                lines[number - 1] = ""
    return "\n".join(lines)


def _ipython_calls(tree: ast.AST) -> list[tuple[ast.Call, str]]:
    """Return the calls into which IPython has converted magics and commands."""
    calls = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        holder = node.func.value
        if (
            isinstance(holder, ast.Call)
            and isinstance(holder.func, ast.Name)
            and holder.func.id == "get_ipython"
            and node.func.attr in (_LINE, _CELL, *_COMMANDS)
        ):
            calls.append((node, node.func.attr))
    return calls


def _first_word(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    text = first.value if isinstance(first, ast.Constant) else ""
    return str(text).strip().split(" ", maxsplit=1)[0]
