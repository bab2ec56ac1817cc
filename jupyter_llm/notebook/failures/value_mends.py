"""Mends of values that do not fit: texts among numbers, conditions, places, and None."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend
from jupyter_llm.notebook.values.peek import ABSENT, own_package

_NUMBER = re.compile(r"\s*[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?\s*")
_DATE = re.compile(r"\s*\d{4}-\d\d|\s*\d\d?[/.]\d\d?[/.]\d{2}")
_TEXT_CALLS = ("str", "input", "repr", "format")
_CHANGING = frozenset({"sort", "append", "extend", "reverse", "insert", "update", "add", "shuffle"})


# Texts and numbers


def texts(broken: Broken) -> Iterator[Mend]:
    """Mends of texts that are joined with numbers, compared with them, or calculated with."""
    if not broken.says(r"concatenate str|must be str|'str'|<U|string|str_|multiply sequence"):
        return
    for call in broken.nodes(ast.Call):
        holder = [call.func.value] if isinstance(call.func, ast.Attribute) else []
        for one in (*holder, *call.args):
            if broken.kind_of(one) == "texts":
                yield from _of_numbers(broken, one, is_sure=True)
    for node in broken.nodes(ast.BinOp):
        if isinstance(node.op, ast.Add):
            yield from _joined(broken, _summands(node))
    pairs: list[list[ast.expr]] = [[n.left, *n.comparators] for n in broken.nodes(ast.Compare)]
    pairs += [[one.left, one.right] for one in broken.nodes(ast.BinOp)]
    pairs += [[one.target, one.value] for one in broken.nodes(ast.AugAssign)]
    for pair in pairs:
        yield from _compared(broken, pair)


def _joined(broken: Broken, parts: list[ast.expr]) -> Iterator[Mend]:
    """Mends of a text and something else that are added."""
    others = [part for part in parts if not _is_text(broken, part)]
    if len(others) == len(parts) or not others:
        return
    numbers = [p for p in parts if type(t := broken.value(p)) is str and _NUMBER.fullmatch(t)]
    if len(numbers) == len(parts) - len(others):
        edits: list[Edit] = [(one, _number(broken, one)) for one in numbers]
        yield from broken.change("a number that is a text is added", *edits)
    reason = "only texts are joined to a text"
    for some in (others, *([one] for one in others)):
        edits = []
        for part in some:
            is_column = own_package(broken.value(part)) in ("pandas", "numpy")
            around = "{}.astype(str)" if is_column else "str({})"
            edits.append((part, around.format(broken.text(part))))
        yield from broken.change(reason, *edits, is_sure=len(others) == 1)


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def _is_text(broken: Broken, node: ast.expr) -> bool:
    is_call = isinstance(node, ast.Call) and broken.text(node.func) in _TEXT_CALLS
    return is_call or broken.kind_of(node) in ("str", "texts")


def _number(broken: Broken, node: ast.expr) -> str:
    held, text = broken.value(node), broken.text(node)
    if isinstance(node, ast.Constant):
        return str(held).strip()
    is_whole = type(held) is str and held.strip().lstrip("-").isdecimal()
    return f"int({text})" if is_whole else f"float({text})"


def _compared(broken: Broken, pair: list[ast.expr]) -> Iterator[Mend]:
    """Mends of two sides of which one is text and should be a number, or a date."""
    sides = [side for side in pair if _is_text(broken, side)]
    columns = [side for side in sides if broken.kind_of(side) == "texts"]
    for side in sides or [one for one in pair if broken.value(one) is ABSENT]:
        held, text = broken.value(side), broken.text(side)
        if side in columns or (not sides and isinstance(side, ast.Subscript)):
            yield from _of_numbers(broken, side, is_sure=side in columns)
        elif type(held) is str and not _NUMBER.fullmatch(held):
            continue
        else:
            reason = f"`{text}` is text, and has to be a number"
            edit: Edit = (side, _number(broken, side))
            yield from broken.change(reason, edit, is_sure=type(held) is str)


def _of_numbers(broken: Broken, column: ast.expr, *, is_sure: bool) -> Iterator[Mend]:
    """Mends of a column of texts, wherever it stands in the statement."""
    text, held = broken.text(column), broken.value(column)
    first = held.iloc[0] if broken.kind_of(column) == "texts" and len(held) else ""
    new, what = f"{text}.astype(float)", "numbers"
    imports: tuple[Edit, ...] = ()
    if type(first) is str and _DATE.match(first):
        pd, imports = broken.alias("pandas", "pd")
        new, what = f"{pd}.to_datetime({text})", "dates"
    edits: list[Edit] = [(n, new) for n in broken.nodes(ast.expr) if broken.text(n) == text]
    reason = f"`{text}` is text, and has to be {what}"
    yield from broken.change(reason, *imports, *edits, is_sure=is_sure)


# Conditions


def conditions(broken: Broken) -> Iterator[Mend]:
    """Mends of conditions on many values at once."""
    if not broken.says(r"truth value|Cannot perform|operand type\(s\) for [&|]|rand_|ror_"):
        return
    for node in broken.nodes(ast.Compare):
        parts = [part for one in (node.left, *node.comparators) for part in _operands(one)]
        signs = [_between(broken, left, right) for left, right in pairwise(parts)]
        if len(node.ops) == 1 and len(parts) == 2:  # noqa: PLR2004
            continue
        sides = [broken.text(one) for one in parts]
        new = f"({sides[0]}"
        for sign, left, right in zip(signs, sides, sides[1:], strict=False):
            is_open = sign not in ("&", "|") and re.search(r"[<>=]", new.rpartition("(")[2])
            joint = f") & ({left}" if is_open else ""
            new += f") {sign} ({right}" if sign in ("&", "|") else f"{joint} {sign} {right}"
        reason = "`&` and `|` bind closer than a comparison, and each one stands alone"
        yield from broken.change(reason, (node, f"{new})"))
    for both in broken.nodes(ast.BoolOp):
        sign = "&" if isinstance(both.op, ast.And) else "|"
        new = f" {sign} ".join(_alone(broken, one) for one in both.values)
        reason = f"whole columns are joined by `{sign}`, each condition in brackets"
        yield from broken.change(reason, (both, new))
    for turned in broken.nodes(ast.UnaryOp):
        reason = "a whole column is turned around by `~`"
        yield from broken.change(reason, (turned, _alone(broken, turned)))


def _alone(broken: Broken, node: ast.expr) -> str:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return f"~({broken.text(node.operand)})"
    return f"({broken.text(node)})"


def _between(broken: Broken, left: ast.expr, right: ast.expr) -> str:
    start, stop = broken.span(left), broken.span(right)
    return broken.source[start[1] : stop[0]].strip(" ()\n") if start and stop else ""


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return [*_operands(node.left), *_operands(node.right)]
    return [node]


# Places


def places(broken: Broken) -> Iterator[Mend]:
    """Mends of an index that is one too far."""
    reason = "places are counted from 0"
    for node in broken.nodes(ast.Subscript):
        inner, held = node.slice, broken.value(node.value)
        size = len(held) if type(held) in (list, tuple, str) else None
        if (found := broken.says(r"for axis (\d+) with size (\d+)")) is not None:
            size = int(found[2])
            inner = inner.elts[int(found[1])] if isinstance(inner, ast.Tuple) else inner
        key, text = broken.value(inner), broken.text(inner)
        if isinstance(inner, ast.Constant) and type(key) is int:
            is_next = size is not None and key == size > 0
            new = str(key - 1) if size is None or is_next else "-1"
            yield from broken.change(reason, (inner, new), is_guess=not is_next)
        elif text.startswith("len("):
            yield from broken.change(f"{reason}, and the last is -1", (inner, "-1"))
        else:
            yield from _ranges(broken, node, reason)


def _ranges(broken: Broken, node: ast.Subscript, reason: str) -> Iterator[Mend]:
    """Mends of `range(len(x) + 1)`, and of `range(len(x))` where the next item is read."""
    for call in broken.nodes(ast.Call, anywhere=True):
        if broken.text(call.func) != "range" or not call.args:
            continue
        last, length = call.args[-1], f"len({broken.text(node.value)})"
        text = broken.text(last)
        new = re.sub(r"\s*\+\s*1$", "", text)
        if new == text:
            new = f"{text} - 1" if text.startswith("len(") else length
        yield from broken.change(reason, (last, new), is_sure="len(" in text)


# None


def nothing(broken: Broken) -> Iterator[Mend]:
    """Mends of None where something was expected: of methods and functions that give nothing."""
    if "NoneType" not in broken.message:
        return
    used = {node.id for node in broken.nodes(ast.Name)}
    for node in ast.walk(broken.tree):
        if isinstance(node, ast.Call):
            yield from _in_place(broken, node)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target = broken.text(node.targets[0])
            if not broken.line or target in used:
                yield from _changing(broken, node, node.value, target)
    for node in ast.walk(broken.tree):
        is_empty = isinstance(node, ast.FunctionDef) and not any(
            isinstance(one, (ast.Return, ast.Yield)) for one in ast.walk(node)
        )
        if isinstance(node, ast.FunctionDef) and is_empty:
            yield from _returning(broken, node)


def _in_place(broken: Broken, call: ast.Call) -> Iterator[Mend]:
    """Mend `x = y.drop(…, inplace=True)`, and a call of what that gives."""
    is_used = not isinstance(broken.parent(call), ast.Expr)
    for keyword in call.keywords:
        span, own = broken.span(call), broken.span(keyword)
        if keyword.arg == "inplace" and span and own and is_used:
            before = broken.source[span[0] : own[0]].rstrip().removesuffix(",")
            reason = "with `inplace=True` it gives nothing back"
            yield from broken.change(reason, ((span[0] + len(before), own[1]), ""))


def _changing(broken: Broken, node: ast.Assign, call: ast.Call, target: str) -> Iterator[Mend]:
    """Mend `x = y.sort()` and the like."""
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr not in _CHANGING:
        return
    holder = broken.text(func.value)
    reason = f"`{func.attr}` changes its object and gives nothing back"
    options = [broken.text(one) for one in call.keywords]
    edit: Edit = (node, f"{broken.text(call)}\n{target} = {holder}")
    if func.attr == "sort":
        edit = (call, f"sorted({', '.join([holder, *options])})")
    elif func.attr == "reverse":
        edit = (call, f"{holder}[::-1]")
    elif holder == target:
        edit = (node, broken.text(call))
    yield from broken.change(reason, edit)


def _returning(broken: Broken, function: ast.FunctionDef) -> Iterator[Mend]:
    """Mend a function that calculates something and returns nothing."""
    last = function.body[-1]
    text = broken.text(last)
    printed = re.fullmatch(r"print\((.*)\)", text, re.DOTALL)
    new = f"return {printed[1] if printed else text}"
    if not isinstance(last, ast.Expr):
        inside = ast.walk(last if isinstance(last, ast.Assign) else function)
        names = (node for node in inside if isinstance(node, ast.Name))
        stored = next((one.id for one in names if isinstance(one.ctx, ast.Store)), "")
        new = f"{text}\n{' ' * last.col_offset}return {stored}" if stored else text
    yield from broken.change(f"`{function.name}` returns nothing", (last, new), is_sure=False)
