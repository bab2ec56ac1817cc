"""Rules about Python that is valid and still hardly ever meant. Each one reads a syntax tree.

A rule speaks up only where the code is really likely to be wrong: a false alarm costs more than a
silence, since a model looks at the lines too.
"""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from jupyter_llm.notebook.code.bindings import own_nodes, parameters_of, returned_by
from jupyter_llm.notebook.code.names import uses_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Broken = tuple[int, str, Literal["certain", "likely", "possible"]]
"""A line, what is wrong with it, and how sure that is."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor | ast.While
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_MUTATORS = frozenset(
    {
        *("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "add"),
        *("discard", "update", "setdefault", "popitem", "appendleft"),
    }
)
_GIVE_NONE = {"append": 1, "extend": 1, "insert": 2, "sort": 0, "reverse": 0}  # with arguments
_RESIZING = frozenset({"append", "insert", "pop", "remove", "clear", "add", "discard", "popitem"})
_MODULES = frozenset({"np", "numpy", "pd", "pl", "os", "shutil", "bisect", "heapq", "plt", "re"})
# Methods that change nothing, where their result is thrown away; the number of arguments with
# which they are no others of that name.
_PURE = {
    **dict.fromkeys(("strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize"), 0),
    **dict.fromkeys(
        ("dropna", "fillna", "sort_values", "reset_index", "set_index", "astype"), None
    ),
    **dict.fromkeys(("drop_duplicates", "with_columns", "drop_nulls", "fill_null", "assign"), None),
    **dict.fromkeys(("sort_index", "value_counts", "groupby", "group_by", "splitlines"), None),
    **dict.fromkeys(("copy", "dropna", "isna"), 0),
    "replace": 2,
}
_PURE_FUNCTIONS = frozenset({"sorted", "reversed", "len", "sum", "abs", "round", "min", "max"})
_CALLED = frozenset({"list", "dict", "set", "sum", "max", "min", "len", "str", "sorted", "range"})


def broken_rules(tree: ast.Module) -> Iterator[Broken]:
    """The rules that some code breaks, in any order."""
    last = tree.body[-1] if tree.body else None  # whose value a cell shows
    for node in ast.walk(tree):
        yield from _of_expression(node)
        for body in _bodies(node):
            yield from _of_block(body, last)
        if isinstance(node, _FUNCTIONS):
            for rule in _OF_FUNCTIONS:
                yield from rule(node)
        elif isinstance(node, ast.Try):
            yield from _of_try(node)
        elif isinstance(node, _LOOPS):
            yield from _of_loop(node)
        elif isinstance(node, ast.If):
            yield from _same_test_again(node)
        if isinstance(node, (ast.Module, *_FUNCTIONS)):
            yield from _of_scope(node)


# Expressions


def _of_expression(node: ast.AST) -> Iterator[Broken]:
    match node:
        case ast.Compare():
            yield from _of_comparison(node)
        case ast.BoolOp(op=ast.Or(), values=[ast.Compare(), *others]):
            for other in others:
                if isinstance(other, ast.Constant) and other.value:
                    text = f"`or {ast.unparse(other)}` is always true; compare with it too"
                    yield node.lineno, text, "certain"
        case ast.BinOp(op=ast.BitXor(), right=ast.Constant(value=2 | 3)):
            yield node.lineno, "`^` is no power but a bitwise xor; the power is `**`", "likely"
        case ast.BinOp(
            op=ast.Add(),
            left=ast.Name() | ast.Subscript() as first,
            right=ast.BinOp(left=last, op=ast.Div() | ast.FloorDiv(), right=ast.Constant(value=2)),
        ) if type(last) is type(first):
            text = f"in `{ast.unparse(node)}` only the last is divided; a mean needs brackets"
            yield node.lineno, text, "likely"
        case ast.BinOp(op=ast.FloorDiv(), left=left, right=right):
            if _is_call(left, "sum") and _is_call(right, "len"):
                yield node.lineno, "`//` cuts off the fraction of a mean", "likely"
        case ast.Subscript(value=value, slice=ast.Call() as index):
            if _is_call(index, "len") and _same(index.args[0], value):
                text = f"`{ast.unparse(node)}` is one behind the end; the last is at `len(…) - 1`"
                yield node.lineno, text, "certain"


def _of_comparison(node: ast.Compare) -> Iterator[Broken]:
    sides = [node.left, *node.comparators]
    for (left, right), op in zip(pairwise(sides), node.ops, strict=True):
        is_equality = isinstance(op, ast.Eq | ast.NotEq)
        # `x != x` asks for NaN.
        is_plain = isinstance(left, ast.Name | ast.Attribute | ast.Subscript)
        if (
            is_plain
            and not isinstance(op, ast.NotEq)
            and _same(left, right)
            and not _has_call(left)
        ):
            yield node.lineno, f"`{ast.unparse(node)}` compares something to itself", "certain"
        if is_equality and (_is_inexact(left) or _is_inexact(right)):
            text = "floats are rarely equal exactly; `math.isclose` compares them"
            yield node.lineno, text, "possible"
    masks = [one for one in node.comparators if isinstance(one, ast.BinOp)]
    if len(node.ops) > 1 and any(isinstance(one.op, ast.BitAnd | ast.BitOr) for one in masks):
        text = "`&` and `|` bind more closely than comparisons: put each of these in brackets"
        yield node.lineno, text, "certain"


# Blocks


def _of_block(body: Sequence[ast.stmt], last: ast.stmt | None) -> Iterator[Broken]:
    for one, following in pairwise(body):
        if isinstance(one, _ENDS):
            word = type(one).__name__.lower()
            yield following.lineno, f"this never runs: it stands behind `{word}`", "certain"
    for one in body:
        if isinstance(one, ast.Expr) and one is not last:
            yield from _unused_result(one)
        elif isinstance(one, ast.Assign | ast.Return) and isinstance(one.value, ast.Call):
            yield from _none_kept(one.value)
        if isinstance(one, ast.Assign):
            yield from _of_assignment(one)


def _unused_result(statement: ast.Expr) -> Iterator[Broken]:
    value, text = statement.value, f"`{_short(statement.value)}`"
    match value:
        case ast.Compare(ops=[ast.Eq()]):
            what = f"{text} compares and does not assign; nothing uses it"
            yield statement.lineno, what, "certain"
        case (
            ast.Compare()
            | ast.UnaryOp()
            | ast.Subscript()
            | ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div())
        ) if not _has_call(value):
            yield statement.lineno, f"the value of {text} is not used", "likely"
        case ast.Call(func=ast.Name(id=name)) if name in _PURE_FUNCTIONS:
            yield statement.lineno, f"{text} changes nothing, and its result is not used", "certain"
        case ast.Call(func=ast.Attribute(value=base, attr=name), args=args, keywords=keywords):
            is_pure = name in _PURE and _PURE[name] in (None, len(args))
            in_place = any(one.arg == "inplace" for one in keywords)
            if is_pure and not in_place and not _is_module(base):
                what = f"{text} changes nothing in place, and its result is not used"
                yield statement.lineno, what, "certain"


def _none_kept(call: ast.Call) -> Iterator[Broken]:
    """The None of a method that changes its object."""
    match call.func:
        case ast.Attribute(value=base, attr=name):
            if any(one.arg == "inplace" and _is_number(one.value, 1) for one in call.keywords):
                text = f"`.{name}(…, inplace=True)` gives None, which is kept"
                yield call.lineno, text, "certain"
            elif len(call.args) == _GIVE_NONE.get(name) and not _is_module(base):
                text = f"`.{name}(…)` changes its list and gives None, which is kept"
                yield call.lineno, text, "likely"


def _of_assignment(node: ast.Assign) -> Iterator[Broken]:
    target = node.targets[0]
    if len(node.targets) == 1 and _same(target, node.value):
        yield node.lineno, f"`{ast.unparse(node)}` assigns something to itself", "certain"
    match target:
        case ast.Subscript(value=ast.Subscript(value=ast.Name(), slice=ast.Compare())):
            text = "this writes to a copy of the chosen rows; `.loc[rows, column]` writes to them"
            yield node.lineno, text, "likely"


def _of_try(node: ast.Try) -> Iterator[Broken]:
    for one in node.finalbody:
        if isinstance(one, _ENDS) and not isinstance(one, ast.Raise):
            yield one.lineno, "leaving `finally` like this swallows every exception", "certain"
    broad: ast.ExceptHandler | None = None
    for handler in node.handlers:
        if broad is not None:
            text = f"this is never reached: line {broad.lineno} catches everything before it"
            yield handler.lineno, text, "certain"
        name = handler.type.id if isinstance(handler.type, ast.Name) else ""
        if handler.type is None or name in ("Exception", "BaseException"):
            broad = handler
            if all(isinstance(one, ast.Pass | ast.Continue) for one in handler.body):
                what = f"`except {name}`" if name else "a bare `except`"
                yield handler.lineno, f"{what} hides every mistake, typing errors too", "likely"


def _same_test_again(node: ast.If) -> Iterator[Broken]:
    """A test of an `elif` that one above it has taken already."""
    above, other = [node.test], node.orelse
    while len(other) == 1 and isinstance(other[0], ast.If):
        branch = other[0]
        if any(_same(branch.test, one) for one in above) and not _has_call(branch.test):
            text = f"`{_short(branch.test)}` was tested above, so this branch never runs"
            yield branch.test.lineno, text, "certain"
        above.append(branch.test)
        other = branch.orelse


# Loops


def _of_loop(loop: Loop) -> Iterator[Broken]:
    yield from _runs_once(loop)
    yield from _starts_over(loop)
    if isinstance(loop, ast.While):
        yield from _never_ends(loop)
        return
    yield from _of_loop_names(loop)
    yield from _changes_what_it_reads(loop)
    if isinstance(loop.target, ast.Name) and isinstance(loop.iter, ast.Call):
        yield from _of_range(loop, loop.target.id, loop.iter)


def _runs_once(loop: Loop) -> Iterator[Broken]:
    end = loop.body[-1]
    can_go_on = any(isinstance(one, ast.Continue) for one in own_nodes(loop.body))
    is_first_wanted = isinstance(loop, ast.While) or len(loop.body) == 1
    if isinstance(end, ast.Return) and not can_go_on and not is_first_wanted:
        text = "`return` ends the loop in its first round; it may have to stand behind the loop"
        yield end.lineno, text, "likely"


def _starts_over(loop: Loop) -> Iterator[Broken]:
    """A sum or a list that begins anew in every round, though only its growth is ever read."""
    for one in loop.body:
        match one:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_start(value):
                rest = list(own_nodes(other for other in loop.body if other is not one))
                reads = [n for n in rest if isinstance(n, ast.Name) and n.id == name]
                grows = [n for n in rest if _grows(n, name)]
                if grows and len(reads) == len(grows):
                    text = f"`{name}` begins anew in every round; set it before the loop"
                    yield one.lineno, text, "likely"


def _never_ends(loop: ast.While) -> Iterator[Broken]:
    names = {n.id for n in ast.walk(loop.test) if isinstance(n, ast.Name)}
    inside = list(own_nodes(loop.body))
    leaves = any(isinstance(n, ast.Break | ast.Return | ast.Raise | ast.Yield) for n in inside)
    is_plain = not any(isinstance(n, ast.Call | ast.Attribute) for n in ast.walk(loop.test))
    touched = any(
        (isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store | ast.Del) and n.id in names)
        or (isinstance(n, ast.Attribute | ast.Subscript) and _root(n) in names)
        or (isinstance(n, ast.Call) and names & set(_names(n)))
        or isinstance(n, ast.Await)
        for n in inside
    )
    if names and is_plain and not leaves and not touched:
        text = f"nothing in the loop changes `{ast.unparse(loop.test)}`, so it never ends"
        yield loop.lineno, text, "likely"


def _of_loop_names(loop: ast.For | ast.AsyncFor) -> Iterator[Broken]:
    targets = [n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)]
    inner = [n for n in own_nodes(loop.body) if isinstance(n, ast.For)]
    for other in inner:
        for name in {n.id for n in ast.walk(other.target) if isinstance(n, ast.Name)} - {"_"}:
            if name in targets:
                text = f"this loop uses `{name}` again, which the loop around it counts with"
                yield other.lineno, text, "likely"
    used = set(_names(*loop.body))
    is_counted = _is_call(loop.iter, "range") or len(targets) > 1
    name = targets[0] if targets else "_"
    if not is_counted and name not in used and not name.startswith("_") and "locals" not in used:
        yield loop.lineno, f"the loop never uses `{name}`", "likely"


def _changes_what_it_reads(loop: ast.For | ast.AsyncFor) -> Iterator[Broken]:
    source = loop.iter
    if isinstance(source, ast.Call) and isinstance(source.func, ast.Attribute):
        source = source.func.value if source.func.attr in ("items", "keys", "values") else source
    if not isinstance(source, ast.Name | ast.Attribute):
        return
    for body in (loop.body, *(b for n in own_nodes(loop.body) for b in _bodies(n))):
        leaves = any(isinstance(one, ast.Break | ast.Return | ast.Raise) for one in body)
        for one in body if not leaves else ():
            if _resizes(one, source):
                text = f"this changes `{ast.unparse(source)}` while the loop goes through it"
                yield one.lineno, text, "certain"


def _resizes(statement: ast.stmt, source: ast.expr) -> bool:
    match statement:
        case ast.Delete(targets=targets):
            held = [one.value for one in targets if isinstance(one, ast.Subscript)]
            return any(_same(one, source) for one in held)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=base, attr=name))):
            return name in _RESIZING and _same(base, source)
    return False


def _of_range(loop: ast.For | ast.AsyncFor, name: str, count: ast.Call) -> Iterator[Broken]:
    """Indices that leave out the first or the last, or go beyond it."""
    if not _is_call(count, "range") or len(count.args) > 2:  # noqa: PLR2004  with a step
        return
    op: ast.operator | None = None
    match count.args[-1]:
        case ast.BinOp(left=length, op=op, right=ast.Constant(value=1)):
            pass
        case length:
            pass
    if not isinstance(length, ast.Call) or not _is_call(length, "len"):
        return
    over = length.args[0]
    offsets = _offsets(loop, over, name)
    is_alone = offsets == {0} and not _uses_otherwise(loop, over, name)
    if isinstance(op, ast.Add) and 0 in offsets:
        text = f"the last `{ast.unparse(over)}[{name}]` is one behind the end"
        yield loop.lineno, text, "certain"
    elif isinstance(op, ast.Sub) and is_alone:
        yield loop.lineno, f"the last of `{ast.unparse(over)}` is left out", "likely"
    elif op is None and 1 in offsets and not _asks_about(loop, name):
        text = f"the last `{ast.unparse(over)}[{name} + 1]` is one behind the end"
        yield loop.lineno, text, "certain"


def _offsets(loop: ast.AST, over: ast.expr, name: str) -> set[int]:
    """How far from the index of a loop something is looked up in what it counts."""
    found = set()
    for node in ast.walk(loop):
        match node:
            case ast.Subscript(value=value, slice=ast.Name(id=index)) if _same(value, over):
                found |= {0} if index == name else set()
            case ast.Subscript(
                value=value,
                slice=ast.BinOp(left=ast.Name(id=index), op=op, right=ast.Constant(value=int(n))),
            ) if _same(value, over) and index == name:
                found.add(n if isinstance(op, ast.Add) else -n)
    return found


def _uses_otherwise(loop: ast.For | ast.AsyncFor, over: ast.expr, name: str) -> bool:
    """Whether the index or what is counted is used for more than looking up the one at it."""
    lookups = [
        node
        for node in own_nodes(loop.body)
        if isinstance(node, ast.Subscript) and _same(node.value, over)
    ]
    used = [n.id for n in own_nodes(loop.body) if isinstance(n, ast.Name)]
    return used.count(name) != len(lookups) or used.count(_root(over)) != len(lookups)


def _asks_about(loop: ast.For | ast.AsyncFor, name: str) -> bool:
    tests = [n.test for n in own_nodes(loop.body) if isinstance(n, ast.If | ast.IfExp | ast.While)]
    tests += [one for n in own_nodes(loop.body) if isinstance(n, ast.BoolOp) for one in n.values]
    compared = [n for test in tests for n in ast.walk(test) if isinstance(n, ast.Compare)]
    sides = [side for n in compared for side in (n.left, *n.comparators)]
    return any(isinstance(n, ast.Name) and n.id == name for s in sides for n in _bare(s))


def _bare(node: ast.AST) -> Iterator[ast.AST]:
    """What an expression computes with, without what it looks up by it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.Subscript):
            yield from _bare(child)


