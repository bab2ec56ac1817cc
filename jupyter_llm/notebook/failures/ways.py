"""Mends by replacement, from a table of error messages."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, Span

_ALIASES = {"{np}": "numpy", "{pd}": "pandas"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A replacement for a part of a node, if the message matches `says`.

    `at` is a kind of node, and a part of it for `_place`; without a part it is the whole node. In
    `new`, `{}` is the part's text, and other names in braces are those of `_fields`; `{np}` and
    `{pd}` are imported if necessary. `name` is a pattern for the node's name, or `=` and a list of
    names. `of` is a pattern for the class of the part's value, and `typed` one for its source. A
    group `name` in `says` has to equal the node's name.
    """

    says: str
    at: str
    new: str
    why: str
    name: str = ""
    of: str = ""
    typed: str = ""
    is_sure: bool = True
    anywhere: bool = False


@lru_cache(maxsize=1)
def mend_tables() -> dict[str, Any]:
    """Return the tables of `mends.toml`."""
    return tomllib.loads(Path(__file__).with_name("mends.toml").read_text(encoding="utf-8"))


def ways(broken: Broken) -> Iterator[Mend]:
    """Yield the mends in the table."""
    for way in (Way(**way) for way in mend_tables()["table"]["ways"]):
        match = broken.match_message(way.says)
        if match is None:
            continue
        kinds, _, part = way.at.partition(" ")
        wanted = match.groupdict().get("name")
        for node in broken.nodes(ast.AST, anywhere=way.anywhere):
            if type(node).__name__ in kinds.split("/") and _fits(broken, node, way, wanted):
                yield from _replaced(broken, node, way, part)


def _fits(broken: Broken, node: ast.AST, way: Way, wanted: str | None) -> bool:
    match node:
        case ast.Call(func=func):
            name = broken.text(func)
        case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            pass
        case ast.BinOp(op=op):
            name = type(op).__name__
        case _:
            name = ""
    last = name.rpartition(".")[2]
    if wanted is not None and name and last != wanted:
        return False
    if way.name.startswith("="):
        return last in mend_tables()["names"][way.name[1:]]
    return re.search(way.name, name) is not None


def _replaced(broken: Broken, node: ast.AST, way: Way, part: str) -> Iterator[Mend]:
    place, holder = _place(broken, node, part)
    if holder is None or re.search(way.of, broken.kind_of(holder)) is None:
        return
    span = broken.span(place) if isinstance(place, ast.AST) else place
    text = broken.source[slice(*span)] if span is not None else ""
    if span is None or re.search(way.typed, text) is None:
        return
    fields, imports = _fields(broken, node), tuple[Edit, ...]()
    for short, module in _ALIASES.items():
        if short in way.new:
            fields[short.strip("{}")], imports = broken.alias(module, short.strip("{}"))
    if isinstance(holder, ast.BinOp) and way.new.startswith("{}"):
        text = f"({text})"
    try:
        new, why = way.new.format(text, **fields), way.why.format(text, **fields)
    except KeyError:  # the node has no such part
        return
    if part == ")" and isinstance(node, ast.Call) and (node.args or node.keywords):
        new = f", {new}"
    yield from broken.change(why, *imports, (span, new), is_sure=way.is_sure)


def _place(broken: Broken, node: ast.AST, part: str) -> tuple[Span | ast.AST, ast.AST | None]:
    """Return the span of a part of a node, and the node whose value it is."""
    inner = getattr(node, part, None) if part else node
    if isinstance(node, ast.Call):
        holder = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        match part:
            case "holder":
                inner = holder
            case "first" | "last" if node.args:
                inner = node.args[0 if part == "first" else -1]
            case "args" if len(node.args) > 1:
                first, last = broken.span(node.args[0]), broken.span(node.args[-1])
                return ((first[0], last[1]), node.args[0]) if first and last else (node, None)
            case ")":
                span = broken.span(node)
                is_closed = span is not None and broken.source[: span[1]].endswith(")")
                return ((span[1] - 1, span[1] - 1), holder) if span and is_closed else (node, None)
    return (inner, inner) if isinstance(inner, ast.AST) else (node, None)


def _fields(broken: Broken, node: ast.AST) -> dict[str, str]:
    """Return the texts of a node's parts, by name."""
    texts = {
        name: broken.text(part)
        for name, part in ast.iter_fields(node)
        if isinstance(part, ast.expr)
    }
    match node:
        case ast.Call(func=func, args=arguments):
            arguments_typed = [broken.text(one) for one in (*arguments, *node.keywords)]
            texts |= {
                "args": ", ".join(arguments_typed),
                "rest": "".join(f", {one}" for one in arguments_typed[1:]),
            }
            if arguments:
                texts["first"] = arguments_typed[0]
            if isinstance(func, ast.Attribute):
                texts |= {"holder": broken.text(func.value), "attr": func.attr}
        case ast.Attribute(attr=attr):
            texts["attr"] = attr
        case ast.Subscript(slice=ast.Tuple(elts=parts)):
            texts["steps"] = "][".join(broken.text(one) for one in parts)
        case ast.Assign(targets=[ast.Subscript(value=holder, slice=key)]):
            texts |= {"holder": broken.text(holder), "key": broken.text(key)}
    return texts
