"""What the code of a cell binds, changes and uses, read from its syntax tree. Runs nothing."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Verb = Literal["assigns", "imports", "defines", "changes", "deletes", "passes on"]

# The cell magics whose body is Python that runs in the notebook's own namespace.
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "memit", "mprun", "snakeviz"})
# Methods that change their object, as a statement of their own.
_MUTATORS = frozenset(
    {
        *("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"),
        *("add", "discard", "update", "setdefault", "popitem", "appendleft", "popleft"),
        *("fill", "resize", "put", "itemset", "partition", "shuffle", "load_state_dict"),
    }
)
_HARMLESS = frozenset({"print", "display", "len", "repr", "help", "assert_", "type"})
_MAGIC_CALL = "get_ipython"  # what IPython puts in the place of a magic
_MAX_SOURCE = 500_000  # characters; parsing more takes longer than anybody waits
_SYNTAX_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Binding:
    """A statement of a cell that gives a name a value, or changes the value.

    `uses` are the names it reads, `keys` the texts and attributes in it.
    """

    name: str
    verb: Verb
    line: int
    uses: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    @property
    def makes_again(self) -> bool:
        """Whether it makes the value from the one the name had before."""
        return self.verb == "changes" or (self.verb == "assigns" and self.name in self.uses)


def transform(source: str) -> str | None:
    """Return a cell as Python, its magics turned into calls; None where IPython refuses it."""
    from IPython.core.inputtransformer2 import TransformerManager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(TransformerManager().transform_cell(source))
        except (*_SYNTAX_ERRORS, IndexError):
            return None


@lru_cache(maxsize=256)
def parse_python(source: str) -> ast.Module | None:
    """Return the syntax tree of Python source, or None if it is none, or too long to be read."""
    if len(source) > _MAX_SOURCE:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes, which are the user's to hear of
        try:
            return ast.parse(source)
        except _SYNTAX_ERRORS:
            return None


def parse_cell(source: str) -> ast.Module | None:
    """Return the syntax tree of a cell as typed, magics allowed, or None if it has none.

    Of a cell magic such as `%%time` it is the body's; of one with another language, such as
    `%%bash`, the tree holds the call of the magic alone.
    """
    return parse_python(cell_python(source))


@lru_cache(maxsize=512)
def cell_python(source: str) -> str:
    """Return a cell as Python whose lines stand where they stand in the cell."""
    magic = re.match(r"\s*%%(\w+)[^\n]*\n", source)
    if magic is not None and magic[1] in _PYTHON_MAGICS:
        return "\n" * magic[0].count("\n") + cell_python(source[magic.end() :])
    compiled = transform(source)
    if compiled is None or parse_python(compiled) is None:
        # A line that IPython cannot transform must not hide all others.
        return re.sub(r"(?m)^(\s*)[%!?].*$", r"\1pass", source)
    # IPython takes away the empty lines at the top.
    return "\n" * source[: len(source) - len(source.lstrip())].count("\n") + compiled


def bindings(source: str) -> tuple[Binding, ...]:
    """Return what a cell binds and changes at its top level, in order."""
    tree = parse_cell(source)
    try:
        return tuple(_of_block(tree.body)) if tree is not None else ()
    except RecursionError:  # a chain of hundreds of `elif`
        return ()


def names_in(node: ast.AST) -> tuple[str, ...]:
    """Return the names an expression or statement reads, in order, each once."""
    names = (n.id for n in _walk(node) if isinstance(n, ast.Name) and _is_read(n))
    return tuple(dict.fromkeys(name for name in names if name != _MAGIC_CALL))


def keys_in(node: ast.AST) -> frozenset[str]:
    """Return the texts, keyword names and attributes in an expression; methods called are none."""
    found: set[str] = set()
    called = {id(child.func) for child in ast.walk(node) if isinstance(child, ast.Call)}
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            found.add(child.value)
        elif isinstance(child, ast.Attribute) and id(child) not in called:
            found.add(child.attr)
        elif isinstance(child, ast.keyword) and child.arg:
            found.add(child.arg)
    return frozenset(found)


def statement_at(tree: ast.AST, line: int) -> ast.stmt | None:
    """Return the innermost statement that a line belongs to."""
    covering = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and _covers(n, line)]
    return min(covering, key=_num_lines, default=None)


def function_at(tree: ast.AST, line: int, name: str) -> ast.stmt | None:
    """Return the innermost function of a name around a line; the statement of a lambda."""
    covering = [
        node
        for node in ast.walk(tree)
        if isinstance(node, _FUNCTIONS) and node.name == name and _covers(node, line)
    ]
    return min(covering, key=_num_lines, default=None) or statement_at(tree, line)


def segment(text: str, node: ast.stmt) -> str:
    """Return the lines of a statement, decorators included, without what all are indented by."""
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
    line = statement.lineno

    def binding(name: str, verb: Verb) -> Binding:
        return Binding(name, verb, line, frozenset(uses), keys)

    if isinstance(statement, DEFINITIONS):
        uses, keys = set(_free_names(statement)), keys_in(statement)
        yield binding(statement.name, "defines")
        for node in ast.walk(statement):
            if isinstance(node, ast.Global):
                yield from (binding(name, "assigns") for name in node.names)
        return
    head = _head(statement)
    uses = {name for node in head for name in names_in(node)}
    keys = frozenset().union(*(keys_in(node) for node in head))
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield binding(alias.asname or alias.name.partition(".")[0], "imports")
        return
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        uses.add(statement.target.id)
    for node in head:
        for child in _walk(node):
            yield from (binding(name, verb) for name, verb in _targets(child))
    if isinstance(statement, ast.Expr):
        yield from (binding(name, verb) for name, verb in _effects(statement.value))


def _targets(node: ast.AST) -> Iterator[tuple[str, Verb]]:
    """Yield the name that a target binds, changes or deletes."""
    if isinstance(node, ast.Name) and not _is_read(node):
        yield node.id, "deletes" if isinstance(node.ctx, ast.Del) else "assigns"
    elif isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        if (root := _root(node)) is not None:
            yield root, "changes"
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name, "assigns"


def _effects(value: ast.expr) -> Iterator[tuple[str, Verb]]:
    """Yield what a call that stands alone does to values: there is no other reason for it."""
    if isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return
    function = value.func
    in_place = any(
        keyword.arg == "inplace" and getattr(keyword.value, "value", False)
        for keyword in value.keywords
    )
    if isinstance(function, ast.Attribute):
        if (function.attr in _MUTATORS or in_place) and (root := _root(function)) is not None:
            yield root, "changes"
    elif isinstance(function, ast.Name) and function.id not in _HARMLESS:
        for argument in (*value.args, *(keyword.value for keyword in value.keywords)):
            if isinstance(argument, ast.Name):
                yield argument.id, "passes on"


def _head(statement: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that are no statements of their own."""
    parts: list[ast.AST] = []
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, (ast.stmt, ast.ExceptHandler)):
            continue
        if isinstance(child, ast.match_case):
            parts += [child.pattern, *([child.guard] if child.guard else [])]
        else:
            parts.append(child)
    return parts


