"""Removes statements from a draft that already ran and are still valid. Runs nothing.

A statement is valid if the same one ran and, according to the cells' text, no name that it binds or
reads was bound or changed since. If in doubt, it stays in the draft.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from jupyter_llm.notebook.code.bindings import (
    DEFINITIONS,
    bindings_of,
    first_line_of,
    mutated_in,
    segment,
)
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import parse_cell

Ran = tuple[str, bool]
"""The source of a cell that ran, and whether it ended without an error."""

_AGAIN: Final = (
    r"(?i)\b(?:again|anew|afresh|once more"  # not `against`, nor a name such as `updated_at`
    r"|(?:re-?(?:load|read|fresh|set|run|do|create|start|draw|calc|comput)|update)[a-z]*)\b"
)
# Calls whose result differs each time, and calls that may change any name.
_FICKLE: Final = re.compile(
    r".*rand.*|.*random.*|time|perf_counter|monotonic|now|today|input|getpass|read|sample|uuid4|urandom"
)
_ANYTHING: Final = frozenset({"exec", "run_cell", "run_cell_magic"})
_MAGICS: Final = frozenset({"run", "pylab", "store", "reset", "rerun", "macro", "load"})
_LASTING: Final = (ast.Import, ast.ImportFrom, *DEFINITIONS)
_REPEATED: Final = (*_LASTING, ast.Assign, ast.AnnAssign)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A draft without statements that already ran.

    `dropped` are the removed statements, in order. If nothing would be left, the draft is unchanged
    and `is_all_old` is True.
    """

    source: str
    dropped: tuple[str, ...] = ()
    is_all_old: bool = False


def only_new(
    source: str, ran: Sequence[Ran], names: Container[str], prompt: str = "", *, own: str = ""
) -> Fresh:
    """Remove statements from a cell's draft that ran in other cells.

    `names` are the existing variables, without those that change by use, as a figure does. Nothing
    is removed if the `prompt` asks to do something again. Statements of `own`, the cell's source,
    stay.
    """
    tree = parse_cell(source)
    if tree is None or not tree.body or re.search(_AGAIN, prompt):
        return Fresh(source)
    run_statements, own_keys = _RunStatements(names), keys_in(own)
    for text, is_done in ran:
        for part in _parts(text):
            run_statements.add(part, is_done=is_done)
    old = []
    for number, node in enumerate(tree.body):
        parts, rest = _parts_of(node), tree.body[number + 1 :]
        if all(map(run_statements.has, parts)) and not _is_filled(node, rest):
            old += [node] if own_keys.isdisjoint(map(ast.dump, parts)) else []
        for part in parts:
            run_statements.add(part)
    kept = [node for node in tree.body if node not in old]
    if all(isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)) for node in kept):
        return Fresh(source, is_all_old=bool(old))
    shortened = without_statements(source, old) if old else None
    if shortened is None:
        return Fresh(source)
    return Fresh(shortened, tuple(segment(source, node) for node in old))


class _RunStatements:
    """The times at which statements were last run, and at which names were bound or changed."""

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self._run_at: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._same: dict[str, set[str]] = {}  # names that may share a value
        self._behind: dict[str, set[str]] = {}  # outer names that functions read
        self._fickle: set[str] = set()  # outer names that functions change
        self._count = 0

    def add(self, node: ast.stmt, *, is_done: bool = True) -> None:
        """Record that a statement ran.

        If not `is_done`, it may have failed, and only its changes count.
        """
        self._count += 1
        with suppress(RecursionError):  # a chain of hundreds of `elif`
            if _may_do_anything(node):
                self._run_at.clear()
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
                self._run_at[ast.dump(node)] = self._count

    def has(self, node: ast.stmt) -> bool:
        """Whether a statement's effect is done and still valid."""
        with suppress(RecursionError):
            run_at = self._run_at.get(ast.dump(node), 0) if isinstance(node, _REPEATED) else 0
            changed = _changed(node)
            read = changed | self._reached({use.name for use in uses_in(*_at_once(node))})
            is_last = all(self._changed.get(name, 0) <= run_at for name in read)
            is_sure = self._fickle.isdisjoint(read) and not any(
                map(_FICKLE.fullmatch, _called(node))
            )
            return (run_at > 0 and is_last and is_sure) and all(n in self._names for n in changed)
        return False

    def _reached(self, names: set[str]) -> set[str]:
        """Return the names, and those that the functions among them read when called."""
        reached: set[str] = set()
        while names - reached:
            reached |= names
            names = set[str]().union(*(self._behind.get(name, ()) for name in names))
        return reached


def _parts(source: str) -> list[ast.stmt]:
    tree = parse_cell(source)
    return [part for node in tree.body for part in _parts_of(node)] if tree is not None else []


def _parts_of(node: ast.stmt) -> list[ast.stmt]:
    """Return a statement, or for an import one statement a name."""
    match node:
        case ast.Import(names=names):
            return [ast.copy_location(ast.Import([name]), node) for name in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            return [
                ast.copy_location(ast.ImportFrom(module, [name], level), node) for name in names
            ]
    return [node]


def keys_in(source: str) -> set[str]:
    """Return keys of a source's statements: equal for equivalent statements."""
    with suppress(RecursionError):
        return set(map(ast.dump, _parts(source)))
    return set()


def _changed(*nodes: ast.stmt) -> set[str]:
    """Return the names that statements bind, or whose values they or their calls may change."""
    calls = (node for node in nodes if not isinstance(node, DEFINITIONS))
    named = {one.name for one in bindings_of(*nodes) if one.verb == "changes"}
    bound = {use.name for use in uses_in(*nodes) if use.act != "reads"}
    return named | bound | mutated_in(*calls)


def _in_place(*nodes: ast.stmt) -> set[str]:
    """Return the names whose values statements may change in place."""
    named = {one.name for one in bindings_of(*nodes) if one.verb in ("changes", "passes on")}
    augmented = {use.name for use in uses_in(*nodes) if use.act == "changes"}
    return named | augmented | mutated_in(*nodes)


def _aliases(node: ast.stmt) -> Iterator[set[str]]:
    """Yield sets of names that may share a value, or a part of it, after a statement."""
    for part in () if isinstance(node, DEFINITIONS) else ast.walk(node):
        match part:
            case ast.Assign(targets=targets, value=value) if not isinstance(
                value, (ast.BinOp, ast.BoolOp, ast.Compare)
            ) and not any(isinstance(one, ast.Call) for one in ast.walk(value)):
                yield {use.name for use in uses_in(*targets, value)}
            case ast.For(target=target, iter=value):
                yield {use.name for use in uses_in(target, value)} - vars(builtins).keys()


def _at_once(node: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that run at once: of a function only the head."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*node.decorator_list, node.args]
    return [node]


def _called(node: ast.stmt) -> set[str]:
    """Return the name parts of a statement's calls; a definition calls nothing yet."""
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
    """Whether a statement makes an initial value, such as 0 or `[]`, that the rest fills."""
    value = getattr(node, "value", None) or ast.Constant(0)
    has_data = any(isinstance(part, ast.Constant) for part in ast.iter_child_nodes(value))
    return not has_data and not _changed(node).isdisjoint(_changed(*rest))


def without_statements(source: str, old: Sequence[ast.stmt]) -> str | None:
    """Return a cell without some statements and the comments right above them.

    None if removing lines does not achieve that.
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
    remaining = parse_cell(text)
    if tree is None or remaining is None:
        return None
    kept = [ast.dump(node) for node in tree.body if node not in old]
    return text if list(map(ast.dump, remaining.body)) == kept else None
