"""A failed cell, as the rules that mend cells read it. None of the user's code is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from types import ModuleType
from typing import Any, TypeVar

from jupyter_llm.notebook.code.bindings import statement_at
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import cell_python, parse_python, syntax_error
from jupyter_llm.notebook.failures.failure import Failure
from jupyter_llm.notebook.values.literals import lines_of, place_of
from jupyter_llm.notebook.values.lookups import item, keys, member
from jupyter_llm.notebook.values.peek import ABSENT, exported, is_a, own_package, short_name
from jupyter_llm.notebook.values.tables import dtype_name

N = TypeVar("N", bound=ast.AST)
Span = tuple[int, int]
Edit = tuple[Span | ast.AST, str]

_DISPLAYS = {"List": "list", "Tuple": "tuple", "Dict": "dict", "JoinedStr": "str"}


@dataclass(frozen=True, slots=True)
class Mend:
    """A cell with one change, and the reason for it.

    `is_sure`: the change is almost certainly the intended code. Others may only make the cell run.
    """

    source: str
    reason: str
    is_sure: bool = False


class Broken:
    """A cell, its error, and the existing variables and files.

    `line` is the failing line, 0 if it is in another cell. `files` are the existing paths, in the
    form that users type.
    """

    def __init__(
        self,
        failure: Failure,
        source: str,
        namespace: Mapping[str, Any],
        files: Sequence[str] = (),
    ) -> None:
        self.failure, self.message = failure, failure.message
        self.source, self.namespace, self.files = source, namespace, files
        self.line, self._expression = _place(failure, source)
        python = cell_python(source)
        self.tree = parse_python(python) or ast.Module([], [])
        self.statement = statement_at(self.tree, self.line) if self.line else None
        self._lines, self._same = lines_of(source), lines_of(python)

    def match_message(self, pattern: str) -> re.Match[str] | None:
        """Return the match of a pattern in the error's message."""
        return re.search(pattern, self.message)

    # Parts of the cell

    def nodes(self, kind: type[N], *, anywhere: bool = False) -> Iterator[N]:
        """Yield nodes of the failing statement, those of the failing expression first."""
        own = list(_own_nodes(self.statement)) if self.statement is not None else []
        failing = next((one for one in own if self._is_failing(one)), None)
        first = ast.walk(failing) if failing is not None else ()
        seen: set[int] = set()
        for node in chain(first, own, ast.walk(self.tree) if anywhere else ()):
            if isinstance(node, kind) and id(node) not in seen:
                seen.add(id(node))
                yield node

    def _is_failing(self, node: ast.AST) -> bool:
        text = self.text(node) if isinstance(node, ast.expr) else ""
        return bool(self._expression) and " ".join(text.split()) == self._expression

    def span(self, node: ast.AST) -> Span | None:
        """Return the start and end of a node in the source; None if IPython rewrites its lines."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0) or 0
        lines = self._lines
        if not 0 < first <= last <= len(lines) or any(
            row > len(self._same) or lines[row - 1].rstrip() != self._same[row - 1].rstrip()
            for row in (first, last)
        ):
            return None
        place: Any = node
        return place_of(place, self.source)

    def text(self, node: ast.AST) -> str:
        """Return a node's source, "" if it is unknown."""
        span = self.span(node)
        return self.source[slice(*span)] if span is not None else ""

    def texts(self, *, anywhere: bool = False) -> Iterator[tuple[ast.Constant, str]]:
        """Yield the strings in the failing statement, with their values."""
        for node in self.nodes(ast.Constant, anywhere=anywhere):
            if type(node.value) is str and node.value:
                yield node, node.value

    # Changes of the cell

    def change(self, reason: str, *edits: Edit, is_sure: bool = True) -> Iterator[Mend]:
        """Yield the cell with other texts in place of some parts, if the result is valid."""
        source = self.source
        spans = [(self.span(p) if isinstance(p, ast.AST) else p, text) for p, text in edits]
        if not spans or any(span is None for span, _ in spans):
            return
        for (start, stop), text in sorted(((s, t) for s, t in spans if s), reverse=True):
            source = source[:start] + text + source[stop:]
        if source != self.source and syntax_error(source) is None:
            yield Mend(source, reason, is_sure)

    def first(self, line: str) -> Edit:
        """Return the edit that inserts a line at the top, below a `%%magic`."""
        is_magic = self.source.startswith("%%") and "\n" in self.source
        start = self.source.index("\n") + 1 if is_magic else 0
        return (start, start), f"{line}\n"

    # Values

    def value(self, node: ast.AST | None) -> Any:
        """Return a node's value if that needs no user code, or ABSENT."""
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.Name(id=name):
                return self.namespace.get(name, ABSENT)
            case ast.Attribute(value=holder, attr=name):
                owner = self.value(holder)
                return member(owner, name) if owner is not ABSENT else ABSENT
            case ast.Subscript(value=holder, slice=ast.Constant(value=str(key))):
                owner = self.value(holder)
                return item(owner, key) if owner is not ABSENT else ABSENT
            case ast.Subscript(value=holder, slice=ast.Constant(value=int(index))):
                owner = self.value(holder)
                is_inside = type(owner) in (list, tuple) and -len(owner) <= index < len(owner)
                return owner[index] if is_inside else ABSENT
        return ABSENT

    def values_read(self) -> list[Any]:
        """Return the values of the variables that the failing statement reads."""
        names = dict.fromkeys(node.id for node in self.nodes(ast.Name))
        return [self.namespace[name] for name in names if name in self.namespace]

    def variables(self) -> dict[str, Any]:
        """Return all variables with public names."""
        private = ("In", "Out", "exit", "quit", "get_ipython")
        return {
            name: value
            for name, value in list(self.namespace.items())
            if not name.startswith("_") and name not in private
        }

    def existing_keys(self) -> list[str]:
        """Return the string keys of the values that the failing statement reads."""
        names = [key for value in self.values_read() for key in _keys_within(value)]
        return [*names, *(node.arg for node in self.nodes(ast.keyword) if node.arg)]

    def kind_of(self, node: ast.AST) -> str:
        """Return the class name of a node's value.

        `texts` for a column of strings, "" if unknown.
        """
        value = self.value(node)
        if value is ABSENT:
            return _DISPLAYS.get(type(node).__name__, "")
        name = short_name(type(value))
        is_series = name == "Series" and own_package(value) == "pandas"
        return "texts" if is_series and dtype_name(value) in ("object", "str", "string") else name

    def alias(self, module: str, usual: str) -> tuple[str, tuple[Edit, ...]]:
        """Return a module's name in this notebook, and the edit that imports it if necessary."""
        for name, value in self.variables().items():
            if type(value) is ModuleType and value.__dict__.get("__name__") == module:
                return name, ()
        return usual, (self.first(f"import {module} as {usual}"),)


