"""Mends by similar words: names, columns, keys, attributes, keywords, files, modules."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType
from typing import Any

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.code.names import defined_names, is_installed
from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, class_named
from jupyter_llm.notebook.failures.ways import mend_tables
from jupyter_llm.notebook.values.lookups import attributes as attributes_of
from jupyter_llm.notebook.values.lookups import item, keys
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    class_attribute,
    is_a,
    own_package,
    public_names,
)
from jupyter_llm.notebook.values.tables import column_labels

_LOOKED_UP = "not in index|not found|are in the|not exist|interpret|valid column|no column|Column"
_CONTRARY = {"descending": "ascending", "reverse": "ascending", "ascending": "descending"}
_FRAMES = ("DataFrame", "Series", "LazyFrame", "Expr")


def _nearest(
    broken: Broken,
    places: Sequence[ast.AST],
    word: str,
    verdict: str,
    words: Iterable[str],
    written: Callable[[str], str] = str,
) -> Iterator[Mend]:
    """Yield the cell with a similar word in place of a wrong one."""
    for other, is_sure in near(word, words):
        edits = [(place, written(other)) for place in places]
        reason = f"`{word}` is {verdict}; near it is `{other}`"
        yield from broken.change(reason, *edits, is_sure=is_sure)


def _nearest_text(
    broken: Broken, node: ast.Constant, word: str, verdict: str, words: Iterable[str]
) -> Iterator[Mend]:
    """Yield the cell with another word inside a string."""
    typed = broken.text(node)
    yield from _nearest(
        broken, [node], word, verdict, words, lambda other: typed.replace(word, other)
    )


def names(broken: Broken) -> Iterator[Mend]:
    """Yield mends of an undefined name."""
    match = broken.match_message(r"name '(\w+)' is not defined")
    name = match[1] if match is not None else ""
    every = list(broken.nodes(ast.Name, anywhere=True))
    used = [node for node in every if node.id == name]
    if not used:  # in a string of code, as for `query` and `eval`
        for node, text in broken.texts() if name else ():
            if re.search(rf"\b{name}\b", text):
                yield from _nearest_text(broken, node, name, "no column", broken.existing_keys())
        return
    if name in broken.existing_keys():
        reason = f"`{name}` is a column, so it needs quotes"
        yield from broken.change(reason, *((node, f'"{name}"') for node in used))
    if other := mend_tables()["words"].get(name, ""):
        reason = f"Python writes `{other}` for `{name}`"
        yield from broken.change(reason, *((node, other) for node in used))
    if line := _import_of(broken, name):
        yield from broken.change(f"`{name}` was never imported", broken.first(line))
    bound = [node.id for node in every if isinstance(node.ctx, ast.Store)]
    bound += [node.arg for node in broken.nodes(ast.arg, anywhere=True)]
    own = [*bound, *defined_names(broken.source), *broken.variables()]
    is_near = any(is_sure for _, is_sure in near(name, own))
    yield from _nearest(
        broken, used, name, "not defined", own if is_near else [*own, *dir(builtins)]
    )


def _import_of(broken: Broken, name: str) -> str:
    """Return the import line that a cell lacks for a name, or ""."""
    alias = mend_tables()["aliases"].get(name, "")
    homes: dict[str, list[str]] = mend_tables()["homes"]
    home = next((module for module, names in homes.items() if name in names), "")
    if name == "datetime":
        called = [n for n in broken.nodes(ast.Attribute, anywhere=True) if n.attr == "datetime"]
        return "import datetime" if called else "from datetime import datetime"
    if alias and is_installed(alias):
        return f"import {alias} as {name}"
    if home and is_installed(home):
        return f"from {home} import {name}"
    return f"import {name}" if name in _modules() and is_installed(name) else ""


def _modules() -> set[str]:
    """Return the modules that code is likely to name."""
    listed = {
        *mend_tables()["homes"],
        *mend_tables()["aliases"].values(),
        "requests",
        "torch",
        "duckdb",
    }
    return listed | {module.partition(".")[0] for module in listed} | sys.stdlib_module_names


def columns(broken: Broken) -> Iterator[Mend]:
    """Yield mends of missing columns and keys."""
    if broken.failure.kind == "ValueError" and not broken.match_message(_LOOKED_UP):
        return
    words = broken.existing_keys()
    if not words:
        words = [key for value in broken.variables().values() for key in column_labels(value) or ()]
    words += re.findall(r'"(\w[^"\n]*)"', broken.message.partition("valid columns")[2])
    for anywhere in (False, bool(broken.line)):
        every = broken.texts(anywhere=anywhere)
        wrong = [one for one in every if one[1] in broken.message and one[1] not in words]
        if wrong:
            break
    is_frame = any(column_labels(value) is not None for value in broken.values_read())
    for node, text in wrong:
        yield from _nearest_text(broken, node, text, f"no {'column' * is_frame or 'key'}", words)


def attributes(broken: Broken) -> Iterator[Mend]:
    """Yield mends of an attribute with another name, of a key, or of a misspelt one."""
    match = broken.match_message(
        r"(?:'([\w.]+)' (?:object )?|module '([\w.]+)' )has no attribute '(\w+)'"
    )
    node = next((n for n in broken.nodes(ast.Attribute) if match and n.attr == match[3]), None)
    if match is None or node is None:
        return
    owner, name = (match[1] or match[2]).rpartition(".")[2], node.attr
    holder, text = broken.value(node.value), broken.text(node.value)
    if item(holder, name) is not ABSENT:
        reason = f"`{name}` is a key, so it needs brackets"
        yield from broken.change(reason, (node, f'{text}["{name}"]'))
    packages = filter(None, map(own_package, broken.values_read()))
    package = next((one for one in packages if one in ("pandas", "polars")), "pandas")
    renamed = mend_tables()["renamed"].get(package if owner in _FRAMES else owner, {})
    if name in renamed:
        other = renamed[name]
        yield from broken.change(
            f"`{owner}` has no `{name}`: it is `{other}`", (node, f"{text}.{other}")
        )
    yield from _nearest(
        broken,
        [node],
        name,
        "no attribute",
        _attributes_near(broken, holder, match[1] or ""),
        lambda other: f"{text}.{other}" if other.isidentifier() else f'{text}["{other}"]',
    )


def _attributes_near(broken: Broken, holder: Any, owner: str) -> list[str]:
    """Return the names that may follow the dot, by the value or the class in the error."""
    if holder is not ABSENT:
        return [*(attributes_of(holder) or public_names(holder)), *(keys(holder) or ())]
    missing = broken.failure.missing
    cls = class_named(owner) if owner else None
    read = broken.values_read() if owner.endswith("GroupBy") else ()
    return [
        *(label for value in read for label in column_labels(value) or ()),
        *(missing.nearest if missing is not None else ()),
        *(public_names(cls) if cls is not None else ()),
    ]


def keywords(broken: Broken) -> Iterator[Mend]:
    """Yield mends of an unknown keyword argument."""
    match = broken.match_message(
        r"(?:(?P<title>[\w.<>]+)\(\).*|^)(?:invalid|unexpected) keyword argument.*?'(?P<name>\w+)'"
    )
    for call in broken.nodes(ast.Call) if match is not None else ():
        for keyword in call.keywords:
            if match is not None and keyword.arg == match["name"]:
                yield from _other_keyword(broken, call, keyword, match["title"] or "")


def _other_keyword(
    broken: Broken, call: ast.Call, keyword: ast.keyword, title: str
) -> Iterator[Mend]:
    name, value = keyword.arg or "", keyword.value
    words, is_open = _parameters(_function(broken, call, title))
    passed = {one.arg for one in call.keywords} | {"self", "cls"}
    words = [one for one in words if one not in passed]
    contrary, usual = _CONTRARY.get(name), mend_tables()["keywords"].get(name, "")
    if contrary in words and isinstance(value, ast.Constant):
        reason = f"`{name}` is no argument here; its contrary is `{contrary}`"
        yield from broken.change(reason, (keyword, f"{contrary}={not value.value}"))
    others = [(usual, True)] if usual in words or (usual and is_open) else []
    others += near(name, [*words, *(mend_tables()["names"]["artists"] if is_open else ())])
    for other, is_sure in others:
        reason = f"`{name}` is no argument here; near it is `{other}`"
        edit: Edit = (keyword, f"{other}={broken.text(value)}")
        yield from broken.change(reason, edit, is_sure=is_sure)


def _function(broken: Broken, call: ast.Call, title: str) -> Any:
    """Return the called function, by its value or its name in the error."""
    func = call.func
    if (function := broken.value(func)) is not ABSENT:
        return function
    if isinstance(func, ast.Attribute):
        holder = broken.value(func.value)
        if holder is not ABSENT and not is_a(holder, type):
            return class_attribute(type(holder), func.attr)
    owner, _, name = title.rpartition(".")
    cls = class_named(owner) if owner else None
    return class_attribute(cls, name) if cls is not None else ABSENT


def _parameters(function: Any) -> tuple[list[str], bool]:
    """Return the names of a function's or a class's parameters, and whether it accepts others."""
    if is_a(function, type):
        function = class_attribute(function, "__init__")
    kind = type(function)
    is_compiled = kind is BuiltinFunctionType or kind.__module__.startswith("_cython_")
    if kind is not FunctionType and not is_compiled and not own_package(function):
        return [], True
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], True
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [one.name for one in parameters if one.kind not in starred]
    return names, any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)


def files(broken: Broken) -> Iterator[Mend]:
    """Yield mends of a missing file's path."""
    for node, typed in broken.texts(anywhere=True):
        name = PurePath(typed).name
        if not name or name not in broken.message:
            continue
        names = {PurePath(one).name: one for one in reversed(broken.files)}
        candidates = [(names[name], True)] if name in names else []
        candidates += [(names[one], is_sure) for one, is_sure in near(name, names)]
        candidates += [
            (one, False) for one in broken.files if PurePath(one).stem == PurePath(name).stem
        ]
        for other, is_sure in candidates:
            # If the code joins it to a folder, only the name is replaced.
            is_inside = PurePath(other).is_absolute() and not PurePath(typed).is_absolute()
            shown = PurePath(other).name if is_inside else other
            reason = f"there is no file `{typed}`; near it is `{shown}`"
            edit: Edit = (node, broken.text(node).replace(typed, shown))
            yield from broken.change(reason, edit, is_sure=is_sure)
