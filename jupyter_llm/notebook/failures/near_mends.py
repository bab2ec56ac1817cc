"""Mends of what does not exist: names, columns, keys, attributes, files and modules."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePath
from types import ModuleType
from typing import Any

from jupyter_llm.notebook.code.names import defined_names, is_installed
from jupyter_llm.notebook.failures.broken_cell import Broken, Mend, class_named, near
from jupyter_llm.notebook.failures.ways import known as tables
from jupyter_llm.notebook.values.members import attributes, item, keys, member
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    instance_dict,
    is_a,
    public_names,
    short_name,
)
from jupyter_llm.notebook.values.tables import column_labels

_LOOKED_UP = "not in index|not found|are in the|not exist|interpret|valid column|no column|Column"


def _home(name: str) -> str:
    """The module that something is usually imported from, or ""."""
    homes: dict[str, list[str]] = tables()["homes"]
    return next((module for module, names in homes.items() if name in names), "")


def _modules() -> set[str]:
    """The modules whose names code is likely to use."""
    known = {*tables()["homes"], *tables()["aliases"].values(), "requests", "torch", "duckdb"}
    return known | {module.partition(".")[0] for module in known} | sys.stdlib_module_names


def _told(word: str, what: str, other: str) -> str:
    return f"`{word}` is {what}; near it is `{other}`"


def _nearest(
    broken: Broken,
    places: Sequence[ast.AST],
    word: str,
    what: str,
    words: Iterable[str],
    written: Callable[[str], str] = str,
) -> Iterator[Mend]:
    """Yield the cell with a word in some places that is near a wrong one."""
    for other, is_sure in near(word, words):
        yield from broken.change(
            _told(word, what, other), *((p, written(other)) for p in places), is_sure=is_sure
        )


# Names


def names(broken: Broken) -> Iterator[Mend]:
    """Mends of a name that is not defined."""
    found = broken.says(r"name '(\w+)' is not defined") or broken.says(r"variable '(\w+)'")
    if found is None:
        return
    name = found[1]
    used = [node for node in broken.nodes(ast.Name, anywhere=True) if node.id == name]
    if not used:
        yield from _in_texts(broken, name)
        return
    yield from _outer(broken, name)
    yield from _of_self(broken, used)
    if name in broken.known_keys():
        reason = f"`{name}` is a column, so it stands in quotes"
        yield from broken.change(reason, *((node, f'"{name}"') for node in used))
    if other := tables()["words"].get(name, ""):
        reason = f"Python says `{other}` for `{name}`"
        yield from broken.change(reason, *((node, other) for node in used))
    if line := _import_of(broken, name):
        yield from broken.begin(line, f"`{name}` was never imported")
    yield from _near_names(broken, name, used)


def _near_names(broken: Broken, name: str, used: list[ast.Name]) -> Iterator[Mend]:
    local = {
        node.arg if isinstance(node, ast.arg) else node.id
        for function in ast.walk(broken.tree)
        if isinstance(function, (ast.FunctionDef, ast.Lambda)) and used[0] in ast.walk(function)
        for node in ast.walk(function)
        if isinstance(node, ast.arg)
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    }
    own = [*local, *broken.variables(), *defined_names(broken.source)]
    is_known = any(is_sure for _, is_sure in near(name, own))
    words = own if is_known else [*own, *dir(builtins)]
    yield from _nearest(broken, used, name, "not defined", words)


def _in_texts(broken: Broken, name: str) -> Iterator[Mend]:
    """Mends of a name in a text that is code, as for `query` and `eval`."""
    words = [*broken.known_keys(), *broken.variables()]
    for node, said in broken.texts():
        if re.search(rf"\b{name}\b", said):
            written = partial(re.sub, rf"\b{name}\b", string=broken.text(node))
            yield from _nearest(broken, [node], name, "no column", words, written)


def _outer(broken: Broken, name: str) -> Iterator[Mend]:
    """Mend a function that sets a variable of the notebook it also reads."""
    if broken.kind != "UnboundLocalError" or name not in broken.namespace:
        return
    for node in ast.walk(broken.tree):
        if isinstance(node, ast.FunctionDef) and any(n is broken.statement for n in ast.walk(node)):
            first = node.body[0]
            new = f"global {name}\n{' ' * first.col_offset}{broken.text(first)}"
            yield from broken.change(f"`{name}` is set outside of `{node.name}`", (first, new))


def _of_self(broken: Broken, used: list[ast.Name]) -> Iterator[Mend]:
    """Mend an attribute of `self` that is read as a variable."""
    name = used[0].id
    for scope in ast.walk(broken.tree):
        inside = list(ast.walk(scope)) if isinstance(scope, ast.ClassDef) else []
        if used[0] in inside and any(
            name == (n.attr if isinstance(n, ast.Attribute) else n.name)
            for n in inside
            if isinstance(n, (ast.Attribute, ast.FunctionDef))
        ):
            reason = f"`{name}` is an attribute: it is `self.{name}` in a method"
            yield from broken.change(reason, *((n, f"self.{name}") for n in used if n in inside))


def _import_of(broken: Broken, name: str) -> str:
    """The line that a cell lacks which uses what it should have imported, or ""."""
    alias, home = tables()["aliases"].get(name, ""), _home(name)
    if name == "datetime":
        called = [n for n in broken.nodes(ast.Attribute, anywhere=True) if n.attr == "datetime"]
        return "import datetime" if called else "from datetime import datetime"
    if alias and is_installed(alias):
        return f"import {alias} as {name}"
    if home and is_installed(home):
        return f"from {home} import {name}"
    return f"import {name}" if name in _modules() and is_installed(name) else ""


# Columns and keys


def columns(broken: Broken) -> Iterator[Mend]:
    """Mends of columns and keys that are not there."""
    if broken.kind == "ValueError" and not broken.says(_LOOKED_UP):
        return
    known = broken.known_keys()
    if not known:
        known = [key for value in broken.variables().values() for key in column_labels(value) or ()]
    known += re.findall(r'"(\w[^"\n]*)"', broken.message.partition("valid columns")[2])
    for anywhere in (False, True):
        every = broken.texts(anywhere=anywhere and bool(broken.line))
        wrong = [one for one in every if one[1] in broken.message and one[1] not in known]
        if wrong:
            break
    has_frame = any(column_labels(value) is not None for value in broken.read().values())
    what = "no column" if has_frame else "no key"
    best = [(node, text, *found[0]) for node, text in wrong if (found := near(text, known, 1))]
    if 1 < len(best) == len(wrong):  # all of a list at once
        reasons = dict.fromkeys(_told(text, what, other) for _, text, other, _ in best)
        edits = [(node, _quoted_like(broken.text(node), other)) for node, _, other, _ in best]
        is_sure = all(is_sure for *_, is_sure in best)
        yield from broken.change("; ".join(reasons), *edits, is_sure=is_sure)
    for node, text in wrong:
        yield from _near_text(broken, node, text, what, known)
    yield from _otherwise_keyed(broken)


def _near_text(
    broken: Broken, node: ast.Constant, text: str, what: str, words: Iterable[str]
) -> Iterator[Mend]:
    typed = broken.text(node)
    yield from _nearest(broken, [node], text, what, words, lambda other: _quoted_like(typed, other))


def _quoted_like(typed: str, text: str) -> str:
    quote = typed[-1:] if typed[-1:] in ("'", '"') and typed[-1] not in text else '"'
    return f"{quote}{text}{quote}" if "\\" not in text else repr(text)


def _otherwise_keyed(broken: Broken) -> Iterator[Mend]:
    """Mends of a key that is there, but not as it was asked for."""
    for node in broken.nodes(ast.Subscript):
        holder, key, inner = broken.value(node.value), broken.value(node.slice), node.slice
        text, own = broken.text(node.value), broken.text(inner)
        if isinstance(inner, ast.Tuple) and all(type(broken.value(i)) is str for i in inner.elts):
            reason = "several columns are a list in the brackets"
            yield from broken.change(reason, (inner, f"[{own.strip('()')}]"))
        elif type(key) is int and broken.kind_of(node.value) in ("Series", "texts"):
            reason = f"`{key}` is no label; a row's place is looked up by `.iloc`"
            yield from broken.change(reason, (node.value, f"{text}.iloc"))
        if type(holder) is not dict:
            continue
        others = {str(one): one for one in list(holder) if type(one) in (int, str)}
        if type(key) in (int, str) and type(others.get(str(key), key)) is not type(key):
            reason = f"the key is `{others[str(key)]!r}`, not `{key!r}`"
            yield from broken.change(reason, (inner, repr(others[str(key)])))
        parent = broken.parent(node)
        sign = {"Add": "+", "Sub": "-"}.get(type(getattr(parent, "op", None)).__name__)
        if sign and isinstance(parent, ast.AugAssign) and parent.target is node:
            new = f"{text}[{own}] = {text}.get({own}, 0) {sign} {broken.text(parent.value)}"
            yield from broken.change(
                f"`{text}` has no such key yet, so it begins at 0", (parent, new)
            )


def options(broken: Broken) -> Iterator[Mend]:
    """Mends of a text that is none of those a function knows."""
    for node, text in broken.texts():
        if re.search(rf"\W{re.escape(text)}\W", f" {broken.message} "):
            told = re.findall(r"'([^'\s]+)'", broken.message)
            words = [*told, *tables()["names"]["options"]]
            yield from _near_text(broken, node, text, "no known option", words)


# Attributes


def attributes_near(broken: Broken) -> Iterator[Mend]:
    """Mends of an attribute that is not there but is much like one that is."""
    found = broken.says(r"has no attribute '(\w+)'")
    name = found[1] if found is not None else ""
    node = next((one for one in broken.nodes(ast.Attribute) if one.attr == name), None)
    if node is None:
        return
    holder, text = broken.value(node.value), broken.text(node.value)
    if type(holder) is ModuleType:
        yield from _of_module(broken, node, holder)
    elif is_a(holder, type) and short_name(holder) == name:
        yield from broken.change(f"`{text}` is the class already", (node, text))
    if name in (keys(holder) or ()) or item(holder, name) is not ABSENT:
        reason = f"`{name}` is a key, so it stands in brackets"
        yield from broken.change(reason, (node, f'{text}["{name}"]'))
    yield from _nearest(
        broken,
        [node],
        name,
        "no attribute",
        _attributes_of(broken, holder),
        lambda other: f"{text}.{other}" if other.isidentifier() else f'{text}["{other}"]',
    )


def _attributes_of(broken: Broken, holder: Any) -> list[str]:
    """What may stand behind the dot, by the value or else by the class that the error names."""
    if holder is not ABSENT:
        return [*(attributes(holder) or public_names(holder)), *(keys(holder) or ())]
    missing = broken.missing.nearest if broken.missing is not None else ()
    found = broken.says(r"(?:type object )?'([\w.]+)' (?:object )?has no attribute")
    cls = class_named(found[1]) if found is not None else None
    return [*missing, *(public_names(cls) if cls is not None else ())]


def _of_module(broken: Broken, node: ast.Attribute, holder: ModuleType) -> Iterator[Mend]:
    """Mends of `datetime.now()` and the like, and of modules that nobody imported."""
    text, name = broken.text(node.value), node.attr
    module = str(instance_dict(holder).get("__name__", ""))
    inner = member(holder, module.rpartition(".")[2])
    if inner is not ABSENT and is_a(inner, type) and name in public_names(inner):
        reason = f"`{name}` belongs to the class `{module}.{short_name(inner)}`"
        yield from broken.change(reason, (node, f"{text}.{short_name(inner)}.{name}"))
    for part in public_names(holder):
        found = member(holder, part)
        if type(found) is ModuleType and name in instance_dict(found):
            reason = f"`{name}` is in `{text}.{part}`"
            yield from broken.change(reason, (node, f"{text}.{part}.{name}"))
    if is_installed(f"{module}.{name}"):
        line = f"import {module}.{name}"
        yield from broken.begin(line, f"`{module}.{name}` was never imported")


# Files and modules


def files(broken: Broken) -> Iterator[Mend]:
    """Mends of the path of a file that is not there."""
    for node, typed in broken.texts(anywhere=True):
        name = PurePath(typed).name
        if not name or name not in broken.message:
            continue
        names = {PurePath(one).name: one for one in reversed(broken.files)}
        found = [(one, True) for one in broken.files if PurePath(one).name == name]
        found += [(names[one], is_sure) for one, is_sure in near(name, names)]
        found += [(one, False) for one in broken.files if PurePath(one).stem == PurePath(name).stem]
        for other, is_sure in found:
            # What is put behind a folder by the code is the name alone.
            is_inside = PurePath(other).is_absolute() and not PurePath(typed).is_absolute()
            shown = PurePath(other).name if is_inside else other
            reason = f"there is no file `{typed}`; near it is `{shown}`"
            new = _quoted_like(broken.text(node), shown)
            yield from broken.change(reason, (node, new), is_sure=is_sure)


def modules(broken: Broken) -> Iterator[Mend]:
    """Mends of imports of what is not there."""
    if (found := broken.says(r"No module named '([\w.]+)'")) is not None:
        places = re.finditer(rf"(?m)^\s*(?:import|from)\s+({found[1]})\b", broken.source)
        others = [one for one in near(found[1], _modules()) if is_installed(one[0])]
        for place in places:
            for other, is_sure in others:
                reason = f"there is no module `{found[1]}`; near it is `{other}`"
                yield from broken.change(reason, (place.span(1), other), is_sure=is_sure)
    moved = broken.says(r"cannot import name '(\w+)' from '([\w.]+)'")
    if moved is None:
        return
    name, module = moved[1], moved[2]
    home = _home(name)
    origin = re.search(rf"from\s+{module}\s+import", broken.source)
    if home and home != module and origin is not None:
        yield from broken.change(f"`{name}` is in `{home}`", (origin.span(), f"from {home} import"))
    used = [
        node
        for node in ast.walk(broken.tree)
        if (isinstance(node, ast.alias) and node.name == name and not node.asname)
        or (isinstance(node, ast.Name) and node.id == name)
    ]
    if module in sys.modules:
        words = public_names(sys.modules[module])
        yield from _nearest(broken, used, name, f"not in `{module}`", words)