# Functions and whole scopes


def _shared_defaults(function: Function) -> Iterator[Broken]:
    for one, default in parameters_of(function.args):
        is_made = isinstance(default, ast.List | ast.Dict | ast.Set) or (
            isinstance(default, ast.Call) and _called(default) in ("list", "dict", "set")
        )
        if (
            default
            and is_made
            and any(_lets_change(node, one.arg) for node in own_nodes(function.body))
        ):
            text = (
                f"the default `{one.arg}={ast.unparse(default)}` is made once: all calls share it"
            )
            yield default.lineno, text, "certain"


def _lets_change(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=base), attr=method)):
            return base == name and method in _MUTATORS
        case ast.Subscript(value=ast.Name(id=base), ctx=ast.Store() | ast.Del()):
            return base == name
        case ast.AugAssign(target=ast.Name(id=base)) | ast.Return(value=ast.Name(id=base)):
            return base == name
        case ast.Assign(targets=[ast.Attribute()], value=ast.Name(id=base)):
            return base == name
    return False


def _one_way_without_return(function: Function) -> Iterator[Broken]:
    """The end of a function that gives something elsewhere, and None at its last `if`."""
    inside = list(own_nodes(function.body))
    gives, end = returned_by(function), function.body[-1]
    is_generator = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in inside)
    if not gives or is_generator or len(gives) != sum(isinstance(n, ast.Return) for n in inside):
        return
    if isinstance(end, ast.If | ast.Try | ast.With) and _goes_on([end]):
        has_one = any(isinstance(n, ast.Return) for n in own_nodes([end]))
        if has_one or isinstance(end, ast.If):
            text = f"one way through `{function.name}` ends without `return` and gives None"
            yield end.lineno, text, "likely"


