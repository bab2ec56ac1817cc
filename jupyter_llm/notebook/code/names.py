"""The names and modules a cell uses, and which of them exist. Nothing is run or imported."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import sys
import warnings
from collections.abc import Container, Iterable, Iterator
from importlib.util import find_spec

from jupyter_llm.notebook.code.statements import parse
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, split_cell_magic, to_python

_IPYTHON_NAMES = frozenset(
    (
        *("get_ipython", "display", "exit", "quit", "In", "Out", "_", "__", "___"),
        *("_i", "_ii", "_iii", "_ih", "_oh", "_dh", "__name__", "__doc__", "__annotations__"),
        *("__module__", "__qualname__", "__class__"),  # inside a class
    )
)
_DEFINING_MAGIC = re.compile(r"^[ \t]*%(?:run|pylab|store)\b", re.MULTILINE)
_CAPTURE = re.compile(r"%%capture[ \t]+(?:--\S+[ \t]+)*([^\W\d]\w*)")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_CATCHES_IMPORT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def unknown_names(source: str, namespace: Container[str] = ()) -> tuple[str, ...]:
    """Return the names a cell uses that exist neither in itself nor in the namespace.

    They come in the order of their first use. Builtins and what IPython provides exist. Where the
    cell may define any name, as with `from module import *`, nothing can be told.
    """
    found = _tables(source)
    if found is None:
        return ()
    python, tree, table = found
    if _DEFINING_MAGIC.search(source) or any(map(_is_star_import, ast.walk(tree))):
        return ()
    defined = _defined(source, tree, table)
    unknown = {
        name
        for name in (*_global_uses(table), *_changed(tree))
        if name not in defined
        and name not in _IPYTHON_NAMES
        and not hasattr(builtins, name)
        and name not in namespace
    }
    return tuple(sorted(unknown, key=lambda name: _first_place(name, python)))


def defined_names(source: str) -> frozenset[str]:
    """Return the names that a cell adds to the namespace."""
    found = _tables(source)
    return _defined(source, *found[1:]) if found is not None else frozenset()


def missing_modules(source: str) -> tuple[str, ...]:
    """Return the top-level modules a cell imports that are not installed.

    Imports whose failure the cell provides for do not count.
    """
    found = _tables(source)
    if found is None:
        return ()
    names = dict.fromkeys(name.split(".")[0] for name in _imports(found[1]))
    return tuple(name for name in names if not _is_installed(name))


def _tables(source: str) -> tuple[str, ast.Module, symtable.SymbolTable] | None:
    """Return a cell as Python, its tree and its scopes; None if it is no Python."""
    name, _, body = split_cell_magic(source)
    if name and name not in PYTHON_MAGICS:
        return None
    try:
        python = to_python(body)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return python, parse(python), symtable.symtable(python, "<cell>", "exec")
    except Exception:  # noqa: BLE001  whatever is raised: it is no code
        return None


def _defined(source: str, tree: ast.Module, table: symtable.SymbolTable) -> frozenset[str]:
    bound = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    bound |= {
        symbol.get_name()
        for inner in _inner_tables(table)
        for symbol in inner.get_symbols()
        if symbol.is_declared_global() and (symbol.is_assigned() or symbol.is_imported())
    }
    bound -= _changed(tree) | _only_annotated(tree)
    captured = _CAPTURE.match(source.lstrip())
    return frozenset(bound | ({captured[1]} if captured else set()))


def _global_uses(table: symtable.SymbolTable) -> Iterator[str]:
    """Yield the names that are looked up in the notebook's namespace, wherever in the cell."""
    for scope in (table, *_inner_tables(table)):
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and symbol.is_global():
                yield symbol.get_name()


def _inner_tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner_tables(child)


def _changed(tree: ast.Module) -> set[str]:
    """Return the names that are changed or deleted at the top, but set nowhere: `count += 1`.

    The scopes call such names assigned.
    """
    nodes = list(_own_nodes(tree))
    changed: list[ast.expr] = [node.target for node in nodes if isinstance(node, ast.AugAssign)]
    changed += [target for node in nodes if isinstance(node, ast.Delete) for target in node.targets]
    return _names_of(changed) - _set_names(tree, changed)


def _only_annotated(tree: ast.Module) -> set[str]:
    """Return the names that have a type and no value: `count: int`."""
    targets = [
        node.target
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and node.value is None
    ]
    return _names_of(targets) - _set_names(tree, targets)


def _names_of(nodes: Iterable[ast.expr]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _set_names(tree: ast.Module, apart_from: Iterable[ast.expr]) -> set[str]:
    """Return all names that are set in a tree in any way, some places aside."""
    names: set[str] = set()
    others = set(map(id, apart_from))
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store()) if id(node) not in others:
                names.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.alias():
                names.add((node.asname or node.name).split(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                names.add(name)
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
    return names


def _own_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of a tree that belong to its own scope."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _SCOPES):
            waiting.extend(ast.iter_child_nodes(node))


def _first_place(name: str, python: str) -> int:
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", python)
    return found.start() if found is not None else len(python)


def _is_star_import(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield the modules that a tree imports and cannot do without."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and not child.level and child.module:
            yield child.module
        elif isinstance(child, ast.Try | ast.TryStar) and any(map(_catches_import, child.handlers)):
            for other in (*child.handlers, *child.orelse, *child.finalbody):
                yield from _imports(other)
        elif not isinstance(child, ast.expr):
            yield from _imports(child)


def _catches_import(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = [node for node in ast.walk(handler.type) if isinstance(node, ast.Name)]
    return any(node.id in _CATCHES_IMPORT for node in caught)


def _is_installed(name: str) -> bool:
    if name in sys.modules or name in sys.stdlib_module_names:
        return True
    try:
        return find_spec(name) is not None
    except Exception:  # noqa: BLE001  a finder of the user's own may raise anything
        return True
