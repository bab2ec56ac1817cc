"""Mends that put one text in the place of another, by a table of what errors say."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNS = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "Mod": "%", "Pow": "**"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What to put in the place of a part of a node, where the message says so.

    `at` is a kind of node and a part of it: `_places` knows them, and without one it is the node.
    In `new`, `{}` is the part as it is, and what else stands in braces is what `_fields` tells of
    the node; `{np}` and `{pd}` are imported where they are not. `name` is a pattern of what the
    node is called, or `=` and a list of names, and `of` one of what the part holds. A group `name`
    in `says` has to be the node's.
    """

    says: str
    at: str
    new: str
    why: str
    name: str = ""
    of: str = ""
    is_sure: bool = True
    is_guess: bool = False
    anywhere: bool = False


@lru_cache(maxsize=1)
def known() -> dict[str, Any]:
    """What the rules know: the tables of `mends.toml`."""
    return tomllib.loads(Path(__file__).with_name("mends.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _ways() -> list[Way]:
    return [Way(**way) for way in known()["table"]["ways"]]


def ways(broken: Broken) -> Iterator[Mend]:
    """Mends that the table knows."""
    for way in _ways():
        found = broken.says(way.says)
        if found is None:
            continue
        kinds, _, part = way.at.partition(" ")
        wanted = found.groupdict().get("name")
        for node in broken.nodes(ast.AST, anywhere=way.anywhere):
            if type(node).__name__ in kinds.split("/") and _fits(broken, node, way, wanted):
                yield from _went(broken, node, way, part)


def _fits(broken: Broken, node: ast.AST, way: Way, wanted: str | None) -> bool:
    name = _name(broken, node)
    last = name.rpartition(".")[2]
    if wanted is not None and name and last != wanted:
        return False
    if way.name.startswith("="):
        return last in known()["names"][way.name[1:]]
    return re.search(way.name, name) is not None


def _name(broken: Broken, node: ast.AST) -> str:
    """What a node is called: a function, an attribute, an operator."""
    match node:
        case ast.Call(func=func):
            return broken.text(func)
        case ast.Attribute(attr=attr) | ast.keyword(arg=str(attr)):
            return attr
        case ast.BinOp(op=op):
            return type(op).__name__
    return ""


def _went(broken: Broken, node: ast.AST, way: Way, part: str) -> Iterator[Mend]:
    fields = _fields(broken, node)
    imports: tuple[Edit, ...] = ()
    for short, module in (("np", "numpy"), ("pd", "pandas")):
        fields[short] = short
        if f"{{{short}}}" in way.new:
            fields[short], imports = broken.alias(module, short)
    for place, held in _places(broken, node, part):
        if re.search(way.of, broken.kind_of(held)) is None:
            continue
        span = broken.span(place) if isinstance(place, ast.AST) else place
        if span is None:
            continue
        text = broken.source[slice(*span)]
        if isinstance(held, ast.BinOp) and way.new.startswith("{}"):
            text = f"({text})"
        try:
            new = way.new.format(text, **fields)
            why = way.why.format(text, **fields)
        except KeyError:  # the node has no such part
            continue
        if part == ")" and isinstance(node, ast.Call) and (node.args or node.keywords):
            new = f", {new}"
        yield from broken.change(
            why, *imports, (span, new), is_sure=way.is_sure, is_guess=way.is_guess
        )


def _places(broken: Broken, node: ast.AST, part: str) -> Iterator[tuple[Span | ast.AST, ast.AST]]:
    """Yield the places of a part of a node, and the node that tells what it holds."""
    inner = getattr(node, part, None) if part else node
    if isinstance(inner, ast.AST):
        yield inner, inner
    if not isinstance(node, ast.Call):
        return
    holder = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    arguments = list(node.args)
    match part:
        case "holder":
            yield holder, holder
        case "first" | "last" if arguments:
            one = arguments[0 if part == "first" else -1]
            yield one, one
        case "second" if len(arguments) > 1:
            yield arguments[1], arguments[1]
        case "each":
            sizes = arguments[0] if len(arguments) == 1 else None
            every = sizes.elts if isinstance(sizes, ast.Tuple) else arguments
            yield from ((size, size) for size in every)
        case "args" if len(arguments) > 1:
            first, last = broken.span(arguments[0]), broken.span(arguments[-1])
            if first and last:
                yield (first[0], last[1]), arguments[0]
        case ")":
            span = broken.span(node)
            if span and broken.source[: span[1]].endswith(")"):
                yield (span[1] - 1, span[1] - 1), holder


def _fields(broken: Broken, node: ast.AST) -> dict[str, str]:
    """The texts of the parts of a node, by their names."""
    found = {
        name: broken.text(part)
        for name, part in ast.iter_fields(node)
        if isinstance(part, ast.expr)
    }
    match node:
        case ast.Call(func=func, args=arguments):
            texts = [broken.text(one) for one in arguments]
            names = ("first", "second")
            found |= dict(zip(names, texts, strict=False))
            found |= {"args": ", ".join([*texts, *map(broken.text, node.keywords)])}
            start = broken.span(arguments[0]) if arguments else None
            end = broken.span(node)
            found["rest"] = broken.source[start[1] : end[1] - 1] if start and end else ""
            if isinstance(func, ast.Attribute):
                found |= {"holder": broken.text(func.value), "attr": func.attr}
        case ast.Attribute(attr=attr):
            found |= {"holder": found["value"], "attr": attr}
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            found["key"] = key
        case ast.Subscript(slice=ast.Tuple(elts=parts)):
            found["steps"] = "][".join(broken.text(one) for one in parts)
        case ast.BinOp(op=op):
            found["op"] = _SIGNS.get(type(op).__name__, "")
        case ast.Assign(targets=[ast.Subscript(value=holder, slice=key_node)]):
            found |= {"holder": broken.text(holder), "key": broken.text(key_node)}
    return found
