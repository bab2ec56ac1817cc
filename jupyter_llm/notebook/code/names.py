"""Finds the names and modules that code uses and binds, and those that do not exist.

Nothing is run or imported.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from jupyter_llm.notebook.code.syntax import parse_cell

_IPYTHON_NAMES = frozenset(
    (
        *("get_ipython", "display", "exit", "quit", "In", "Out", "_", "__", "___"),
        *("_i", "_ii", "_iii", "_ih", "_oh", "_dh", "__name__", "__doc__", "__annotations__"),
        *("__module__", "__qualname__", "__class__"),  # inside a class
    )
)
_DEFINING_MAGIC = re.compile(r"^[ \t]*%(?:run|pylab|store)\b", re.MULTILINE)
_CAPTURE = re.compile(r"%%capture[ \t]+(?:--\S+[ \t]+)*([^\W\d]\w*)")

Act = Literal["reads", "binds", "changes", "deletes", "declares"]
_ACTS: dict[type, Act] = {ast.Load: "reads", ast.Store: "binds", ast.Del: "deletes"}


@dataclass(frozen=True, slots=True)
class Use:
    """A use of an outer name: one of the namespace around the code.

    `x += 1` changes a name, and `x: int` only declares it.
    """

    name: str
    act: Act
    place: tuple[int, int]


@dataclass(slots=True, eq=False)
class _Scope:
    """A function, class or comprehension; or the code itself, which has no `outer`."""

    outer: _Scope | None = None
    own: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)  # by `global`
    kind: Literal["function", "class", "comprehension"] = "function"

    def reaches_out(self, name: str) -> bool:
        """Whether a name used here belongs to the namespace around all the code."""
        scope = self
        while scope.outer is not None:
            if name in scope.shared:
                return True
            # Functions in a class do not see the class's names.
            is_seen = scope is self or scope.kind != "class"
            if is_seen and name in scope.own:
                return False
            scope = scope.outer
        return True


def uses_in(*nodes: ast.AST) -> list[Use]:
    """Return the uses of outer names in order; local names of functions do not count."""
    top = _Scope()
    uses: list[tuple[Use, _Scope]] = []
    waiting: list[tuple[ast.AST, _Scope]] = [(node, top) for node in nodes]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, ast.Global):
            scope.shared.update(node.names)
        for name, act in _acts(node):
            uses.append((Use(name, act, _place(node)), scope))
            if act != "reads":
                scope.own.add(name)
        waiting += _parts(node, scope)
    outer = (use for use, scope in uses if scope.reaches_out(use.name))
    return sorted(outer, key=lambda use: use.place)


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _acts(node: ast.AST) -> Iterator[tuple[str, Act]]:
    """Yield the names in a node itself, each with the act."""
    match node:
        case ast.Name(id=name, ctx=context):
            yield name, _ACTS[type(context)]
        case ast.AugAssign(target=ast.Name(id=name)):
            yield name, "changes"
        case ast.AnnAssign(target=ast.Name(id=name), value=None):
            yield name, "declares"
        case ast.alias(name=name, asname=other) if name != "*":
            yield other or name.partition(".")[0], "binds"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, "binds"
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name, "binds"
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name, "binds"


def _parts(node: ast.AST, scope: _Scope) -> Iterator[tuple[ast.AST, _Scope]]:
    """Yield a node's children, each with its scope."""
    children = list(ast.iter_child_nodes(node))
    inner: dict[ast.AST, _Scope] = {}
    if parameters := {one.name for one in getattr(node, "type_params", ())}:  # of Python 3.12
        inner[getattr(node, "name", node)] = scope  # the name that `type` binds
        scope = _Scope(scope, parameters)
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            own = {one.arg for one in ast.iter_child_nodes(node.args) if isinstance(one, ast.arg)}
            body = node.body if isinstance(node.body, list) else [node.body]
            inner |= dict.fromkeys(body, _Scope(scope, own))
        case ast.ClassDef(body=body):
            inner |= dict.fromkeys(body, _Scope(scope, kind="class"))
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            first, *_ = node.generators
            children += [first.target, first.iter, *first.ifs]
            children.remove(first)
            inner = dict.fromkeys(children, _Scope(scope, kind="comprehension"))
            inner[first.iter] = scope
        case ast.NamedExpr(target=target):
            outside = scope
            while outside.kind == "comprehension" and outside.outer is not None:
                outside = outside.outer
            inner[target] = outside
        case ast.AugAssign(target=ast.Name() as target):
            children.remove(target)
        case ast.AnnAssign(target=ast.Name() as target, value=None):
            children.remove(target)
    yield from ((child, inner.get(child, scope)) for child in children)


def unknown_names(source: str, namespace: Container[str] = ()) -> tuple[str, ...]:
    """Return the names that a cell uses and that do not exist, in the order of their first use.

    A name exists if the cell, the namespace, Python or IPython defines it. If the cell may define
    any name, as by `from module import *`, the result is empty.
    """
    tree = parse_cell(source)
    if tree is None or _DEFINING_MAGIC.search(source) or any(map(_is_star_import, ast.walk(tree))):
        return ()
    defined = defined_names(source)
    used = dict.fromkeys(use.name for use in uses_in(tree) if use.act != "declares")
    return tuple(
        name
        for name in used
        if name not in defined
        and name not in _IPYTHON_NAMES
        and not hasattr(builtins, name)
        and name not in namespace
    )


def defined_names(source: str) -> frozenset[str]:
    """Return the names that a cell adds to the namespace."""
    tree = parse_cell(source)
    bound = {use.name for use in uses_in(tree) if use.act == "binds"} if tree else set[str]()
    captured = _CAPTURE.match(source.lstrip())
    return frozenset(bound | ({captured[1]} if captured else set()))


def missing_modules(source: str) -> tuple[str, ...]:
    """Return the top-level modules that a cell imports and that are not installed.

    Imports inside a `try` do not count.
    """
    tree = parse_cell(source)
    if tree is None:
        return ()
    names = dict.fromkeys(name.split(".")[0] for name in _imports(tree))
    return tuple(name for name in names if not is_installed(name))


def _is_star_import(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield the modules that a tree imports unconditionally."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and not child.level and child.module:
            yield child.module
        elif isinstance(child, ast.Try | ast.TryStar):
            for other in (*child.handlers, *child.orelse, *child.finalbody):
                yield from _imports(other)
        elif not isinstance(child, ast.expr):
            yield from _imports(child)


def is_installed(name: str) -> bool:
    """Whether a module can be imported; it is not imported to find out."""
    if name in sys.modules or name in sys.stdlib_module_names:
        return True
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its package is missing
        return False
    except Exception:  # noqa: BLE001  a finder of the user's own may raise anything
        return True
