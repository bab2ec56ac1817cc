"""A cell that failed, as the rules read it that mend cells. Nothing of the user's is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_llm.notebook.code.bindings import statement_at
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import cell_python, parse_python, syntax_error
from jupyter_llm.notebook.values.literals import lines_of, place_of
from jupyter_llm.notebook.values.lookups import item, keys, member
from jupyter_llm.notebook.values.peek import ABSENT, exported, is_a, own_package, short_name
from jupyter_llm.notebook.values.tables import dtype_name

if TYPE_CHECKING:
    from jupyter_llm.notebook.failures.failure import Failure

N = TypeVar("N", bound=ast.AST)
Span = tuple[int, int]
Edit = tuple[Span | ast.AST, str]

_DISPLAYS = {"List": "list", "Tuple": "tuple", "Dict": "dict", "JoinedStr": "str"}


@dataclass(frozen=True, slots=True)
class Mend:
    """A cell with one thing changed, and what was wrong with it.

    `is_sure` where hardly anything else can have been meant; others may only make the cell run.
    """

    source: str
    reason: str
    is_sure: bool = False


class Broken:
    """A cell, the error it has a part in, and what exists around it.

    `line` is the one that failed, 0 if none of the cell's own did. `files` are the paths that
    there are, as one would type them.
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

    def says(self, pattern: str) -> re.Match[str] | None:
        """What a pattern finds in the message."""
        return re.search(pattern, self.message)

    # What is in the cell

    def nodes(self, kind: type[N], *, anywhere: bool = False) -> Iterator[N]:
        """Yield parts of the failing statement, those of the failing expression first."""
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
        """Where a part begins and ends in the source; None where IPython reads something else."""
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
        """A part as it is typed; "" where that cannot be told."""
        span = self.span(node)
        return self.source[slice(*span)] if span is not None else ""

    def texts(self, *, anywhere: bool = False) -> Iterator[tuple[ast.Constant, str]]:
        """Yield the texts in the failing statement, with what they say."""
        for node in self.nodes(ast.Constant, anywhere=anywhere):
            if type(node.value) is str and node.value:
                yield node, node.value

    # What it may become

    def change(self, reason: str, *edits: Edit, is_sure: bool = True) -> Iterator[Mend]:
        """Yield the cell with other texts in the places of some parts, if that can be read."""
        source = self.source
        spans = [(self.span(p) if isinstance(p, ast.AST) else p, text) for p, text in edits]
        if not spans or any(span is None for span, _ in spans):
            return
        for (start, stop), text in sorted(((s, t) for s, t in spans if s), reverse=True):
            source = source[:start] + text + source[stop:]
        if source != self.source and syntax_error(source) is None:
            yield Mend(source, reason, is_sure)

    def first(self, line: str) -> Edit:
        """The edit that puts a line at the top, below a `%%magic`."""
        is_magic = self.source.startswith("%%") and "\n" in self.source
        start = self.source.index("\n") + 1 if is_magic else 0
        return (start, start), f"{line}\n"

    # What it reads

    def value(self, node: ast.AST | None) -> Any:
        """What a part stands for, as far as that can be told without running it, or ABSENT."""
        match node:
            case ast.Constant(value=found):
                return found
            case ast.Name(id=name):
                return self.namespace.get(name, ABSENT)
            case ast.Attribute(value=holder, attr=name):
                held = self.value(holder)
                return member(held, name) if held is not ABSENT else ABSENT
            case ast.Subscript(value=holder, slice=ast.Constant(value=str(key))):
                held = self.value(holder)
                return item(held, key) if held is not ABSENT else ABSENT
            case ast.Subscript(value=holder, slice=ast.Constant(value=int(index))):
                held = self.value(holder)
                is_inside = type(held) in (list, tuple) and -len(held) <= index < len(held)
                return held[index] if is_inside else ABSENT
        return ABSENT

    def read(self) -> list[Any]:
        """The values of the variables that the failing statement reads."""
        names = dict.fromkeys(node.id for node in self.nodes(ast.Name))
        return [self.namespace[name] for name in names if name in self.namespace]

    def variables(self) -> dict[str, Any]:
        """All variables that somebody gave a name."""
        private = ("In", "Out", "exit", "quit", "get_ipython")
        return {
            name: value
            for name, value in list(self.namespace.items())
            if not name.startswith("_") and name not in private
        }

    def known_keys(self) -> list[str]:
        """The texts that what the failing statement reads can be subscripted by."""
        found = [key for value in self.read() for key in _keys_within(value)]
        return [*found, *(node.arg for node in self.nodes(ast.keyword) if node.arg)]

    def kind_of(self, node: ast.AST) -> str:
        """The class of what a part stands for; `texts` for a column of them, "" if unknown."""
        found = self.value(node)
        if found is ABSENT:
            return _DISPLAYS.get(type(node).__name__, "")
        name = short_name(type(found))
        is_series = name == "Series" and own_package(found) == "pandas"
        return "texts" if is_series and dtype_name(found) in ("object", "str", "string") else name

    def alias(self, module: str, usual: str) -> tuple[str, tuple[Edit, ...]]:
        """What a module is called here, and the edit that imports it where nothing does."""
        for name, value in self.variables().items():
            if type(value) is ModuleType and value.__dict__.get("__name__") == module:
                return name, ()
        return usual, (self.first(f"import {module} as {usual}"),)


Rule = Callable[[Broken], Iterator[Mend]]


def class_named(name: str) -> type | None:
    """A class that errors call so: a builtin one, or one of a library that is loaded."""
    for package in ("builtins", "pandas", "polars", "numpy", "datetime", "matplotlib.axes"):
        found = exported(package, name.rpartition(".")[2])
        if found is not ABSENT and is_a(found, type):
            return found  # type: ignore[no-any-return]
    return None


def failing_line(failure: Failure, source: str) -> int:
    """The line of a cell that failed, 0 if none of its own did."""
    return _place(failure, source)[0]


def _place(failure: Failure, source: str) -> tuple[int, str]:
    """The line of a cell that failed, and the expression in it."""
    if failure.syntax is not None and failure.syntax.cell is not None:
        shift = _shift(failure.syntax.cell.source, source)
        return (failure.syntax.line - shift, "") if shift is not None else (0, "")
    found = [
        (frame, shift)
        for frame in failure.frames
        if frame.cell is not None and (shift := _shift(frame.source, source)) is not None
    ]
    if not found:
        return 0, ""
    own = [(f, s) for f, s in found if not f.is_comprehension and not f.is_raise]
    frame, shift = (own or found)[-1]
    inner, _ = found[-1]
    expression = inner.expression if inner.line == frame.line else frame.expression
    return frame.line - shift, expression


def _shift(ran: str, source: str) -> int | None:
    """By how many lines what ran is longer than a source that is the same but for a mark."""
    if unmark(ran).strip() != unmark(source).strip():
        return None
    return ran.rstrip().count("\n") - source.rstrip().count("\n")


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the parts of a statement that are in no statement within it."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop(0)
        yield node
        inside = ast.iter_child_nodes(node)
        waiting += [one for one in inside if not isinstance(one, (ast.stmt, ast.ExceptHandler))]


def _keys_within(value: Any) -> list[str]:
    """The keys of a value, and of what a dictionary or a list holds first."""
    held = value.values() if type(value) is dict else value if type(value) is list else ()
    inner = list(islice(held, 1))
    return [key for one in (value, *inner) for key in keys(one) or ()]