def _walk(root: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree in the order of its text, without what lambdas and comprehensions bind."""
    nothing: frozenset[str] = frozenset()
    stack = [(root, nothing)]
    while stack:
        node, hidden = stack.pop()
        if isinstance(node, ast.Name) and node.id in hidden:
            continue
        yield node
        hidden = hidden | _own_names(node)
        stack += [(child, hidden) for child in reversed(list(ast.iter_child_nodes(node)))]


def _own_names(node: ast.AST) -> frozenset[str]:
    """Return the names that only exist inside an expression."""
    if isinstance(node, ast.Lambda):
        return frozenset(a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg))
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        targets = (generator.target for generator in node.generators)
        return frozenset(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
    return frozenset()


def _free_names(node: ast.AST) -> set[str]:
    """Return the names a function or class reads and does not bind itself."""
    read: set[str] = set()
    bound: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            (read if _is_read(child) else bound).add(child.id)
        elif isinstance(child, ast.arg):
            bound.add(child.arg)
        elif child is not node and isinstance(child, DEFINITIONS):
            bound.add(child.name)
    return read - bound


def _root(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes, items and calls begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _covers(node: ast.stmt, line: int) -> bool:
    return first_line_of(node) <= line <= (node.end_lineno or node.lineno)


def _num_lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - first_line_of(node)
