"""Reads from a cell's syntax tree the names that it binds, changes and uses. Runs nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from jupyter_llm.notebook.code.names import Act, Use, uses_in
from jupyter_llm.notebook.code.syntax import parse_cell

Verb = Literal["assigns", "imports", "defines", "changes", "deletes", "passes on"]

_VERBS: dict[Act, Verb] = {"binds": "assigns", "changes": "assigns", "deletes": "deletes"}
# Methods that change their object if they are called as a statement.
_MUTATORS = frozenset(
    {
        *("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"),
        *("add", "discard", "update", "setdefault", "popitem", "appendleft", "popleft"),
        *("extendleft", "rotate", "move_to_end", "subtract", "difference_update"),
        *("intersection_update", "symmetric_difference_update"),
        *("fill", "resize", "put", "itemset", "partition", "shuffle", "load_state_dict"),
    }
)
# Functions that change their first argument.
_MUTATING = frozenset(
    {
        *("heapify", "heappush", "heappop", "heappushpop", "heapreplace", "shuffle", "next"),
        *("insort", "insort_left", "insort_right", "setattr", "delattr", "setitem", "delitem"),
        *("put", "copyto", "fill_diagonal", "place", "putmask"),
    }
)
_HARMLESS = frozenset({"print", "display", "len", "repr", "help", "assert_", "type"})
_MAGIC_CALL = "get_ipython"  # IPython replaces magics by calls of it
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Binding:
    """A statement that binds a name or changes its value.

    `uses` are the names that it reads, `keys` the strings and attributes in it.
    """

    name: str
    verb: Verb
    line: int
    uses: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    @property
    def makes_again(self) -> bool:
        """Whether the new value is made from the name's previous value."""
        return self.verb == "changes" or (self.verb == "assigns" and self.name in self.uses)


def bindings(source: str) -> tuple[Binding, ...]:
    """Return what a cell binds, changes or deletes, in order.

    Blocks such as `if` and `for` count, bodies of functions and classes do not. A cell that does
    not parse has none.
    """
    tree = parse_cell(source)
    try:
        return tuple(_of_block(tree.body)) if tree is not None else ()
    except RecursionError:  # a chain of hundreds of `elif`
        return ()


def bindings_of(*statements: ast.stmt) -> tuple[Binding, ...]:
    """Return the bindings and changes of statements in order, without bodies of definitions."""
    return tuple(_of_block(statements))


def mutated_in(*nodes: ast.AST) -> set[str]:
    """Return the names whose values a call may change: `last = rows.pop()`.

    Methods are known by their names alone: any `pop` counts as a list's.
    """
    names: set[str] = set()
    calls = (one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Call))
    for call in calls:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if isinstance(call.func, ast.Attribute) and (name in _MUTATORS or _is_in_place(call)):
            names.add(_root(call.func))
        if name in _MUTATING and call.args:
            names.add(_root(call.args[0]))
        names.update(_root(one.value) for one in call.keywords if one.arg == "out")
    return names - {""}


def names_in(node: ast.AST) -> tuple[str, ...]:
    """Return the outer names that a node reads, in order, each once."""
    return tuple(dict.fromkeys(_read(uses_in(node))))


def _read(uses: Iterable[Use]) -> Iterator[str]:
    for use in uses:
        if use.act in ("reads", "changes") and use.name != _MAGIC_CALL:
            yield use.name


def keys_in(node: ast.AST) -> frozenset[str]:
    """Return the strings, keyword names and attributes in a node; called methods do not count."""
    keys: set[str] = set()
    called = {id(child.func) for child in ast.walk(node) if isinstance(child, ast.Call)}
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            keys.add(child.value)
        elif isinstance(child, ast.Attribute) and id(child) not in called:
            keys.add(child.attr)
        elif isinstance(child, ast.keyword) and child.arg:
            keys.add(child.arg)
    return frozenset(keys)


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield all nodes of a block in order, without the bodies of definitions."""
    for node in body:
        yield node
        if not isinstance(node, (*DEFINITIONS, ast.Lambda)):
            yield from own_nodes(ast.iter_child_nodes(node))


def parameters_of(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr | None]]:
    """Return a function's named parameters with their defaults, keyword-only ones last."""
    placed = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(placed) - len(arguments.defaults)), *arguments.defaults]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [*zip(placed, defaults, strict=True), *named]


def statement_at(tree: ast.AST, line: int) -> ast.stmt | None:
    """Return the innermost statement that includes a line."""
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    spans = [(first_line_of(node), node.end_lineno or node.lineno, node) for node in statements]
    covering = [(last - first, node) for first, last, node in spans if first <= line <= last]
    return min(covering, key=lambda one: one[0], default=(0, None))[1]


def segment(text: str, node: ast.stmt) -> str:
    """Return a statement's lines with its decorators, dedented."""
    lines = text.split("\n")[first_line_of(node) - 1 : node.end_lineno]
    indentation = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    cut = (line[indentation:] if not line[:indentation].strip() else line for line in lines)
    return "\n".join(cut)


def first_line_of(node: ast.stmt) -> int:
    """Return a statement's first line, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _of_block(body: Iterable[ast.stmt]) -> Iterator[Binding]:
    for statement in body:
        yield from _of_statement(statement)
        if isinstance(statement, DEFINITIONS):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _of_block(getattr(statement, part, ()))
        for handler in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from _of_block(handler.body)


def _of_statement(statement: ast.stmt) -> Iterator[Binding]:
    head = _head(statement)
    uses = uses_in(*head)
    read = frozenset(_read(uses))
    keys = frozenset[str]().union(*map(keys_in, head))
    done = [(use.name, _verb(statement, use)) for use in uses if use.act in _VERBS]
    if not isinstance(statement, DEFINITIONS):
        parts = (part for node in head for part in ast.walk(node))
        items = (part for part in parts if isinstance(part, (ast.Attribute, ast.Subscript)))
        done += [(_root(part), "changes") for part in items if not isinstance(part.ctx, ast.Load)]
    if isinstance(statement, ast.Expr):
        done += _effects(statement.value)
    yield from (Binding(name, verb, statement.lineno, read, keys) for name, verb in done if name)


def _verb(statement: ast.stmt, use: Use) -> Verb:
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return "imports"
    if isinstance(statement, DEFINITIONS) and use.name == statement.name:
        return "defines"
    return _VERBS[use.act]


def _effects(value: ast.expr) -> Iterator[tuple[str, Verb]]:
    """Yield the effects of a call whose result is unused: it changes something."""
    if isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return
    function = value.func
    if isinstance(function, ast.Attribute):
        if function.attr in _MUTATORS or _is_in_place(value):
            yield _root(function), "changes"
    elif isinstance(function, ast.Name) and function.id not in _HARMLESS:
        for argument in (*value.args, *(keyword.value for keyword in value.keywords)):
            if isinstance(argument, ast.Name):
                yield argument.id, "passes on"


def _is_in_place(call: ast.Call) -> bool:
    return any(one.arg == "inplace" and getattr(one.value, "value", 0) for one in call.keywords)


def _head(statement: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that are not statements; all of it if it has no block."""
    if isinstance(statement, DEFINITIONS) or not {"body", "cases"}.intersection(statement._fields):
        return [statement]
    parts: list[ast.AST] = []
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.match_case):
            parts += [child.pattern, *([child.guard] if child.guard else [])]
        elif not isinstance(child, (ast.stmt, ast.ExceptHandler)):
            parts.append(child)
    return parts


def _root(node: ast.expr) -> str:
    """Return the name at the start of a chain of attributes, items and calls, or ""."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