def _goes_on(body: Sequence[ast.stmt]) -> bool:
    """Whether a block can come to its end."""
    for one in body:
        match one:
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                return False
            case ast.If(body=then, orelse=other):
                if other and not _goes_on(then) and not _goes_on(other):
                    return False
            case ast.With(body=inner) | ast.AsyncWith(body=inner):
                if not _goes_on(inner):
                    return False
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=final):
                ways = [[*inner, *other], *(handler.body for handler in handlers)]
                if not any(map(_goes_on, ways)) or (final and not _goes_on(final)):
                    return False
            case ast.While(test=ast.Constant(value=value)) if value:
                if not any(isinstance(n, ast.Break) for n in own_nodes(one.body)):
                    return False
            case ast.Match():
                return False  # it may name every case there is
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="exit"))):
                return False
    return True


def _calls_itself_in_vain(function: Function) -> Iterator[Broken]:
    for node in own_nodes(function.body) if returned_by(function) else ():
        if isinstance(node, ast.Expr) and _is_call(node.value, function.name):
            text = f"the result of `{_short(node.value)}` is dropped; `return` it"
            yield node.lineno, text, "likely"


def _unused_parameters(function: Function) -> Iterator[Broken]:
    used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    is_stub = all(isinstance(one, ast.Pass | ast.Expr | ast.Raise) for one in function.body)
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    is_method = bool(given) and given[0].arg in ("self", "cls")  # which may have to have them
    if is_stub or is_method or function.decorator_list or "locals" in used:
        return
    for one in given:
        if one.arg not in used and not one.arg.startswith("_"):
            yield one.lineno, f"the parameter `{one.arg}` is never used", "likely"


