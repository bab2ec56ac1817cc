"""Literals of a cell in the place of a secret: `password = '…'`, `f(token='…')`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from jupyter_llm.notebook.code.bindings import parameters_of
from jupyter_llm.notebook.values.secrets import (
    is_about,
    is_drawn,
    is_harmless,
    looks_secret,
    may_be_secret,
    plain_text,
)

NamedLiteral = tuple[str, ast.expr]
"""The name beside a literal, and the literal."""

_LEAST_NUMBER: Final = 1000  # smaller ones are counts or flags
_FEWEST_OF_TEMPLATE: Final = 4  # letters and digits outside the braces of an f-string
# `cfg.get('password', '…')`: the first argument names the second.
_NAMING = re.compile(
    r"get|pop|set|add|put|insert|setdefault|getattr|setattr|getenv|setenv|putenv|set_\w+|add_\w+"
    r"|header|hset|field|Header|Field|send_keys|option|config|fill|type|text|DEFINE_\w+|\w*input|input_text"
)
# These type a text into the object whose name tells its purpose.
_TYPING = re.compile(r"send\w*|fill|type\w*|write|press_sequentially|set_?(?:value|text)|input\w*")
_CALLED = re.compile("name|label|type|description|title|key|id|prompt")
_VALUE = re.compile(r"(?i)\w*value|val|default")
# `smtp.login(…)`, `keyring.set_password(…)`, `BasicAuth(…)`: the arguments are secret, the result
# is not.
_LOGIN = re.compile(
    r"(?:.*\.)?(?:log_?in|sign_?in|authenticate|authorize|decrypt|encrypt|unlock|setpassword"
    r"|jwt\.encode|(?:(?P<first>hmac|\w*Fernet|AES\w*|DES3?|ARC\d|Blowfish|ChaCha20\w*|SecretBox"
    r"|\w+Signer|URLSafe\w+|[TH]OTP|hashpw|checkpw|scrypt)(?:\.new)?)|(?P<later>pbkdf2_hmac|\w*private_?key\w*|load_\w*(?:chain|certificates)))"
)
# Arguments of functions that ask for or read a secret are none: `getpass('Password: ')`.
_READING = re.compile(
    r"get\w*|read\w*|load\w*|fetch\w*|find\w*|ask\w*|input|prompt\w*|open|Path|check\w*|verify\w*"
    r"|print|log|len|generate\w*|make\w*|create\w*|delete\w*|reset\w*"
)
# Functions that only change the form of a secret.
_DRESSING = re.compile(
    r"str|bytes|bytearray|dict|list|tuple|set|[A-Z]\w*|\w*b64\w*|fromhex|en?code|decode|quote\w*"
    r"|(?:l|r)?strip|join|format|split|replace|lower|upper"
)
# Functions that take an address, a user and a password, in this order.
_ENTRY = re.compile(
    r"\w*connect|(?:create_)?(?:client|driver|session|engine|pool)|\w+(?:Client|Connection|Driver|API|Api)"
    r"|S?FTP\w*|SMTP\w*|IMAP\w*|POP3\w*|LDAP\w*|\w*Redis|Connection|Client|Account|User|Login|Session"
)
_KEY = re.compile(r"(?!/\w)(?:[#\w .:/@\[\]='\"-]|[^\x00-\x7f]){1,60}")
_ID = re.compile(r"(?i)(?:ids?|hash|sha\d*|md5|digest|commit|rev|ref|version|tag|name|image)$")
_HEADS = re.compile(r"(?i:bearer|basic|token|digest)")
_LINE_END = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


def secret_literals(tree: ast.AST) -> list[NamedLiteral]:
    """Return the literals beside names of secrets, in any order, each once.

    `RecursionError`: they are nested too deep.
    """
    by_id: dict[int, NamedLiteral] = {}
    for name, value in beside(tree):
        last = name.rpartition(".")[2]
        if looks_secret(name):
            short = last if looks_secret(last) else name
            by_id |= {id(node): (short, node) for node in _in(value) if _may_be_secret(name, node)}
        elif is_drawn(plain_text(getattr(value, "value", ""))) and may_be_secret(name):
            by_id[id(value)] = (last, value)
    return list(by_id.values())


def lines_of(source: str) -> list[str]:
    """Return a source's lines with their ends, as Python counts them."""
    return _LINE_END.split(source)


