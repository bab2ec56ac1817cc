"""Mends that put one text in the place of another, by a table of what errors say."""

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
    """What to put in the place of a part of a node, where the message says so.

    `at` is a kind of node and a part of it: `_place` knows them, and without one it is the node.
    In `new`, `{}` is the part as it is, and what else stands in braces is what `_fields` tells of
    the node; `{np}` and `{pd}` are imported where they are not. `name` is a pattern of what the
    node is called, or `=` and a list of names; `of` is one of what the part holds, and `typed` one
    of how it is typed. A group `name` in `says` has to be the node's.
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
def known() -> dict[str, Any]:
    """What the rules know: the tables of `mends.toml`."""
    return tomllib.loads(Path(__file__).with_name("mends.toml").read_text(encoding="utf-8"))


def ways(broken: Broken) -> Iterator[Mend]:
    """Mends that the table knows."""
    for way in (Way(**way) for way in known()["table"]["ways"]):
        found = broken.says(way.says)
        if found is None:
            continue
        kinds, _, part = way.at.partition(" ")
        wanted = found.groupdict().get("name")
        for node in broken.nodes(ast.AST, anywhere=way.anywhere):
            if type(node).__name__ in kinds.split("/") and _fits(broken, node, way, wanted):
                yield from _went(broken, node, way, part)


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
        return last in known()["names"][way.name[1:]]
    return re.search(way.name, name) is not None


def _went(broken: Broken, node: ast.AST, way: Way, part: str) -> Iterator[Mend]:
    place, held = _place(broken, node, part)
    if held is None or re.search(way.of, broken.kind_of(held)) is None:
        return
    span = broken.span(place) if isinstance(place, ast.AST) else place
    text = broken.source[slice(*span)] if span is not None else ""
    if span is None or re.search(way.typed, text) is None:
        return
    fields, imports = _fields(broken, node), tuple[Edit, ...]()
    for short, module in _ALIASES.items():
        if short in way.new:
            fields[short.strip("{}")], imports = broken.alias(module, short.strip("{}"))
    if isinstance(held, ast.BinOp) and way.new.startswith("{}"):
        text = f"({text})"
    try:
        new, why = way.new.format(text, **fields), way.why.format(text, **fields)
    except KeyError:  # the node has no such part
        return
    if part == ")" and isinstance(node, ast.Call) and (node.args or node.keywords):
        new = f", {new}"
    yield from broken.change(why, *imports, (span, new), is_sure=way.is_sure)


def _place(broken: Broken, node: ast.AST, part: str) -> tuple[Span | ast.AST, ast.AST | None]:
    """The place of a part of a node, and the node that tells what it holds."""
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
    """The texts of the parts of a node, by their names."""
    found = {
        name: broken.text(part)
        for name, part in ast.iter_fields(node)
        if isinstance(part, ast.expr)
    }
    match node:
        case ast.Call(func=func, args=arguments):
            given = [broken.text(one) for one in (*arguments, *node.keywords)]
            found |= {"args": ", ".join(given), "rest": "".join(f", {one}" for one in given[1:])}
            if arguments:
                found["first"] = given[0]
            if isinstance(func, ast.Attribute):
                found |= {"holder": broken.text(func.value), "attr": func.attr}
        case ast.Attribute(attr=attr):
            found["attr"] = attr
        case ast.Subscript(slice=ast.Tuple(elts=parts)):
            found["steps"] = "][".join(broken.text(one) for one in parts)
        case ast.Assign(targets=[ast.Subscript(value=holder, slice=key)]):
            found |= {"holder": broken.text(holder), "key": broken.text(key)}
    return found