_OF_FUNCTIONS = (
    _shared_defaults,
    _one_way_without_return,
    _calls_itself_in_vain,
    _unused_parameters,
)


def _of_scope(scope: ast.Module | Function) -> Iterator[Broken]:
    inside = list(own_nodes(scope.body))
    yield from _builtins_in_the_way(inside)
    yield from _extremes(inside)
    yield from _always_empty(inside)
    if isinstance(scope, _FUNCTIONS):
        yield from _braces_without_f(scope, inside)


def _builtins_in_the_way(inside: Sequence[ast.AST]) -> Iterator[Broken]:
    stored = {
        n.id: n.lineno
        for n in reversed(inside)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id in _CALLED
    }
    for node in inside:
        name = _called(node) if isinstance(node, ast.Call) else ""
        if name in stored and node.lineno > stored[name]:  # type: ignore[attr-defined]
            text = f"`{name}` is no longer the builtin: line {stored[name]} gave it a value"
            yield node.lineno, text, "certain"  # type: ignore[attr-defined]


def _extremes(inside: Sequence[ast.AST]) -> Iterator[Broken]:
    """A smallest that is looked for from 0 on."""
    starts = {
        node.targets[0].id: node.lineno
        for node in inside
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and _is_number(node.value, 0)
    }
    for node in inside:
        match node:
            case ast.If(
                test=ast.Compare(
                    left=left, ops=[ast.Lt() | ast.LtE()], comparators=[ast.Name(id=name)]
                ),
                body=[ast.Assign(targets=[ast.Name(id=kept)], value=value), *_],
                orelse=[],
            ) if name == kept and name in starts and _same(left, value):
                text = f"`{name}` begins at 0, so no positive value is ever smaller"
                yield starts[name], text, "certain"


