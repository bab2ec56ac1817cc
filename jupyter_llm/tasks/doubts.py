"""What speaks against code that has not run: names, files and arguments that cannot be right.

It is held against the live variables, and nothing of it runs, nor any code of theirs.
"""

from __future__ import annotations

import ast
import inspect
from difflib import get_close_matches
from types import FunctionType
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.code.files import may_exist, path_read
from jupyter_llm.notebook.code.names import defined_names
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.values.lookups import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_DOUBTS = 5


def doubts(source: str, namespace: Mapping[str, Any]) -> tuple[str, ...]:
    """What cannot be right in some code, each in a few words, with what is near."""
    found = [*_wrong_names(source, namespace)]
    tree = parse_cell(source)
    if tree is not None:
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found += _absent_files(calls, source)
        found += _wrong_calls(calls, namespace, defined_names(source) | _inner_names(tree))
    return tuple(dict.fromkeys(found))[:_MAX_DOUBTS]


def _wrong_names(source: str, namespace: Mapping[str, Any]) -> Iterator[str]:
    """Yield the columns, keys and attributes that what there is does not have."""
    for access, names in Names(namespace).absent(source):
        owner = "".join([access.variable, *(f".{name}" for _, name in access.path)])
        near = get_close_matches(access.name, names, n=2)
        rest = f", but {' and '.join(f'`{name}`' for name in near)}" if near else ""
        yield f"`{owner}` has no {access.kind} `{access.name}`{rest}"


def _absent_files(calls: list[ast.Call], source: str) -> Iterator[str]:
    """Yield the files that are read and are not there, where no other line names them too."""
    if "chdir" in source or "%cd" in source:  # then nobody knows where it looks
        return
    for call in calls:
        path = path_read(call)
        if path and source.count(path) == 1 and not may_exist(path):
            yield f"there is no file `{path}`"


def _inner_names(tree: ast.AST) -> frozenset[str]:
    """The names that code binds anywhere, parameters too: there they are no functions of ours."""
    nodes = list(ast.walk(tree))
    parameters = {node.arg for node in nodes if isinstance(node, ast.arg)}
    names = (node for node in nodes if isinstance(node, ast.Name))
    return frozenset(parameters | {n.id for n in names if not isinstance(n.ctx, ast.Load)})


def _wrong_calls(
    calls: list[ast.Call], namespace: Mapping[str, Any], own: frozenset[str]
) -> Iterator[str]:
    """Yield the calls of functions of the notebook with arguments that these do not take."""
    for call in calls:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        function = namespace.get(name) if name not in own else None
        is_spread = any(isinstance(one, ast.Starred) for one in call.args)
        is_spread |= any(keyword.arg is None for keyword in call.keywords)
        if type(function) is FunctionType and not is_spread:
            yield from _mismatch(name, function, call)


def _mismatch(name: str, function: FunctionType, call: ast.Call) -> Iterator[str]:
    given = dict.fromkeys(keyword.arg for keyword in call.keywords if keyword.arg is not None)
    # A function is not asked what it says of itself: its `__signature__` and annotations are code.
    bare = FunctionType(function.__code__, {}, name, function.__defaults__, function.__closure__)
    bare.__kwdefaults__ = function.__kwdefaults__
    signature = inspect.signature(bare)
    try:
        signature.bind(*call.args, **given)
    except TypeError as error:  # in Python's words
        yield f"`{name}()`: {error}"
