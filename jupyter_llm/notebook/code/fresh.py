"""What is new of a draft: statements that ran already, and still stand, are left out.

A statement stands if the same one ran and, as far as the text of the cells says, nothing that it
binds or reads was bound or changed since. Runs nothing; in doubt a statement stays.
"""

from __future__ import annotations

import ast
import builtins
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jupyter_llm.notebook.code.bindings import (
    DEFINITIONS,
    bindings_of,
    first_line_of,
    mutated_in,
    segment,
)
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import parse_cell

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    Ran = tuple[str, bool]
    """The source of a cell that ran, and whether it came to its end."""

_AGAIN: Final = (
    r"(?i)\b(?:again|anew|afresh|once more"  # not `against`, and no name such as `updated_at`
    r"|(?:re-?(?:load|read|fresh|set|run|do|create|start|draw|calc|comput)|update)[a-z]*)\b"
)
# Calls whose answer is another one each time, and those that may change any name.
_FICKLE: Final = re.compile(
    r".*rand.*|.*random.*|time|perf_counter|monotonic|now|today|input|getpass|read|sample|uuid4|urandom"
)
_ANYTHING: Final = frozenset({"exec", "run_cell", "run_cell_magic"})
_MAGICS: Final = frozenset({"run", "pylab", "store", "reset", "rerun", "macro", "load"})
_LASTING: Final = (ast.Import, ast.ImportFrom, *DEFINITIONS)
_REPEATED: Final = (*_LASTING, ast.Assign, ast.AnnAssign)


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
    """What is new of a draft of a cell, after some cells that ran.

    `names` are those that there are, but for those whose values change by being used, as a figure.
    A `prompt` that asks to do something again lets all of it stay, and so does what is the cell's
    `own`.
    """
    tree = parse_cell(source)
    if tree is None or not tree.body or re.search(_AGAIN, prompt):
        return Fresh(source)
    standing, own_keys = _Standing(names), keys_in(own)
    for text, is_done in ran:
        for part in _parts(text):
            standing.add(part, is_done=is_done)
    old = []
    for number, node in enumerate(tree.body):
        parts, rest = _parts_of(node), tree.body[number + 1 :]
        if all(map(standing.has, parts)) and not _is_filled(node, rest):
            old += [node] if own_keys.isdisjoint(map(ast.dump, parts)) else []
        for part in parts:
            standing.add(part)
    kept = [node for node in tree.body if node not in old]
    if all(isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)) for node in kept):
        return Fresh(source, is_all_old=bool(old))
    shortened = without_statements(source, old) if old else None
    if shortened is None:
        return Fresh(source)
    return Fresh(shortened, tuple(segment(source, node) for node in old))


class _Standing:
    """When the statements that ran were run last, and when names were bound or changed."""

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self._made: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._same: dict[str, set[str]] = {}  # names that may stand for one value
        self._behind: dict[str, set[str]] = {}  # what functions read of the names around them
        self._fickle: set[str] = set()  # what functions change of the names around them
        self._count = 0

    def add(self, node: ast.stmt, *, is_done: bool = True) -> None:
        """Take note that a statement ran; or may have, of which only the changes count."""
        self._count += 1
        with suppress(RecursionError):  # a chain of hundreds of `elif`
            if _may_do_anything(node):
                self._made.clear()
            if self.has(node):
                return
            for group in _aliases(node):
                same = group.union(*(self._same.get(name, set()) for name in group))
                self._same |= dict.fromkeys(same, same)
            changed = _changed(node)
            for name in _in_place(node):
                changed |= self._same.get(name, {name})
            self._changed |= dict.fromkeys(changed, self._count)
            if isinstance(node, DEFINITIONS):
                uses = [use for use in uses_in(node) if use.name != node.name]
                outer = {use.name for use in uses}
                self._behind[node.name] = outer
                own = {use.name for use in uses if use.act != "reads"}
                self._fickle |= own | (_in_place(*node.body) & outer)
            if is_done:
                self._made[ast.dump(node)] = self._count

    def has(self, node: ast.stmt) -> bool:
        """Whether what a statement does is done and stands."""
        with suppress(RecursionError):
            made = self._made.get(ast.dump(node), 0) if isinstance(node, _REPEATED) else 0
            changed = _changed(node)
            read = changed | self._reached({use.name for use in uses_in(*_at_once(node))})
            is_last = all(self._changed.get(name, 0) <= made for name in read)
            is_sure = self._fickle.isdisjoint(read) and not any(
                map(_FICKLE.fullmatch, _called(node))
            )
            return (made > 0 and is_last and is_sure) and all(n in self._names for n in changed)
        return False

    def _reached(self, names: set[str]) -> set[str]:
        """Some names, and what the functions among them read when they are called."""
        found: set[str] = set()
        while names - found:
            found |= names
            names = set[str]().union(*(self._behind.get(name, ()) for name in names))
        return found


