"""What is new of a draft: statements that ran already, and still stand, are left out.

A statement stands if the same one ran and, as far as the text of the cells says, nothing that it
binds or reads was bound or changed since. Runs nothing; in doubt a statement stays.
"""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jupyter_llm.notebook.code.bindings import DEFINITIONS, bindings_of, first_line_of, mutated_in
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import parse_cell

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    Ran = tuple[str, bool]
    """The source of a cell that ran, and whether it came to its end."""

_AGAIN: Final = (
    r"(?i)\b(?:again|anew|afresh|once more"  # not `against`, and no name such as `updated_at`
    r"|(?:re-?(?:load|read|fresh|set|run|do|create|start|draw|calc|comput)|update)[a-z]*)\b"
)
_REPEATED: Final = (ast.Import, ast.ImportFrom, *DEFINITIONS, ast.Assign, ast.AnnAssign)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A draft without what is old in it.

    `dropped` are the statements that were left out, in order. Where nothing would be left the draft
    is whole, and `is_all_old`.
    """

    source: str
    dropped: tuple[str, ...] = ()
    is_all_old: bool = False


def only_new(
    source: str, ran: Sequence[Ran], names: Container[str], prompt: str = "", *, own: str = ""
) -> Fresh:
    """What is new of a draft of a cell, after some cells that ran and with the names there are.

    A `prompt` that asks to do something again lets all of it stay, and so does what is the cell's
    `own`.
    """
    tree = parse_cell(source)
    if tree is None or not tree.body or re.search(_AGAIN, prompt):
        return Fresh(source)
    standing = _Standing(names)
    for text, is_done in ran:
        for node in _statements(text):
            standing.add(node, is_done=is_done)
    kept_keys = keys_in(own)
    old = []
    for number, node in enumerate(tree.body):
        is_filled = _is_start(node) and _changed(tree.body[number + 1 :]) & _bound(node)
        if standing.has(node) and not is_filled and kept_keys.isdisjoint(_keys_of(node)):
            old.append(node)
        else:
            standing.add(node)
    kept = [node for node in tree.body if node not in old]
    if not any(not isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)) for node in kept):
        return Fresh(source, is_all_old=bool(old))
    shortened = without_statements(source, old) if old else None
    if shortened is None:
        return Fresh(source)
    return Fresh(shortened, tuple(_text(source, node) for node in old))


class _Standing:
    """When the statements that ran were run last, and when names were bound or changed."""

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self._made: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._count = 0

    def add(self, node: ast.stmt, *, is_done: bool = True) -> None:
        """Take note that a statement ran; or may have, of which only the changes count."""
        self._count += 1
        with suppress(RecursionError):  # a chain of hundreds of `elif`
            if not self.has(node) or not isinstance(node, (ast.Import, ast.ImportFrom)):
                self._changed |= dict.fromkeys(_bound(node) | _changed([node]), self._count)
            if is_done:
                self._made |= dict.fromkeys(_keys_of(node), self._count)

    def has(self, node: ast.stmt) -> bool:
        """Whether what a statement does is done and stands."""
        if not isinstance(node, _REPEATED):
            return False
        with suppress(RecursionError):
            return all(
                name in self._names and 0 < self._made.get(key, 0) >= self._changed.get(name, 0)
                for key, name in _touched(node)
            )
        return False


def _touched(node: ast.stmt) -> list[tuple[str, str]]:
    """What a statement is the same by, with each name that it binds; of a value, what it reads."""
    keys, bound = _keys_of(node), _bound(node)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [name.asname or name.name.partition(".")[0] for name in node.names]
        return list(zip(keys, names, strict=True))
    names = [*bound] if isinstance(node, DEFINITIONS) else [*(bound | _read(node))]
    return [(keys[0], name) for name in names]


@lru_cache(maxsize=512)
def _statements(source: str) -> tuple[ast.stmt, ...]:
    tree = parse_cell(source)
    return tuple(tree.body) if tree is not None else ()


def keys_in(source: str) -> set[str]:
    """What is the same of the statements of cells that mean the same."""
    with suppress(RecursionError):  # a chain of hundreds of `elif`
        return {key for node in _statements(source) for key in _keys_of(node)}
    return set()


def _keys_of(statement: ast.stmt) -> tuple[str, ...]:
    """What is the same of statements that mean the same; an import has a key for each name."""
    if isinstance(statement, ast.Import):
        return tuple(ast.dump(name) for name in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return tuple(f"{statement.module}: {ast.dump(name)}" for name in statement.names)
    return (ast.dump(statement),)


def _bound(node: ast.stmt) -> set[str]:
    return {use.name for use in uses_in(node) if use.act not in ("reads", "changes")}


def _read(node: ast.stmt) -> set[str]:
    return {use.name for use in uses_in(node) if use.act == "reads"}


def _changed(nodes: Sequence[ast.stmt]) -> set[str]:
    """The names that statements change the values of, or may, by what they call."""
    calls = (node for node in nodes if not isinstance(node, DEFINITIONS))
    named = {one.name for one in bindings_of(*nodes) if one.verb == "changes"}
    added = {use.name for use in uses_in(*nodes) if use.act == "changes"}
    return named | added | mutated_in(*calls)


def _is_start(node: ast.stmt) -> bool:
    """Whether a statement may make a value to begin with, such as 0 or `[]`, for others to fill."""
    value = getattr(node, "value", None)
    is_literal = isinstance(value, ast.Constant)
    return is_literal or not any(isinstance(part, ast.Constant) for part in ast.walk(node))


def _text(source: str, node: ast.stmt) -> str:
    return "\n".join(source.split("\n")[first_line_of(node) - 1 : node.end_lineno])


def without_statements(source: str, old: Sequence[ast.stmt]) -> str | None:
    """A cell without some statements and the comments right above them.

    None if that cannot be done line by line.
    """
    tree = parse_cell(source)
    lines = source.split("\n")
    out: set[int] = set()
    for node in old:
        start, end = first_line_of(node) - 1, node.end_lineno or node.lineno
        while start and lines[start - 1].lstrip().startswith("#") and start - 1 not in out:
            start -= 1
        while end < len(lines) and not lines[end].strip() and (not start or start - 1 in out):
            end += 1
        out.update(range(start, end))
    text = "\n".join(line for number, line in enumerate(lines) if number not in out)
    text = text.rstrip("\n") + "\n" * source[-1:].count("\n")
    left = parse_cell(text)
    if tree is None or left is None:
        return None
    kept = [ast.dump(node) for node in tree.body if node not in old]
    return text if list(map(ast.dump, left.body)) == kept else None
