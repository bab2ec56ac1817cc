"""Statements of a cell that a mend of it loses. Runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Container, Mapping
from difflib import get_close_matches
from functools import partial
from itertools import chain
from typing import Any, Final

from jupyter_llm.notebook.code.bindings import DEFINITIONS, mutated_in, segment
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.values.peek import is_a, library_types

_LEAST: Final = 0.5  # of the parts of a statement, in the one that it has become
_LEAST_OF_HEAD: Final = 0.35  # of those of a `with` or a loop: another way may need fewer
_INNER: Final = (ast.stmt, ast.ExceptHandler, ast.match_case)
_SIGNS: Final = (ast.expr_context, ast.arguments, ast.withitem, ast.BinOp, ast.BoolOp, ast.UnaryOp)
_PLAIN: Final = (ast.Assign, ast.Expr, ast.Pass, ast.Try, ast.Compare, *_SIGNS)  # say nothing


def lost_statement(before: str, after: str, namespace: Mapping[str, Any]) -> str:
    """Return the first line of a statement that a mend of a cell loses; "" if it keeps them all.

    A mend may change a statement, wrap it and add others. A statement is lost if no new one shares
    enough of its parts, if what it sets or a function that it calls is gone, or if it is only left
    where its error is passed over or nobody calls it.
    """
    tree, changed = parse_cell(before), parse_cell(after)
    if tree is None or changed is None:
        return _lost_line(before, after)
    try:
        return _lost_node(before, tree, changed, namespace)
    except RecursionError:  # a statement is nested too deeply
        return _lost_line(before, after)


def _lost_node(
    before: str, tree: ast.Module, changed: ast.Module, namespace: Mapping[str, Any]
) -> str:
    definitions = [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)]
    known = {node.name for node in definitions}
    local = {id(one) for node in definitions for one in ast.walk(node)}
    new = [_parts(node) for node in _statements(changed, known)]
    there = {*chain(*new), *(f"{name} =" for name in mutated_in(changed))}
    missing = []
    for node in _statements(tree, known):
        if (parts := _parts(node)) in new:
            new.remove(parts)
        elif parts and not _is_void(node):
            missing.append((node, parts))
    left = list(new)
    for node, parts in missing:
        is_head = hasattr(node, "body")  # what it became may be what a statement in it became, too
        best = max(new if is_head else left, key=partial(_shared, parts), default=())
        needed = () if is_head or id(node) in local else parts
        is_lost = any(_is_needed(one, namespace) and one not in there for one in needed)
        if is_lost or _shared(parts, best) < (_LEAST_OF_HEAD if is_head else _LEAST):
            return segment(before, node).partition("\n")[0]
        if not is_head:
            left.remove(best)
    return ""


def _lost_line(before: str, after: str) -> str:
    """The same for a cell that cannot be parsed, line by line."""
    old, lines = ([line.strip() for line in text.split("\n")] for text in (before, after))
    new = [line for line in lines if line not in old and not line.startswith("#")]
    words = set(re.findall(r"\w+", " ".join(new)))
    for line in old:
        own = set(re.findall(r"\w+", line)) if line not in lines and line[:1] != "#" else set()
        if len(own & words) <= _LEAST * len(own) and own and not get_close_matches(line, new, 1):
            return line
    return ""


def _shared(parts: Collection[str], other: Collection[str]) -> float:
    """Return the share of the parts of a statement that another has, less if only that computes."""
    own, there = {*parts}, {*other}
    is_less = "<" in {part[0] for part in own} and "<" not in {part[0] for part in there}
    return len(own & there) / (len(own) + is_less)


def _is_needed(part: str, namespace: Mapping[str, Any]) -> bool:
    """Whether a part is a name that is set, or a function or class that no library offers."""
    value = namespace.get(part)
    classes = library_types(value) if is_a(value, type) else ()  # type: ignore[arg-type]
    return part.endswith(" =") or (callable(value) and all(one is not value for *_, one in classes))


def _statements(tree: ast.Module, known: set[str]) -> list[ast.stmt]:
    """Return the statements of a cell in order, but not those whose errors nobody sees."""
    nodes = list(ast.walk(tree))
    used = {getattr(node, "id", getattr(node, "attr", "")) for node in nodes}
    unseen = (part for node in nodes for part in _unseen(node, known | used))
    inner = {id(one) for part in unseen for one in ast.walk(part)}
    found = [node for node in nodes if isinstance(node, ast.stmt) and id(node) not in inner]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _unseen(node: ast.AST, names: Container[str]) -> list[ast.stmt]:
    """Return the body of a statement that passes over its errors, or that does not run."""
    match node:
        case ast.Try(body=body, handlers=handlers):
            is_seen = not all(_is_void(one, "print(") for each in handlers for one in each.body)
        case ast.With(body=body, items=[ast.withitem(context_expr=ast.Call(func=func))]):
            is_seen = not ast.unparse(func).endswith("suppress")
        case ast.FunctionDef(body=body, name=name) | ast.AsyncFunctionDef(body=body, name=name):
            is_seen = name in names
        case _:
            return []
    return [] if is_seen else body


def _is_void(node: ast.stmt, *others: str) -> bool:
    """Whether a statement computes nothing, is still to be written, or begins like some others."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    begins = ("pass", "continue", "raise NotImplemented", *others)
    return is_text or ast.unparse(node).startswith(begins)


def _parts(statement: ast.stmt) -> tuple[str, ...]:
    """Return the names, texts and operations of a statement, but not of statements in it."""
    found: list[str] = []
    nodes: list[ast.AST] = [statement]
    for node in nodes:  # which grows
        nodes += (one for one in ast.iter_child_nodes(node) if not isinstance(one, _INNER))
        match node:
            case ast.Name(id=name, ctx=context):
                found.append(name if isinstance(context, ast.Load) else f"{name} =")
            case ast.Constant(value=value):
                found.append(repr(value))
            case ast.Attribute(attr=name) | ast.keyword(arg=name) | ast.arg(arg=name):
                found.append(f".{name}")
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.append(f"{node.name} =")
            case ast.alias(name=name):
                found += name.split(".")
            case ast.Expr(value=ast.Name()):
                found.append("<Name>")
            case _ if not isinstance(node, _PLAIN):
                found.append(f"<{type(node).__name__}>")
    return tuple(found)
