"""Mends of what does not exist: names, columns, keys, attributes, files and modules."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import PurePath
from types import ModuleType
from typing import Any

from jupyter_llm.notebook.code.names import defined_names
from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, class_named, near
from jupyter_llm.notebook.failures.ways import known as tables
from jupyter_llm.notebook.values.members import attributes, item, keys, member
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    instance_dict,
    is_a,
    own_package,
    public_names,
    short_name,
)
from jupyter_llm.notebook.values.tables import column_labels

_LOOKED_UP = "not in index|not found|are in the|not exist|interpret|valid column|no column|Column"


def _is_installed(module: str) -> bool:
    try:
        return module in sys.modules or find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _home(name: str) -> str:
    """The module that something is usually imported from, or ""."""
    homes: dict[str, list[str]] = tables()["homes"]
    return next((module for module, names in homes.items() if name in names), "")


def _packages() -> set[str]:
    """The packages whose names code is likely to use."""
    found = [*tables()["homes"], *tables()["aliases"].values(), "requests", "torch", "duckdb"]
    return {module.partition(".")[0] for module in found}


def _told(word: str, what: str, other: str) -> str:
    return f"`{word}` is no {what}; near it is `{other}`"


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
    yield from _unquoted(broken, used)
    other = tables()["words"].get(name, "")
    if other:
        edits: list[Edit] = [(node, other) for node in used]
        yield from broken.change(f"Python says `{other}` for `{name}`", *edits, is_sure=True)
    yield from _not_imported(broken, name)
    yield from _near_names(broken, name, used)


def _near_names(broken: Broken, name: str, used: list[ast.Name]) -> Iterator[Mend]:
    bound = defined_names(broken.source)
    local = {
        node.arg if isinstance(node, ast.arg) else node.id
        for function in ast.walk(broken.tree)
        if isinstance(function, (ast.FunctionDef, ast.Lambda)) and used[0] in ast.walk(function)
        for node in ast.walk(function)
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and _is_set(node))
    }
    own = near(name, [*local, *broken.variables(), *bound])
    known = near(name, dir(builtins), 1) if not own or not own[0][1] else []
    for other, is_sure in (*own, *known):
        edits: list[Edit] = [(node, other) for node in used]
        yield from broken.change(
            f"`{name}` is not defined; near it is `{other}`", *edits, is_sure=is_sure
        )


def _is_set(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _in_texts(broken: Broken, name: str) -> Iterator[Mend]:
    """Mends of a name in a text that is code, as for `query` and `eval`."""
    for node, said in broken.texts():
        if re.search(rf"\b{name}\b", said):
            for other, is_sure in near(name, [*broken.known_keys(), *broken.variables()]):
                text = re.sub(rf"\b{name}\b", other, broken.text(node))
                yield from broken.change(
                    _told(name, "column", other), (node, text), is_sure=is_sure
                )


def _outer(broken: Broken, name: str) -> Iterator[Mend]:
    """Mend a function that sets a variable of the notebook it also reads."""
    if broken.kind != "UnboundLocalError" or name not in broken.namespace:
        return
    for node in ast.walk(broken.tree):
        if isinstance(node, ast.FunctionDef) and any(n is broken.statement for n in ast.walk(node)):
            body = node.body[0]
            space = " " * body.col_offset
            yield from broken.insert(
                body.lineno, f"{space}global {name}", f"`{name}` is set outside of `{node.name}`"
            )


def _of_self(broken: Broken, used: list[ast.Name]) -> Iterator[Mend]:
    """Mend an attribute of `self` that is read as a variable."""
    name = used[0].id
    for scope in ast.walk(broken.tree):
        if not isinstance(scope, ast.ClassDef) or used[0] not in ast.walk(scope):
            continue
        inside = list(ast.walk(scope))
        is_attribute = any(isinstance(n, ast.Attribute) and n.attr == name for n in inside)
        is_method = any(isinstance(n, ast.FunctionDef) and n.name == name for n in scope.body)
        if is_attribute or is_method:
            edits: list[Edit] = [(node, f"self.{name}") for node in used if node in inside]
            reason = f"`{name}` is an attribute: it is `self.{name}` in a method"
            yield from broken.change(reason, *edits, is_sure=True)


def _unquoted(broken: Broken, used: list[ast.Name]) -> Iterator[Mend]:
    """Mend a column or key without its quotes."""
    name = used[0].id
    if name in broken.known_keys():
        edits: list[Edit] = [(node, f'"{name}"') for node in used]
        yield from broken.change(
            f"`{name}` is a column, so it stands in quotes", *edits, is_sure=True
        )
    elif any(isinstance(broken.parent(node), ast.Subscript) for node in used):
        for other, is_sure in near(name, broken.known_keys(), 1):
            edits = [(node, f'"{other}"') for node in used]
            yield from broken.change(_told(name, "variable", f'"{other}"'), *edits, is_sure=is_sure)


def _not_imported(broken: Broken, name: str) -> Iterator[Mend]:
    """Mend a cell that uses what it should have imported."""
    line = ""
    aliases, home = tables()["aliases"], _home(name)
    if name in aliases and _is_installed(aliases[name]):
        line = f"import {aliases[name]} as {name}"
    elif home and _is_installed(home):
        line = f"from {home} import {name}"
    elif name in sys.stdlib_module_names or name in _packages():
        line = f"import {name}" if _is_installed(name) else ""
    if name == "datetime":
        called = [n for n in broken.nodes(ast.Attribute, anywhere=True) if n.attr == "datetime"]
        line = "import datetime" if called else "from datetime import datetime"
    if line:
        top = broken.top()
        edit: Edit = ((top, top), f"{line}\n")
        yield from broken.change(f"`{name}` was never imported", edit, is_sure=True)


# Columns and keys


def columns(broken: Broken) -> Iterator[Mend]:
    """Mends of columns and keys that are not there."""
    if broken.kind == "ValueError" and not broken.says(_LOOKED_UP):
        return
    known = broken.known_keys()
    if not known:
        known = [key for value in broken.variables().values() for key in column_labels(value) or ()]
    known += re.findall(r'"(\w[^"\n]*)"', broken.message.partition("valid columns")[2])
    known = list(dict.fromkeys(known))
    wrong = [one for one in broken.texts() if one[1] in broken.message and one[1] not in known]
    if not wrong and broken.line:
        every = broken.texts(anywhere=True)
        wrong = [one for one in every if one[1] in broken.message and one[1] not in known]
    yield from _several(broken, wrong, known)
    for node, text in wrong:
        for other, is_sure in near(text, known):
            yield from broken.change(
                _told(text, "column" if _has_frame(broken) else "key", other),
                (node, _quoted_like(broken.text(node), other)),
                is_sure=is_sure,
            )
    yield from _otherwise_keyed(broken)


def _has_frame(broken: Broken) -> bool:
    return any(column_labels(value) is not None for value in broken.read().values())


def _several(
    broken: Broken, wrong: list[tuple[ast.Constant, str]], known: list[str]
) -> Iterator[Mend]:
    """Mend all wrong columns of a list at once."""
    best = [(node, text, *found[0]) for node, text in wrong if (found := near(text, known, 1))]
    if len(best) > 1 and len(best) == len(wrong):
        edits: list[Edit] = [(n, _quoted_like(broken.text(n), other)) for n, _, other, _ in best]
        reason = "; ".join(
            dict.fromkeys(_told(text, "column", other) for _, text, other, _ in best)
        )
        yield from broken.change(reason, *edits, is_sure=all(is_sure for *_, is_sure in best))


def _quoted_like(typed: str, text: str) -> str:
    quote = typed[-1:] if typed[-1:] in ("'", '"') and typed[-1] not in text else '"'
    return f"{quote}{text}{quote}" if "\\" not in text else repr(text)


def _otherwise_keyed(broken: Broken) -> Iterator[Mend]:
    """Mends of a key that is there, but not as it was asked for."""
    for node in broken.nodes(ast.Subscript):
        holder, key = broken.value(node.value), broken.value(node.slice)
        text, own, inner = broken.text(node.value), broken.text(node.slice), node.slice
        is_pandas = broken.kind_of(node.value).replace("texts", "Series")
        is_pandas = is_pandas if own_package(holder) == "pandas" else ""
        if type(holder) is dict:
            yield from _of_dict(broken, node, holder, key)
        elif isinstance(inner, ast.Tuple) and all(type(broken.value(i)) is str for i in inner.elts):
            reason = "several columns are a list in the brackets"
            yield from broken.change(reason, (inner, f"[{own.strip('()')}]"), is_sure=True)
        elif is_pandas and type(key) is int:
            reason = f"`{key}` is no label; a row's place is looked up by `.iloc`"
            yield from broken.change(reason, (node.value, f"{text}.iloc"), is_sure=True)
        elif is_pandas == "DataFrame" and type(key) is str and key in _labels(holder):
            reason = f"`{key}` is a row, which `.loc` looks up"
            yield from broken.change(reason, (node.value, f"{text}.loc"), is_sure=True)
        elif isinstance(node.value, ast.Attribute) and node.value.attr in ("loc", "at"):
            yield from _of_rows(broken, node, node.value.value)
        if type(key) is str and isinstance(node.value, ast.Name) and keys(holder) is not None:
            yield from _held_elsewhere(broken, node.value, key)


def _of_dict(
    broken: Broken, node: ast.Subscript, holder: dict[Any, Any], key: object
) -> Iterator[Mend]:
    text, own = broken.text(node.value), broken.text(node.slice)
    others = list(holder)
    if type(key) is int and str(key) in (one for one in others if type(one) is str):
        yield from broken.change(
            "the keys are texts, not numbers", (node.slice, f'"{key}"'), is_sure=True
        )
    elif type(key) is str and any(type(one) is int and str(one) == key for one in others):
        yield from broken.change("the keys are numbers, not texts", (node.slice, key), is_sure=True)
    parent = broken.parent(node)
    if isinstance(parent, ast.AugAssign) and parent.target is node:
        reason = f"`{text}` has no such key yet, so it begins at 0"
        start, stop = broken.span(parent) or (0, 0)
        sign = {"Add": "+", "Sub": "-"}.get(type(parent.op).__name__, "")
        new = f"{text}[{own}] = {text}.get({own}, 0) {sign} {broken.text(parent.value)}"
        if sign:
            yield from broken.change(reason, ((start, stop), new), is_sure=True)


def _labels(frame: Any) -> list[str]:
    """The texts a frame of pandas has its rows by."""
    index = frame.index
    known = own_package(index) == "pandas" and len(index) <= 5000  # noqa: PLR2004
    return [one for one in index.tolist() if type(one) is str] if known else []


def _of_rows(broken: Broken, node: ast.Subscript, frame: ast.expr) -> Iterator[Mend]:
    """Mends of `.loc`: a row near the one asked for, or a column in the place of a row."""
    first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
    key, text = broken.value(first), broken.text(frame)
    if type(key) is not str or own_package(broken.value(frame)) != "pandas":
        return
    for other, is_sure in near(key, _labels(broken.value(frame))):
        new = _quoted_like(broken.text(first), other)
        yield from broken.change(_told(key, "row", other), (first, new), is_sure=is_sure)
    if key in (column_labels(broken.value(frame)) or ()) and first is node.slice:
        new = f"{text}[{broken.text(first)}]"
        yield from broken.change(f"`{key}` is a column, no row", (node, new), is_sure=True)


def _held_elsewhere(broken: Broken, holder: ast.Name, key: str) -> Iterator[Mend]:
    """Mend the name of a frame or a dictionary where another one has the very key."""
    kind = type(broken.value(holder))
    others = [
        name
        for name, value in broken.variables().items()
        if type(value) is kind and name != holder.id and key in (keys(value) or ())
    ]
    if len(others) == 1:
        reason = f"`{holder.id}` has no `{key}`; `{others[0]}` has it"
        yield from broken.change(reason, (holder, others[0]))


def options(broken: Broken) -> Iterator[Mend]:
    """Mends of a text that is none of those a function knows."""
    for node, text in broken.texts():
        if re.search(rf"\W{re.escape(text)}\W", f" {broken.message} "):
            told = re.findall(r"'([^'\s]+)'", broken.message)
            for other, is_sure in near(text, [*told, *tables()["names"]["options"]]):
                new = _quoted_like(broken.text(node), other)
                reason = _told(text, "known option", other)
                yield from broken.change(reason, (node, new), is_sure=is_sure)


# Attributes


def attributes_near(broken: Broken) -> Iterator[Mend]:
    """Mends of an attribute that is not there but is much like one that is."""
    found = broken.says(r"has no attribute '(\w+)'")
    if found is None:
        return
    name = found[1]
    for node in broken.nodes(ast.Attribute):
        if node.attr != name:
            continue
        holder = broken.value(node.value)
        text = broken.text(node.value)
        yield from _of_module(broken, node, holder)
        if name in (keys(holder) or ()) or item(holder, name) is not ABSENT:
            reason = f"`{name}` is a key, so it stands in brackets"
            yield from broken.change(reason, (node, f'{text}["{name}"]'), is_sure=True)
        for other, is_sure in near(name, _attributes_of(broken, holder), 3):
            new = f"{text}.{other}" if other.isidentifier() else f'{text}["{other}"]'
            yield from broken.change(_told(name, "attribute", other), (node, new), is_sure=is_sure)
        return
    for node, other, is_sure in (
        (node, other, is_sure)
        for node in broken.nodes(ast.Attribute, anywhere=True)
        if node.attr == name and broken.line
        for other, is_sure in near(name, _attributes_of(broken, ABSENT))
    ):
        new = f"{broken.text(node.value)}.{other}"
        yield from broken.change(_told(name, "attribute", other), (node, new), is_sure=is_sure)


def _attributes_of(broken: Broken, holder: Any) -> list[str]:
    """What may stand behind the dot, by the value or else by the class that the error names."""
    if holder is not ABSENT:
        return [*(attributes(holder) or public_names(holder)), *(keys(holder) or ())]
    missing = broken.missing.nearest if broken.missing is not None else ()
    found = broken.says(r"(?:type object )?'([\w.]+)' (?:object )?has no attribute")
    cls = class_named(found[1]) if found is not None else None
    return [*missing, *(public_names(cls) if cls is not None else ())]


def _of_module(broken: Broken, node: ast.Attribute, holder: Any) -> Iterator[Mend]:
    """Mends of `datetime.now()` and the like, and of modules that nobody imported."""
    text, name = broken.text(node.value), node.attr
    if type(holder) is not ModuleType:
        if is_a(holder, type) and short_name(holder) == name:
            reason = f"`{text}` is the class already"
            yield from broken.change(reason, (node, text), is_sure=True)
        return
    module = str(instance_dict(holder).get("__name__", ""))
    inner = member(holder, module.rpartition(".")[2])
    if inner is not ABSENT and is_a(inner, type) and name in public_names(inner):
        reason = f"`{name}` belongs to the class `{module}.{short_name(inner)}`"
        yield from broken.change(reason, (node, f"{text}.{short_name(inner)}.{name}"), is_sure=True)
    for part in public_names(holder):
        found = member(holder, part)
        if type(found) is ModuleType and name in instance_dict(found):
            reason = f"`{name}` is in `{text}.{part}`"
            yield from broken.change(reason, (node, f"{text}.{part}.{name}"), is_sure=True)
    if _is_installed(f"{module}.{name}"):
        top = broken.top()
        edit: Edit = ((top, top), f"import {module}.{name}\n")
        yield from broken.change(f"`{module}.{name}` was never imported", edit, is_sure=True)


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
    found = broken.says(r"No module named '([\w.]+)'")
    if found is not None:
        yield from _near_modules(broken, found[1])
    found = broken.says(r"cannot import name '(\w+)' from '([\w.]+)'")
    if found is None:
        return
    name, module = found[1], found[2]
    home = _home(name)
    place = re.search(rf"from\s+{re.escape(module)}\s+import", broken.source)
    if home and home != module and place is not None:
        edit: Edit = (place.span(), f"from {home} import")
        yield from broken.change(f"`{name}` is in `{home}`", edit, is_sure=True)
    loaded = sys.modules.get(module)
    for other, is_sure in near(name, public_names(loaded), 2) if loaded is not None else ():
        edits = _renamed(broken, name, other)
        reason = f"`{module}` has no `{name}`; near it is `{other}`"
        yield from broken.change(reason, *edits, is_sure=is_sure)


def _renamed(broken: Broken, name: str, other: str) -> list[Edit]:
    """The edits that give what is imported, and its uses, another name."""
    return [
        (node, other)
        for node in ast.walk(broken.tree)
        if (isinstance(node, ast.alias) and node.name == name and not node.asname)
        or (isinstance(node, ast.Name) and node.id == name)
    ]


def _near_modules(broken: Broken, module: str) -> Iterator[Mend]:
    package, _, last = module.rpartition(".")
    known = [*_packages(), *tables()["homes"], *sys.stdlib_module_names]
    if package in sys.modules:
        folder = attribute(sys.modules[package], "__path__")
        places = list(folder) if type(folder) is list else []
        from pkgutil import iter_modules

        known = [f"{package}.{one.name}" for one in iter_modules(places)]
    moved = [one for one in tables()["homes"] if "." in one and one.rpartition(".")[2] == last]
    others = [(one, True) for one in moved] + near(module, known)
    for other, is_sure in others:
        if not _is_installed(other):
            continue
        for place in re.finditer(
            rf"(?m)^\s*(?:import|from)\s+({re.escape(module)})\b", broken.source
        ):
            reason = f"there is no module `{module}`; near it is `{other}`"
            yield from broken.change(reason, (place.span(1), other), is_sure=is_sure)
