"""The literals of a cell that stand where a secret does: `password = '…'`, `f(token='…')`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jupyter_llm.notebook.values.secrets import is_placeholder, is_told, looks_secret

Wanted = Callable[[str], bool]
Found = tuple[str, ast.expr]
"""The name that tells what a literal is, and the literal."""

_LEAST_NUMBER: Final = 1000  # a smaller one is a count or a flag
_FEWEST_OF_TEMPLATE: Final = 4  # letters and digits between the braces of an f-string
# `cfg.get('password', '…')`: what is named first is what comes next.
_NAMING = re.compile(
    r"get|pop|set|add|put|insert|setdefault|getattr|setattr|getenv|setenv|putenv|set_\w+|add_\w+"
    r"|header|hset|field|Header|Field"
)
# `smtp.login(…)`, `keyring.set_password(…)`, `BasicAuth(…)`: its arguments, though not its result.
_LOGIN = re.compile(r"log_?in|sign_?in|authenticate|authorize")
# What a secret is asked for or read with is no secret: `getpass('Password: ')`.
_READING = re.compile(
    r"get\w*|read\w*|load\w*|fetch\w*|find\w*|ask\w*|input|prompt\w*|open|Path|check\w*|verify\w*"
    r"|print|log|len|generate\w*|make\w*|create\w*|delete\w*|reset\w*"
)
# What keeps a secret as it is, in another dress.
_DRESSING = re.compile(
    r"str|bytes|bytearray|dict|list|tuple|set|[A-Z]\w*|\w*b64\w*|fromhex|en?code|decode|quote\w*"
    r"|(?:l|r)?strip|join|format|split|replace|lower|upper"
)
_KEY = re.compile(r"[\w .-]{1,60}")
_HEADS = re.compile(r"(?i:bearer|basic|token|digest)")
_LINE_END = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


def secret_literals(tree: ast.AST) -> list[Found]:
    """The literals that names of secrets stand beside, in any order; none twice.

    `RecursionError`: they lie too deep.
    """
    found = {
        id(node): (_short(name), node)
        for name, value in beside(tree)
        for node in _in(value)
        if not (isinstance(node, ast.Constant) and is_told(name, str(node.value)))
    }
    return list(found.values())


def _short(name: str) -> str:
    """The last part of a name, if that tells by itself that it is a secret's."""
    last = name.rpartition(".")[2]
    return last if looks_secret(last) else name


def lines_of(source: str) -> list[str]:
    """The lines of a source with their ends, as Python counts them."""
    return _LINE_END.split(source)


