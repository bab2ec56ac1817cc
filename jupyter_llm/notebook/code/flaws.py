"""Finds flaws in code by rules: pyflakes' and nine of our own. Runs nothing.

Our own are about valid Python that fails silently and is hardly ever intended. No rule is needed
for errors and warnings that Python or a library reports itself. A false alarm costs more than a
miss.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from jupyter_llm.notebook.code.bindings import bindings_of, mutated_in, own_nodes, parameters_of
from jupyter_llm.notebook.code.names import unknown_names
from jupyter_llm.notebook.code.syntax import parse_cell, syntax_error

Sureness = Literal["certain", "likely", "possible"]
"""The certainty that code is wrong and not only unusual."""

Broken = tuple[ast.AST, str, Sureness]
"""A node that breaks a rule, the problem, and its certainty."""

_RANK: dict[Sureness, int] = {"certain": 0, "likely": 1, "possible": 2}
# Later cells may use names that a cell binds or imports by a star. A cell may use `await`.
_NOT_IN_CELLS = frozenset(
    {
        *("UnusedImport", "ImportStarUsed", "ImportStarUsage", "UnusedAnnotation"),
        *("YieldOutsideFunction", "FStringMissingPlaceholders"),
    }
)
_LIKELY = ("Unused", "Redefined", "Import", "FString")  # the others are certain
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_RESIZING = frozenset({"append", "insert", "pop", "remove", "clear", "add", "discard"})
_GIVE_NONE = {"append": 1, "extend": 1, "sort": 0, "reverse": 0}  # number of arguments
_MODULES = frozenset({"np", "numpy", "pd", "pl", "os", "shutil", "bisect", "heapq", "plt", "re"})
# Calls that have no effect if their result is unused; with this number of arguments, they are not
# another method of that name.
_PURE: dict[str, int | None] = {
    **dict.fromkeys(("strip", "lstrip", "rstrip", "lower", "upper", "title", "isna", "copy"), 0),
    **dict.fromkeys(("dropna", "fillna", "sort_values", "reset_index", "set_index"), None),
    **dict.fromkeys(("drop_duplicates", "with_columns", "drop_nulls", "fill_null"), None),
    **dict.fromkeys(("astype", "assign", "sort_index", "groupby", "group_by"), None),
    **dict.fromkeys(("sorted", "reversed", "len", "sum", "abs", "min", "max"), None),
    "replace": 2,
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """A possible flaw in a line, counted from 1, and how sure it is."""

    line: int
    source: str
    problem: str
    sureness: Sureness = "likely"

    def __str__(self) -> str:
        code = f" `{self.source}`" if self.source and "`" not in self.source else ""
        return f"**line {self.line}**{code}: {self.problem} ({self.sureness})"


def flaws_in(source: str, namespace: Container[str] = ()) -> tuple[Flaw, ...]:
    """Return the flaws of a cell or a function by line, the surest of a line first.

    Names of the namespace count as defined. Code with a syntax error has one flaw: that error.
    """
    lines = [line.strip() for line in source.split("\n")]

    def flaw(line: int, problem: str, sureness: Sureness) -> Flaw:
        return Flaw(line, lines[line - 1] if line <= len(lines) else "", problem, sureness)

    if (error := syntax_error(source)) is not None:
        return (flaw(error.lineno or 1, f"Python cannot read it: {error.msg}", "certain"),)
    tree = parse_cell(source)
    if tree is None:
        return ()
    try:
        flaws = [flaw(*one) for one in _of_pyflakes(tree, source, namespace)]
        shown = tree.body[-1:]  # a cell shows its value
        for node in ast.walk(tree):
            for rule in _RULES if node not in shown else _RULES[:-1]:
                flaws += [flaw(getattr(at, "lineno", 1), text, how) for at, text, how in rule(node)]
    except RecursionError:  # a chain of hundreds of operators
        return ()
    return tuple(sorted(dict.fromkeys(flaws), key=lambda one: (one.line, _RANK[one.sureness])))


def _of_pyflakes(
    tree: ast.Module, source: str, namespace: Container[str]
) -> Iterator[tuple[int, str, Sureness]]:
    from pyflakes.checker import Checker

    unknown = unknown_names(source, namespace)
    tops = {node.lineno for node in tree.body}
    for message in Checker(tree, withDoctest=False).messages:
        kind = type(message).__name__
        if kind == "UndefinedName" and message.message_args[0] not in unknown:
            continue
        if kind in _NOT_IN_CELLS and message.lineno in tops:
            continue
        parts = (message.message % message.message_args).split("'")
        quoted = "`" if len(parts) % 2 else "'"  # names as code
        sureness: Sureness = "likely" if kind.startswith(_LIKELY) else "certain"
        yield message.lineno, quoted.join(parts), sureness


def _arithmetic(node: ast.AST) -> Iterator[Broken]:
    match node:
        case ast.BinOp(op=ast.BitXor(), right=ast.Constant(value=2 | 3)):
            yield node, "`^` is no power but a bitwise xor; the power is `**`", "likely"
        case ast.BinOp(ast.Call(ast.Name("sum")), ast.FloorDiv(), ast.Call(ast.Name("len"))):
            yield node, "`//` cuts off the fraction of a mean", "likely"
        case ast.Return(ast.BinOp(ast.Call(ast.Name("len")), ast.FloorDiv(), ast.Name(size))):
            text = f"`//` leaves out a last part with fewer than `{size}`"
            yield node, f"{text}; rounded up it is `-(-a // b)`", "possible"


def _always_true(node: ast.AST) -> Iterator[Broken]:
    match node:
        case ast.BoolOp(op=ast.Or(), values=[ast.Compare(), *others]):
            for other in others:
                if isinstance(other, ast.Constant) and other.value:
                    text = f"`or {ast.unparse(other)}` is always true; compare with it too"
                    yield node, text, "certain"


def _none_kept(node: ast.AST) -> Iterator[Broken]:
    match node:
        case ast.Assign(value=ast.Call(ast.Attribute(base, name), args, keywords)) | ast.Return(
            ast.Call(ast.Attribute(base, name), args, keywords)
        ):
            if any(one.arg == "inplace" and _is(one.value, 1) for one in keywords):
                yield node, f"`.{name}(…, inplace=True)` gives None, which is kept", "certain"
            elif len(args) == _GIVE_NONE.get(name) and not _is_module(base):
                text = f"`.{name}(…)` changes its list and gives None, which is kept"
                yield node, text, "likely"


def _result_dropped(node: ast.AST) -> Iterator[Broken]:
    match node:
        case ast.Expr(ast.Compare(ops=[ast.Eq()]) as value):
            text = f"`{ast.unparse(value)}` compares and does not assign; nothing uses it"
            yield node, text, "certain"
        case ast.Expr(ast.Call(called, args, keywords)):
            name = getattr(called, "attr", getattr(called, "id", ""))
            is_pure = name in _PURE and _PURE[name] in (None, len(args))
            in_place = any(one.arg == "inplace" for one in keywords)
            if is_pure and not in_place and not _is_module(getattr(called, "value", called)):
                text = f"`{name}` changes nothing in place, and its result is not used"
                yield node, text, "certain"


def _never_runs(node: ast.AST) -> Iterator[Broken]:
    for body in _bodies(node):
        for one, following in pairwise(body):
            if isinstance(one, _ENDS):
                word = type(one).__name__.lower()
                yield following, f"this never runs: it follows `{word}`", "certain"


def _shared_default(node: ast.AST) -> Iterator[Broken]:
    if not isinstance(node, _FUNCTIONS):
        return
    changed = {one.name for one in bindings_of(*node.body) if one.verb == "changes"}
    changed |= mutated_in(*node.body)
    own = set[str]()
    for one in own_nodes(node.body):
        match one:
            case ast.Assign([ast.Name(name)]):  # it may be a copy
                own.add(name)
            # Other code may change an object that it has a reference to.
            case ast.Return(ast.Name(name)) | ast.Assign([ast.Attribute()], ast.Name(name)):
                changed.add(name)
            case ast.AugAssign(ast.Name(name)):
                changed.add(name)
    for parameter, default in parameters_of(node.args):
        if isinstance(default, ast.List | ast.Dict | ast.Set) and parameter.arg in changed - own:
            text = f"`{parameter.arg}={ast.unparse(default)}` is made once: all calls share it"
            yield default, f"the default {text}", "certain"


def _changes_iterated(node: ast.AST) -> Iterator[Broken]:
    if not isinstance(node, ast.For) or not isinstance(node.iter, ast.Name | ast.Attribute):
        return
    source = ast.unparse(node.iter)
    for body in (node.body, *(b for one in own_nodes(node.body) for b in _bodies(one))):
        for one in body if not isinstance(body[-1], _ENDS) else ():
            match one:
                case ast.Delete([ast.Subscript(base)]):
                    is_changed = ast.unparse(base) == source
                case ast.Expr(ast.Call(ast.Attribute(base, name))) if name in _RESIZING:
                    is_changed = ast.unparse(base) == source
                case _:
                    is_changed = False
            if is_changed:
                yield one, f"this changes `{source}` while the loop iterates over it", "certain"


def _leaves_out_last(node: ast.AST) -> Iterator[Broken]:
    match node:
        case ast.For(
            ast.Name(index),
            ast.Call(
                ast.Name("range"), [ast.BinOp(ast.Call(ast.Name("len"), [over]), ast.Sub(), less)]
            ),
            body,
        ):
            pass
        case _:
            return
    name, code = ast.unparse(over), "\n".join(map(ast.unparse, body))
    if f"{name}[{index}:{index} + {ast.unparse(less)}]" in code and f"{index} + 1" not in code:
        text = f"the last part of `{name}` is left out: it begins at `len({name}) - "
        yield node, f"{text}{ast.unparse(less)}`, so the range ends one too early", "likely"
    used = [one.id for one in own_nodes(body) if isinstance(one, ast.Name)]
    if _is(less, 1) and code.count(f"{name}[{index}]") == used.count(index) == used.count(name):
        yield node, f"the last of `{name}` is left out", "likely"


def _never_used(node: ast.AST) -> Iterator[Broken]:
    if not isinstance(node, _FUNCTIONS):
        return
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    read = {one.id for one in names if not isinstance(one.ctx, ast.Store)}
    shared = {name for one in ast.walk(node) for name in getattr(one, "names", ())}
    sums = (one for one in own_nodes(node.body) if isinstance(one, ast.AugAssign))
    unused = {one.id for one in own_nodes(node.body) if isinstance(one, ast.Name)} - read - shared
    for one in sums:
        if isinstance(one.target, ast.Name) and one.target.id in unused:
            yield one, f"`{one.target.id}` is added up and never used", "likely"
            unused -= {one.target.id}


_RULES: tuple[Callable[[ast.AST], Iterator[Broken]], ...] = (
    _arithmetic,
    _always_true,
    _none_kept,
    _never_runs,
    _shared_default,
    _changes_iterated,
    _leaves_out_last,
    _never_used,
    _result_dropped,  # the last: a cell shows its last expression
)


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list) and body:
            yield body


def _is(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in _MODULES
