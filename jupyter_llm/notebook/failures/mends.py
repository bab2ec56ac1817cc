"""Mechanical changes to a failed cell, the likeliest first. They are not tried here.

The rules for conditions on columns, None and methods are here; the others have modules of their
own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from jupyter_llm.notebook.failures import near_mends as nearby
from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, Rule
from jupyter_llm.notebook.failures.failure import Failure
from jupyter_llm.notebook.failures.syntax_mends import syntax
from jupyter_llm.notebook.failures.ways import ways

_CHANGING = frozenset({"sort", "append", "extend", "reverse", "insert", "update", "add", "shuffle"})


def _conditions(broken: Broken) -> Iterator[Mend]:
    """Yield mends of conditions on many values at once."""
    if not broken.match_message(
        r"truth value|Cannot perform|operand type\(s\) for [&|]|rand_|ror_"
    ):
        return
    for node in broken.nodes(ast.Compare):
        parts = [part for one in (node.left, *node.comparators) for part in _operands(one)]
        if len(parts) > len(node.ops) + 1:
            reason = "`&` and `|` bind closer than a comparison, so each comparison needs brackets"
            yield from broken.change(reason, (node, _in_brackets(broken, parts)))
    for both in broken.nodes(ast.BoolOp):
        sign = "&" if isinstance(both.op, ast.And) else "|"
        new = f" {sign} ".join(f"({broken.text(one)})" for one in both.values)
        reason = f"whole columns are joined by `{sign}`, each condition in brackets"
        yield from broken.change(reason, (both, new))
    for turned in broken.nodes(ast.UnaryOp):
        if isinstance(turned.op, ast.Not):
            reason = "a whole column is turned around by `~`"
            yield from broken.change(reason, (turned, f"~({broken.text(turned.operand)})"))


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return [*_operands(node.left), *_operands(node.right)]
    return [node]


def _in_brackets(broken: Broken, parts: list[ast.expr]) -> str:
    """Return comparisons joined by `&` and `|`, each in brackets."""
    new = f"({broken.text(parts[0])}"
    for left, right in pairwise(parts):
        start, stop, text = broken.span(left), broken.span(right), broken.text(right)
        sign = broken.source[start[1] : stop[0]].strip(" ()\n") if start and stop else ""
        new += f") {sign} ({text}" if sign in ("&", "|") else f" {sign} {text}"
    return f"{new})"


def _methods(broken: Broken) -> Iterator[Mend]:
    """Yield mends of methods without `self`."""
    method = broken.match_message(r"(?:\w+\.)?(\w+)\(\) takes \d+ positional arguments? but")
    if method is None:
        return
    for place in re.finditer(rf"(?m)^[ \t]+def {method[1]}\((?!self\b)(?=(\)?))", broken.source):
        edit: Edit = ((place.end(), place.end()), "self" if place[1] else "self, ")
        yield from broken.change(f"the method `{method[1]}` has no `self`", edit)


def _nothing(broken: Broken) -> Iterator[Mend]:
    """Yield mends of an unexpected None, from methods and functions that return nothing."""
    if "NoneType" not in broken.message:
        return
    used = {node.id for node in broken.nodes(ast.Name)}
    for node in ast.walk(broken.tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Attribute(value=holder, attr=method)) as call,
            ) if method in _CHANGING and (not broken.line or name in used):
                text = broken.text(holder)
                new = broken.text(call) + (f"\n{name} = {text}" if text != name else "")
                reason = f"`{method}` changes its object and gives nothing back"
                yield from broken.change(reason, (node, new))
            case ast.FunctionDef(name=name, body=[*_, last]) if not any(
                isinstance(one, (ast.Return, ast.Yield)) for one in ast.walk(node)
            ):
                yield from _returning(broken, name, last)


def _returning(broken: Broken, name: str, last: ast.stmt) -> Iterator[Mend]:
    """Yield a function that returns its last value instead of nothing."""
    text = new = broken.text(last)
    match last:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[printed])):
            new = f"return {broken.text(printed)}"
        case ast.Expr():
            new = f"return {text}"
        case ast.Assign(targets=[ast.Name(id=stored)]):
            new = f"{text}\n{' ' * last.col_offset}return {stored}"
    yield from broken.change(f"`{name}` returns nothing", (last, new), is_sure=False)


# Rules by the error's classes, the likeliest first.
_RULES: tuple[tuple[tuple[str, ...], tuple[Rule, ...]], ...] = (
    (("SyntaxError",), (syntax,)),
    (("NameError", "UndefinedVariableError"), (nearby.names,)),
    (("KeyError", "ColumnNotFoundError", "BinderException"), (nearby.columns,)),
    (("OSError", "IOException"), (nearby.files,)),
    (("TypeError", "AttributeError"), (nearby.keywords,)),
    (("TypeError",), (_methods,)),
    (("TypeError", "ValueError"), (_conditions,)),
    (("Exception",), (ways,)),
    (("AttributeError",), (nearby.attributes,)),
    (("TypeError", "AttributeError"), (_nothing,)),
    (("ValueError",), (nearby.columns,)),
)


def mends(
    failure: Failure, source: str, namespace: Mapping[str, Any], files: Sequence[str] = ()
) -> Iterator[Mend]:
    """Yield different changes to a cell that may mend it.

    The cell is in the traceback, or may be the cause. `namespace` has the values that its code
    reads, and `files` the existing paths. A rule that fails on the user's objects yields nothing.
    """
    broken = Broken(failure, source, namespace, files)
    seen = {source}
    kinds = {failure.kind, *failure.bases, "Exception"}
    for rule in (rule for names, rules in _RULES if kinds.intersection(names) for rule in rules):
        try:
            for mend in rule(broken):
                if mend.source not in seen:
                    seen.add(mend.source)
                    yield mend
        except Exception:  # noqa: BLE001, S112  the values may be anything
            continue
