"""Code out of an answer where a secret was hidden from the model: nobody may invent one."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import cycle

from jupyter_llm.notebook.code.syntax import parse_cell, parse_python
from jupyter_llm.notebook.values.literals import beside, place_of, secret_literals
from jupyter_llm.notebook.values.redaction import Redacted
from jupyter_llm.notebook.values.secrets import HIDDEN


def without_hidden(source: str, namespace: Container[str]) -> tuple[str, tuple[str, ...]]:
    """Code without lines that set a variable to a secret the model has not seen, and their names.

    Such a line repeats what a cell has done, and would put our mark in the place of the secret.
    Where there is no such variable it stays, for somebody to put the secret in.
    """
    tree = parse_cell(source) if HIDDEN in source else None
    lines = source.split("\n")
    names: list[str] = []
    for statement in tree.body if tree is not None else ():
        name = _set_to_hidden(statement)
        row = slice(statement.lineno - 1, statement.end_lineno)
        if name in namespace and ";" not in lines[statement.lineno - 1]:
            names.append(name)
            lines[row] = [""] * len(lines[row])
    return ("\n".join(lines).strip("\n"), tuple(names)) if names else (source, ())


def _set_to_hidden(statement: ast.stmt) -> str:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text)))
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text)))
        ) if HIDDEN in text:
            return name
    return ""


def restored(source: str, original: str, redact: Callable[[str], Redacted]) -> str:
    """A changed cell with the secrets that stood in it before, which the model has not seen.

    They come from that very cell, so nothing gets anywhere new. Where nobody can tell which of
    several it is, the mark stays. `redact` is what hid them in the prompt.
    """
    if HIDDEN not in source:
        return source
    before, after = original.split("\n"), redact(original).text.split("\n")
    known: dict[str, list[str]] = {}
    for masked, line in zip(after, before, strict=True) if len(before) == len(after) else ():
        known.setdefault(masked.strip(), []).append(line.strip())
    lines = source.split("\n")
    counts = Counter(map(str.strip, lines))
    places = {
        masked: cycle(those)
        for masked, those in known.items()
        if HIDDEN in masked and (len(set(those)) == 1 or len(those) == counts[masked])
    }
    return _by_name("\n".join(_line(line, places) for line in lines), original)


def _line(line: str, places: Mapping[str, Iterator[str]]) -> str:
    before = places.get(line.strip())
    return line if before is None else line[: len(line) - len(line.lstrip())] + next(before)


def _by_name(source: str, original: str) -> str:
    """Code whose hidden literals are those that stood beside the same names before."""
    tree, old = parse_python(source), parse_python(original)
    if tree is None or old is None:
        return source
    found: dict[str, set[str]] = {}
    try:
        for name, node in secret_literals(old):
            found.setdefault(name, set()).add(original[slice(*place_of(node, original))])
        places = [
            (*place_of(node, source), name)
            for name, node in beside(tree)
            if isinstance(node, ast.Constant) and node.value == HIDDEN
        ]
    except RecursionError:
        return source
    before = {name: those.pop() for name, those in found.items() if len(those) == 1}
    for start, stop, name in sorted(places, reverse=True):
        source = source[:start] + before.get(name, source[start:stop]) + source[stop:]
    return source