def _always_empty(inside: Sequence[ast.AST]) -> Iterator[Broken]:
    """A collection that is only looked into, and never filled."""
    made = {
        node.targets[0].id: node.lineno
        for node in inside
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and (_is_start(node.value) or ast.unparse(node.value) in ("set()", "list()", "dict()"))
        and not _is_number(node.value, 0)
    }
    looked = [
        side
        for node in inside
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn)
        for side in node.comparators
    ]
    looked_in = [one.id for one in looked if isinstance(one, ast.Name)]
    names = [n.id for n in inside if isinstance(n, ast.Name)]
    for name, line in made.items():
        if name in looked_in and names.count(name) == looked_in.count(name) + 1:
            yield line, f"nothing is ever put into `{name}`, which is looked into below", "likely"


def _braces_without_f(scope: ast.AST, inside: Sequence[ast.AST]) -> Iterator[Broken]:
    """A text with a local name in braces that nothing fills in."""
    known = {use.name for use in uses_in(scope)} | {
        n.arg for n in ast.walk(scope) if isinstance(n, ast.arg)
    }
    known |= {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    used = " ".join(n.attr for n in inside if isinstance(n, ast.Attribute))
    in_f = {id(v) for n in inside if isinstance(n, ast.JoinedStr) for v in ast.walk(n)}
    if "format" in used or "substitute" in used:
        return
    for node in inside:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in in_f:
            names = {part.partition("}")[0] for part in node.value.split("{")[1:] if "}" in part}
            if named := sorted(names & known):
                text = f"`{{{named[0]}}}` stays as it is: the text has no `f` before it"
                yield node.lineno, text, "likely"


# What the rules ask


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list) and body:
            yield body