def place_of(node: ast.expr | ast.stmt, source: str) -> tuple[int, int]:
    """Return the start and end of a node in a source, in characters.

    The tree has lines and bytes.
    """
    lines = lines_of(source)

    def place(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        return before + len(lines[line - 1].encode()[:column].decode(errors="ignore"))

    start = place(node.lineno, node.col_offset)
    return start, place(node.end_lineno or node.lineno, node.end_col_offset or 0)


def name_of(node: ast.AST | None) -> str:
    """Return the name of a target, a key or a value, "" if it has none."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{name_of(value)}.{attr}"[-80:].lstrip(".")
        case ast.Subscript(value=value, slice=key):
            return f"{name_of(value)}.{name_of(key)}"[-80:].strip(".")
        case ast.Constant(value=str(text)):
            return text if _KEY.fullmatch(text) else ""
        case ast.Constant(value=bytes(data)):
            return name_of(ast.Constant(data.decode("latin-1")))
        case ast.Tuple(elts=elts):  # a column with several levels
            return ".".join(map(name_of, elts))
        case ast.Starred(value=value) | ast.Await(value=value):
            return name_of(value)
    return ""


def beside(tree: ast.AST) -> Iterator[NamedLiteral]:
    """Yield each value beside a name, with that name."""
    for node in ast.walk(tree):
        yield from ((name, value) for name, value in _named(node) if name and value is not None)


def _label(node: ast.AST) -> str:
    """Return the name of a secret among the texts of a call's arguments, or ""."""
    if isinstance(node, ast.Attribute):
        return _label(node.value)
    if not isinstance(node, ast.Call):
        return ""
    called = (one.value for one in node.keywords if _CALLED.fullmatch(one.arg or ""))
    names = map(name_of, (*node.args, *called))
    return next((name for name in names if looks_secret(name) or may_be_secret(name)), "")


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the values in a node that are beside a name, with that name."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _bound(target, value)
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.AugAssign(target=target, value=value)
            | ast.NamedExpr(target=target, value=value)
            | ast.For(target=target, iter=value)
            | ast.comprehension(target=target, iter=value)
        ):
            yield from _bound(target, value)
        case ast.keyword(arg=str(name), value=value):
            yield name, value
        case ast.Dict(keys=keys, values=values):
            yield from zip(map(name_of, keys), values, strict=True)
        case ast.arguments():
            yield from ((arg.arg, default) for arg, default in parameters_of(node))
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            yield name_of(left) or _label(left), right
            yield name_of(right) or _label(right), left
        case ast.Tuple(elts=[ast.Constant() as key, value]):
            yield name_of(key), value
        case ast.Call():
            yield from _of_call(node)
        case ast.ClassDef(name=name, body=body):
            yield from ((name, one.value) for one in body if isinstance(one, ast.Assign))


def _bound(target: ast.expr, value: ast.expr) -> Iterator[NamedLiteral]:
    """Yield each target's name and value of an assignment; a value to unpack gets all names."""
    if not isinstance(target, ast.Tuple | ast.List):
        yield name_of(target), value
        return
    is_alike = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
    parts = value.elts if is_alike else [value] * len(target.elts)  # type: ignore[attr-defined]
    for one, part in zip(target.elts, parts, strict=True):
        yield from _bound(one, part)


def _of_call(call: ast.Call) -> Iterator[NamedLiteral]:
    """Yield the arguments that follow a name, or those after the first if the call logs in."""
    function = name_of(call.func).rpartition(".")[2]
    if _NAMING.fullmatch(function):
        yield from ((name_of(key), value) for key, value in pairwise(call.args))
    if isinstance(call.func, ast.Attribute) and _TYPING.fullmatch(function):
        label = _label(call.func.value)
        yield from ((label, text) for text in call.args[:1])
    label = function if looks_secret(function) else _label(call)
    yield from ((label, one.value) for one in call.keywords if _VALUE.fullmatch(one.arg or ""))
    if login := _LOGIN.fullmatch(name_of(call.func)):
        function = "password"
        if login["first"] or login["later"]:
            keys = call.args[:1] if login["first"] else call.args[1:]
            yield from ((function, key) for key in keys)
            return
    elif _READING.fullmatch(function):
        return
    kinds = str | bytes | ast.JoinedStr
    texts = [one for one in call.args if isinstance(getattr(one, "value", one), kinds)]
    if function != "Token" or len(texts) == 1:  # Token(kind, text) is pygments'
        only = [] if len(call.args) > 1 and texts[:1] == call.args[:1] else texts
        yield from ((function, text) for text in texts[1:] or only)
    values = [plain_text(getattr(one, "value", "")) for one in texts]
    if function[:1].isupper() and not _ID.search(function):
        yield from (
            ("api_key", one) for one, text in zip(texts, values, strict=True) if is_drawn(text)
        )
    if texts and _ENTRY.fullmatch(function):
        last = "".join(values[2:])  # the password, or the address
        place = 2 if last and "/" not in last else 1
        is_sure = len(call.args) > 2 or "@" in values[0]  # noqa: PLR2004
        yield from (("password", one) for one in texts[place : place + 1] if is_sure)


def _in(value: ast.AST) -> Iterator[ast.expr]:
    """Yield the literals that may be part of a secret's value."""
    parts: list[ast.AST] = []
    match value:
        case ast.Constant() | ast.JoinedStr():
            yield value
        case ast.Call(func=function, args=arguments, keywords=keywords):
            name = name_of(function).rpartition(".")[2]
            if not _DRESSING.fullmatch(name):  # `os.getenv('PASSWORD', '…')`
                parts = [*arguments[1:]] if _NAMING.fullmatch(name) else []
            elif not _READING.fullmatch(name):
                parts = [*arguments, *keywords]
            parts += [function] if isinstance(function, ast.Attribute) else []
        case ast.Dict(keys=keys, values=values):
            parts = [
                one for key, one in zip(keys, values, strict=True) if not is_about(name_of(key))
            ]
        case ast.IfExp(body=one, orelse=other):
            parts = [one, other]
        case ast.Subscript(value=inner):
            parts = [inner]
        case ast.expr() | ast.keyword() if not isinstance(value, ast.Compare | ast.Lambda):
            parts = [*ast.iter_child_nodes(value)]
    for part in parts:
        yield from _in(part)


def _may_be_secret(name: str, literal: ast.expr) -> bool:
    """Whether a literal beside the name of a secret may be one."""
    if isinstance(literal, ast.JoinedStr):
        texts = [str(part.value) for part in literal.values if isinstance(part, ast.Constant)]
        kept = "".join(_HEADS.sub("", text) for text in texts)
        return sum(map(str.isalnum, kept)) >= _FEWEST_OF_TEMPLATE
    value = literal.value if isinstance(literal, ast.Constant) else None
    if type(value) is int and abs(value) < _LEAST_NUMBER:
        return False
    return type(value) in (str, bytes, int) and not is_harmless(name, plain_text(value))