def _parts(source: str) -> list[ast.stmt]:
    tree = parse_cell(source)
    return [part for node in tree.body for part in _parts_of(node)] if tree is not None else []


def _parts_of(node: ast.stmt) -> list[ast.stmt]:
    """A statement; of an import, one for each name."""
    match node:
        case ast.Import(names=names):
            return [ast.copy_location(ast.Import([name]), node) for name in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            return [
                ast.copy_location(ast.ImportFrom(module, [name], level), node) for name in names
            ]
    return [node]


def keys_in(source: str) -> set[str]:
    """What is the same of the statements of cells that mean the same."""
    with suppress(RecursionError):
        return set(map(ast.dump, _parts(source)))
    return set()


def _changed(*nodes: ast.stmt) -> set[str]:
    """The names that statements bind or change the values of, or may, by what they call."""
    calls = (node for node in nodes if not isinstance(node, DEFINITIONS))
    named = {one.name for one in bindings_of(*nodes) if one.verb == "changes"}
    bound = {use.name for use in uses_in(*nodes) if use.act != "reads"}
    return named | bound | mutated_in(*calls)


def _in_place(*nodes: ast.stmt) -> set[str]:
    """The names whose values statements may change, and do not only bind anew."""
    named = {one.name for one in bindings_of(*nodes) if one.verb in ("changes", "passes on")}
    augmented = {use.name for use in uses_in(*nodes) if use.act == "changes"}
    return named | augmented | mutated_in(*nodes)


def _aliases(node: ast.stmt) -> Iterator[set[str]]:
    """Yield names that may stand for one value, or a part of it, after a statement."""
    for part in () if isinstance(node, DEFINITIONS) else ast.walk(node):
        match part:
            case ast.Assign(targets=targets, value=value) if not isinstance(
                value, (ast.BinOp, ast.BoolOp, ast.Compare)
            ) and not any(isinstance(one, ast.Call) for one in ast.walk(value)):
                yield {use.name for use in uses_in(*targets, value)}
            case ast.For(target=target, iter=value):
                yield {use.name for use in uses_in(target, value)} - vars(builtins).keys()


def _at_once(node: ast.stmt) -> list[ast.AST]:
    """What of a statement reads names when it runs: of a function its head alone."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*node.decorator_list, node.args]
    return [node]


def _called(node: ast.stmt) -> set[str]:
    """The parts of the names of what a statement calls; what it defines calls nothing yet."""
    parts = () if isinstance(node, DEFINITIONS) else ast.walk(node)
    calls = (ast.unparse(part.func) for part in parts if isinstance(part, ast.Call))
    return {name for called in calls for name in called.split(".")}


def _may_do_anything(node: ast.stmt) -> bool:
    """Whether a statement may change any name: `exec(…)`, `%run`, a star import."""
    if isinstance(node, ast.ImportFrom):
        return node.names[0].name == "*"
    texts = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
    called = _called(node)
    return bool(called & _ANYTHING) or ("run_line_magic" in called and bool(texts & _MAGICS))


def _is_filled(node: ast.stmt, rest: Sequence[ast.stmt]) -> bool:
    """Whether a statement makes a value to begin with, such as 0 or `[]`, which the rest fills."""
    value = getattr(node, "value", None) or ast.Constant(0)
    has_data = any(isinstance(part, ast.Constant) for part in ast.iter_child_nodes(value))
    return not has_data and not _changed(node).isdisjoint(_changed(*rest))


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
