"""Mends of calls: renamed methods, keywords, arguments, `self`, and what cannot be called."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, class_named, near
from jupyter_llm.notebook.failures.ways import known
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    is_a,
    own_package,
)

_CONTRARY = {
    "descending": "ascending",
    "desc": "ascending",
    "reverse": "ascending",
    "ascending": "descending",
}
_FRAMES = ("DataFrame", "Series", "LazyFrame", "Expr")
_MAX_WRAPPED = 5


def renamed(broken: Broken) -> Iterator[Mend]:
    """Mends of attributes that have another name in this version, library or language."""
    found = broken.says(r"(?:'([\w.]+)' object|module '(\w+)') has no attribute '(\w+)'")
    if found is None:
        return
    owner, name = (found[1] or found[2]).rpartition(".")[2], found[3]
    for node in broken.nodes(ast.Attribute):
        if node.attr != name:
            continue
        package = own_package(broken.origin(node.value)) or "pandas"
        others = known()["renamed"].get(package if owner in _FRAMES else owner, {})
        if name not in others:
            continue
        edits: list[Edit] = [(node, f"{broken.text(node.value)}.{others[name]}")]
        call = broken.parent(node)
        edits += [
            (keyword, f"descending={not keyword.value.value}")
            for keyword in (call.keywords if isinstance(call, ast.Call) else ())
            if others[name] == "sort" and isinstance(keyword.value, ast.Constant)
        ]
        yield from broken.change(f"`{owner}` has no `{name}`: it is `{others[name]}`", *edits)


# Arguments


def keywords(broken: Broken) -> Iterator[Mend]:
    """Mends of a keyword that a function does not know."""
    found = broken.says(
        r"(?:(?P<title>[\w.<>]+)\(\).*|^)(?:invalid|unexpected) keyword argument.*?'(?P<name>\w+)'"
    )
    name, title = (found["name"], found["title"] or "") if found is not None else ("", "")
    for call in broken.nodes(ast.Call):
        for keyword in call.keywords:
            if name and keyword.arg == name:
                yield from _other_keyword(broken, call, keyword, title)


def _other_keyword(
    broken: Broken, call: ast.Call, keyword: ast.keyword, title: str
) -> Iterator[Mend]:
    name, value = keyword.arg or "", broken.text(keyword.value)
    names, is_open = parameters(_function(broken, call, title))
    taken = {one.arg for one in call.keywords} | {"self", "cls"}
    names = [one for one in names if one not in ("self", "cls")][len(call.args) :]
    names = [one for one in names if one not in taken]
    contrary = _CONTRARY.get(name)
    if contrary in names and isinstance(keyword.value, ast.Constant):
        reason = f"`{name}` is no argument here; its contrary is `{contrary}`"
        new = f"{contrary}={not keyword.value.value}"
        yield from broken.change(reason, (keyword, new))
    usual = known()["keywords"].get(name, "")
    others = [(usual, True)] if usual in names else []
    others += near(name, [*names, *(known()["names"]["artists"] if is_open else ())])
    if usual and is_open:
        others.append((usual, not others))
    for other, is_sure in others:
        reason = f"`{name}` is no argument here; near it is `{other}`"
        yield from broken.change(reason, (keyword, f"{other}={value}"), is_sure=is_sure)


def _function(broken: Broken, call: ast.Call, title: str) -> Any:
    """What is called, by its value or else by the name that the error gives it."""
    func = call.func
    if (found := broken.value(func)) is not ABSENT:
        return found
    if isinstance(func, ast.Attribute):
        holder = broken.value(func.value)
        if holder is not ABSENT and not is_a(holder, type):
            return class_attribute(type(holder), func.attr)
    owner, _, name = title.rpartition(".")
    cls = class_named(owner) if owner else None
    return class_attribute(cls, name) if cls is not None else ABSENT


def parameters(function: Any) -> tuple[list[str], bool]:
    """The names of a function's or a class's parameters, and whether there may be others."""
    if is_a(function, type):
        function = class_attribute(function, "__init__")
    for _ in range(_MAX_WRAPPED):
        inner = attribute(function, "__wrapped__") if type(function) is FunctionType else ABSENT
        if inner is ABSENT:
            break
        function = inner
    if type(function) is FunctionType:
        code = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        return list(code.co_varnames[:count]), bool(code.co_flags & inspect.CO_VARKEYWORDS)
    if type(function) is BuiltinFunctionType or own_package(function):
        try:
            return list(inspect.signature(function).parameters), False
        except (TypeError, ValueError):
            pass
    return [], True


def arguments(broken: Broken) -> Iterator[Mend]:
    """Mends of arguments that are missing where a variable has their name."""
    found = broken.says(r"missing \d+ required positional arguments?: '(\w+)'")
    name = found[1] if found is not None else ""
    for call in broken.nodes(ast.Call) if name else ():
        span = broken.span(call)
        if name != "self" and span is not None and broken.source[: span[1]].endswith(")"):
            others = [name] if name in broken.variables() else []
            others += [one for one, is_sure in near(name, broken.variables(), 1) if is_sure]
            lead = ", " if call.args or call.keywords else ""
            for other in others:
                edit: Edit = ((span[1] - 1, span[1] - 1), f"{lead}{name}={other}")
                reason = f"the argument `{name}` is missing; there is a variable `{other}`"
                yield from broken.change(reason, edit, is_sure=name == other)


def methods(broken: Broken) -> Iterator[Mend]:
    """Mends of methods without `self`."""
    given = broken.says(r"(?:\w+\.)?(\w+)\(\) takes \d+ positional arguments? but")
    for scope in ast.walk(broken.tree) if given is not None else ():
        for method in scope.body if isinstance(scope, ast.ClassDef) else ():
            is_meant = isinstance(method, ast.FunctionDef) and given and method.name == given[1]
            if not isinstance(method, ast.FunctionDef) or not is_meant or method.decorator_list:
                continue
            own = [one.arg for one in method.args.args]
            if own[:1] != ["self"] and (span := broken.span(method)) is not None:
                place = broken.source.index("(", span[0]) + 1
                edit: Edit = ((place, place), "self, " if own else "self")
                yield from broken.change(f"the method `{method.name}` has no `self`", edit)


# What cannot be called, and what should be


def not_callable(broken: Broken) -> Iterator[Mend]:
    """Mends of brackets behind what is no function."""
    for call in broken.nodes(ast.Call) if broken.says("object is not callable") else ():
        held = broken.value(call.func)
        if held is ABSENT or class_attribute(type(held), "__call__") is ABSENT:
            yield from _no_function(broken, call, held)


def _no_function(broken: Broken, call: ast.Call, held: Any) -> Iterator[Mend]:
    func, text = call.func, broken.text(call.func)
    given = ", ".join(broken.text(one) for one in call.args)
    edit: Edit = (call, text)
    reason, is_sure = f"`{text}` is no function", True
    if isinstance(func, ast.Name) and hasattr(builtins, func.id) and held is not ABSENT:
        edit = broken.first(f"from builtins import {func.id}")
        reason = f"a variable has taken the name `{func.id}`; this brings the function back"
    elif isinstance(func, ast.Constant) and type(func.value) in (int, float):
        edit, reason = (call, f"{text} * ({given})"), "a `*` is missing"
    elif isinstance(func, (ast.Tuple, ast.List, ast.Constant)):
        edit, reason = (call, f"{text}, ({given})"), "a comma is missing"
    elif isinstance(func, ast.Attribute) and _has(broken, func.value, f"set_{func.attr}"):
        edit = (func, f"{broken.text(func.value)}.set_{func.attr}")
        reason = f"`{text}` is no function; `set_{func.attr}` is one"
    elif call.args and not call.keywords:
        edit, is_sure = (call, f"{text}[{given}]"), held is not ABSENT
        reason = f"`{text}` is no function; what it holds is looked up in square brackets"
    yield from broken.change(reason, edit, is_sure=is_sure)


def _has(broken: Broken, node: ast.expr, name: str) -> bool:
    found = broken.value(node)
    return found is not ABSENT and class_attribute(type(found), name) is not ABSENT