Rule = Callable[[Broken], Iterator[Mend]]


def class_named(name: str) -> type | None:
    """Return the class with a name used in errors: a builtin, or one of a loaded library."""
    for package in ("builtins", "pandas", "polars", "numpy", "datetime", "matplotlib.axes"):
        cls = exported(package, name.rpartition(".")[2])
        if cls is not ABSENT and is_a(cls, type):
            return cls  # type: ignore[no-any-return]
    return None


def failing_line(failure: Failure, source: str) -> int:
    """Return the failing line of a cell, 0 if it is in another cell."""
    return _place(failure, source)[0]


def _place(failure: Failure, source: str) -> tuple[int, str]:
    """Return the failing line of a cell, and the failing expression."""
    if failure.syntax is not None and failure.syntax.cell is not None:
        shift = _shift(failure.syntax.cell.source, source)
        return (failure.syntax.line - shift, "") if shift is not None else (0, "")
    own_frames = [
        (frame, shift)
        for frame in failure.frames
        if frame.cell is not None and (shift := _shift(frame.source, source)) is not None
    ]
    if not own_frames:
        return 0, ""
    plain_frames = [(f, s) for f, s in own_frames if not f.is_comprehension and not f.is_raise]
    frame, shift = (plain_frames or own_frames)[-1]
    inner, _ = own_frames[-1]
    expression = inner.expression if inner.line == frame.line else frame.expression
    return frame.line - shift, expression


def _shift(ran: str, source: str) -> int | None:
    """Return the number of lines that the run source has more.

    None if they differ in more than a mark.
    """
    if unmark(ran).strip() != unmark(source).strip():
        return None
    return ran.rstrip().count("\n") - source.rstrip().count("\n")


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes of a statement, without those of inner statements."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop(0)
        yield node
        inside = ast.iter_child_nodes(node)
        waiting += [one for one in inside if not isinstance(one, (ast.stmt, ast.ExceptHandler))]


def _keys_within(value: Any) -> list[str]:
    """Return the keys of a value, and of the first item of a dictionary or list."""
    items = value.values() if type(value) is dict else value if type(value) is list else ()
    inner = list(islice(items, 1))
    return [key for one in (value, *inner) for key in keys(one) or ()]