def place_of(node: ast.expr, source: str) -> tuple[int, int]:
    """Where a part of a source begins and ends in it; its tree counts lines, and bytes in them."""
    lines = lines_of(source)

    def place(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        return before + len(lines[line - 1].encode()[:column].decode(errors="ignore"))

    start = place(node.lineno, node.col_offset)
    return start, place(node.end_lineno or node.lineno, node.end_col_offset or 0)


def name_of(node: ast.AST | None) -> str:
    """How a target, a key or a value is called; "" where it has no name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{name_of(value)}.{attr}"[-80:].lstrip(".")
        case ast.Subscript(value=value, slice=ast.Tuple(elts=[*_, last])):
            return f"{name_of(value)}.{name_of(last)}"[-80:].lstrip(".")
        case ast.Subscript(value=value, slice=key):
            return f"{name_of(value)}.{name_of(key)}"[-80:].strip(".")
        case ast.Constant(value=str(text)):
            return text if _KEY.fullmatch(text) else ""
        case ast.Constant(value=bytes(data)):
            return name_of(ast.Constant(data.decode("latin-1")))
        case ast.Starred(value=value) | ast.Await(value=value):
            return name_of(value)
    return ""


def beside(tree: ast.AST, is_wanted: Wanted = looks_secret) -> Iterator[Found]:
    """Yield what stands beside the name of a secret, or another that is wanted, with that name."""
    for node in ast.walk(tree):
        yield from _beside(node, is_wanted)


def _beside(node: ast.AST, is_wanted: Wanted) -> Iterator[Found]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _bound(target, value, is_wanted)
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.AugAssign(target=target, value=value)
            | ast.NamedExpr(target=target, value=value)
        ):
            yield from _bound(target, value, is_wanted)
        case ast.keyword(arg=str(name), value=value) if is_wanted(name):
            yield name, value
        case ast.Dict(keys=keys, values=values):
            yield from _named(map(name_of, keys), values, is_wanted)
        case ast.arguments():
            places = [*node.posonlyargs, *node.args][-len(node.defaults) or len(node.args) :]
            yield from _named((arg.arg for arg in places), node.defaults, is_wanted)
            yield from _named((arg.arg for arg in node.kwonlyargs), node.kw_defaults, is_wanted)
        case (
            ast.For(target=target, iter=value)
            | ast.AsyncFor(target=target, iter=value)
            | ast.comprehension(target=target, iter=value)
        ):
            yield from _bound(target, value, is_wanted)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            yield from _named((name_of(left), name_of(right)), (right, left), is_wanted)
        case ast.Tuple(elts=[ast.Constant() as key, value]):
            yield from _named([name_of(key)], [value], is_wanted)
        case ast.Call():
            yield from _of_call(node, is_wanted)
        case ast.ClassDef(name=name) if is_wanted(name):
            yield from ((name, one.value) for one in node.body if isinstance(one, ast.Assign))


def _named(
    names: Iterator[str] | Sequence[str], values: Sequence[ast.expr | None], is_wanted: Wanted
) -> Iterator[Found]:
    for name, value in zip(names, values, strict=False):
        if value is not None and is_wanted(name):
            yield name, value


def _bound(target: ast.expr, value: ast.expr, is_wanted: Wanted) -> Iterator[Found]:
    """Yield what an assignment gives the name of a secret."""
    if isinstance(target, ast.Tuple | ast.List):
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
            for one, part in zip(target.elts, value.elts, strict=True):
                yield from _bound(one, part, is_wanted)
        else:
            yield from _named(
                [name for name in map(name_of, target.elts) if is_wanted(name)][:1],
                [value],
                is_wanted,
            )
    elif is_wanted(name := name_of(target)):
        yield name, value


def _of_call(call: ast.Call, is_wanted: Wanted) -> Iterator[Found]:
    """Yield the arguments that the name of a secret comes before, or that log in."""
    function = name_of(call.func).rpartition(".")[2]
    for key, value in zip(call.args, call.args[1:], strict=False):
        if _NAMING.fullmatch(function) and isinstance(key, ast.Constant):
            yield from _named([name_of(key)], [value], is_wanted)
    is_login = _LOGIN.fullmatch(function) or (
        is_wanted(function) and not _READING.fullmatch(function)
    )
    if is_login:
        texts = [a for a in call.args if isinstance(a, ast.Constant | ast.JoinedStr)]
        secret = texts[1:] or texts  # who logs in comes first
        yield from ((function, text) for text in secret if not _is_number(text))


def _in(value: ast.expr) -> Iterator[ast.expr]:
    """Yield the literals that make up a secret."""
    match value:
        case ast.Constant():
            if _tells(value):
                yield value
        case ast.JoinedStr():
            texts = (part.value for part in value.values if isinstance(part, ast.Constant))
            kept = "".join(
                char for text in texts for char in _HEADS.sub("", str(text)) if char.isalnum()
            )
            if len(kept) >= _FEWEST_OF_TEMPLATE:
                yield value
        case ast.Call(func=function):
            yield from _in_call(value, name_of(function).rpartition(".")[2])
            if isinstance(function, ast.Attribute):
                yield from _in(function.value)
        case (
            ast.Dict(values=parts)
            | ast.List(elts=parts)
            | ast.Tuple(elts=parts)
            | ast.Set(elts=parts)
        ):
            for part in parts:
                yield from _in(part)
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from _in(part)
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            yield from _in(one)
            yield from _in(other)
        case (
            ast.Starred(value=inner)
            | ast.Await(value=inner)
            | ast.Subscript(value=inner)
            | ast.NamedExpr(value=inner)
            | ast.Attribute(value=inner)
        ):
            yield from _in(inner)


def _in_call(call: ast.Call, function: str) -> Iterator[ast.expr]:
    if _NAMING.fullmatch(function) and not _DRESSING.fullmatch(function):
        arguments = call.args[1:]  # `os.getenv('PASSWORD', '…')`
    elif _DRESSING.fullmatch(function) and not _READING.fullmatch(function):
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    else:
        return
    for argument in arguments:
        yield from _in(argument)


def _tells(literal: ast.Constant) -> bool:
    value = literal.value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return not is_placeholder(value)
    return _is_number(literal) and not isinstance(value, complex) and abs(value) >= _LEAST_NUMBER  # type: ignore[arg-type]


def _is_number(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, int | float | complex) and not isinstance(value, bool)