def _same(one: ast.AST, other: ast.AST) -> bool:
    return _dump(one) == _dump(other)


def _dump(node: ast.AST) -> str:
    return ast.dump(node).replace("Store()", "Load()").replace("Del()", "Load()")


def _short(node: ast.AST) -> str:
    text = ast.unparse(node).split("\n")[0]
    return text if len(text) <= 50 else text[:49] + "…"  # noqa: PLR2004  it is only to be recognised


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and bool(node.args) and _called(node) == name


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _names(*nodes: ast.AST) -> Iterator[str]:
    return (n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name))


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _has_call(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Call | ast.Await) for n in ast.walk(node))


def _is_number(node: ast.AST, number: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == number


def _is_inexact(node: ast.AST) -> bool:
    """Whether it is a number that floats can only come near to, such as 0.1."""
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, float) and value * 1024 != int(value * 1024)


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in _MODULES


def _is_start(node: ast.expr) -> bool:
    is_empty = isinstance(node, ast.List | ast.Dict) and not getattr(node, "elts", None)
    return _is_number(node, 0) or (is_empty and not getattr(node, "keys", None))


def _grows(node: ast.AST, name: str) -> bool:
    match node:
        case ast.AugAssign(target=ast.Name(id=target)):
            return target == name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=base), attr="append" | "extend")):
            return base == name
    return False
