"""Mends of calls: methods that went away, keywords, arguments, and what cannot be called."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend, near
from jupyter_llm.notebook.failures.near_mends import class_named
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    is_a,
    own_package,
)

# What a name was replaced by, by the classes or modules that had it.
_RENAMED: dict[str, dict[str, str]] = {
    "numpy": {
        "float": "float64",
        "int": "int64",
        "bool": "bool_",
        "object": "object_",
        "product": "prod",
        "cumproduct": "cumprod",
        "alltrue": "all",
        "sometrue": "any",
        "in1d": "isin",
        "trapz": "trapezoid",
        "row_stack": "vstack",
        "NaN": "nan",
        "Inf": "inf",
        "float_": "float64",
        "unicode_": "str_",
        "str": "str_",
        "round_": "round",
        "complex": "complex128",
        "long": "int64",
        "infty": "inf",
        "PINF": "inf",
    },
    "DataFrame Series": {
        "ix": "loc",
        "iteritems": "items",
        "as_matrix": "to_numpy",
        "sort": "sort_values",
        "applymap": "map",
        "order": "sort_values",
        "tolist": "values.tolist",
        "group_by": "groupby",
        "with_columns": "assign",
        "unique": "drop_duplicates",
        "dropDuplicates": "drop_duplicates",
        "rename_columns": "rename",
        "len": "shape[0]",
    },
    "DataFrame Series LazyFrame Expr": {
        "groupby": "group_by",
        "with_column": "with_columns",
        "apply": "map_elements",
        "sort_values": "sort",
        "drop_duplicates": "unique",
        "astype": "cast",
        "isin": "is_in",
        "isnull": "is_null",
        "notnull": "is_not_null",
        "fillna": "fill_null",
        "dropna": "drop_nulls",
        "nunique": "n_unique",
        "melt": "unpivot",
        "assign": "with_columns",
        "to_csv": "write_csv",
        "cumsum": "cum_sum",
        "isna": "is_null",
        "query": "filter",
    },
    "list": {"push": "append", "add": "append", "insert_at": "insert", "push_back": "append"},
    "set": {"append": "add", "extend": "update", "delete": "discard"},
    "dict": {"iteritems": "items", "itervalues": "values", "iterkeys": "keys", "merge": "update"},
    "str": {
        "trim": "strip",
        "toUpperCase": "upper",
        "toLowerCase": "lower",
        "to_lower": "lower",
        "to_upper": "upper",
        "length": "__len__",
        "substring": "__getitem__",
    },
}
_RENAMED_KEYWORDS = {
    "colour": "color",
    "desc": "descending",
    "reversed": "reverse",
    "separator": "sep",
    "delimiter": "sep",
    "column": "columns",
    "col": "columns",
    "line_terminator": "lineterminator",
    "columns": "by",
    "label": "labels",
    "size": "shape",
    "axes": "axis",
    "cols": "columns",
    "transparency": "alpha",
    "title": "label",
    "groupby": "by",
    "bin": "bins",
    "dim": "axis",
}
_TUPLES = frozenset({"zeros", "ones", "empty", "full"})
_LISTS = frozenset({"concatenate", "vstack", "hstack", "stack", "concat", "column_stack", "dstack"})
_UNCALLED = r"'?(?:builtin_function_or_method|function|method|method_descriptor)'?"


# Methods that went away


def removed(broken: Broken) -> Iterator[Mend]:
    """Mends of attributes that another version, library or language has."""
    found = broken.says(r"has no attribute '(\w+)'")
    owner = broken.says(r"'([\w.]+)' object has|module '(\w+)' has|module `(\w+)` has")
    if found is None or owner is None:
        return
    name, cls = found[1], (owner[1] or owner[2] or owner[3]).rpartition(".")[2]
    for node in broken.nodes(ast.Attribute):
        if node.attr == name:
            yield from _replaced(broken, node, cls)
            yield from _called_otherwise(broken, node, cls)


def _replaced(broken: Broken, node: ast.Attribute, cls: str) -> Iterator[Mend]:
    text = broken.text(node.value)
    package = own_package(broken.origin(node.value))
    for classes, names in _RENAMED.items():
        other = names.get(node.attr, "")
        is_frame = cls in ("DataFrame", "Series")
        fits = not is_frame or ("LazyFrame" in classes) == (package == "polars")
        if cls not in classes.split() or not other or not fits:
            continue
        edit: Edit = (node, f"{text}.{other}")
        parent = broken.parent(node)
        if node.attr == "sort_values" and isinstance(parent, ast.Call):
            yield from _descending(broken, parent, edit)
        reason = f"a {cls} has no `{node.attr}`: it is `{other}`"
        yield from broken.change(reason, edit, is_sure=True)


def _descending(broken: Broken, call: ast.Call, edit: Edit) -> Iterator[Mend]:
    """Mend `sort_values(…, ascending=False)` on a frame of polars."""
    for keyword in call.keywords:
        if keyword.arg == "ascending" and isinstance(keyword.value, ast.Constant):
            new = f"descending={not keyword.value.value}"
            reason = "polars has `sort`, and `descending` for `ascending`"
            yield from broken.change(reason, edit, (keyword, new), is_sure=True)


def _called_otherwise(broken: Broken, node: ast.Attribute, cls: str) -> Iterator[Mend]:
    """Mends of a method whose work is done by something of another shape."""
    text, call = broken.text(node.value), broken.parent(node)
    arguments = [broken.text(one) for one in call.args] if isinstance(call, ast.Call) else []
    first = arguments[0] if arguments else ""
    name = node.attr
    new, reason, imports = "", "", tuple[Edit, ...]()
    if cls in ("DataFrame", "Series") and name == "append" and first:
        pd, imports = broken.alias("pandas", "pd")
        is_row = isinstance(call, ast.Call) and (
            isinstance(call.args[0], ast.Dict) or type(broken.value(call.args[0])) is dict
        )
        added = f"{pd}.DataFrame([{first}])" if is_row else first
        options = [broken.text(one) for one in call.keywords] if isinstance(call, ast.Call) else []
        new = f"{pd}.concat({', '.join([f'[{text}, {added}]', *options])})"
        reason = "`append` went away with pandas 2; `concat` does it"
    elif cls == "ndarray" and name in ("append", "extend", "insert", "concatenate"):
        np, imports = broken.alias("numpy", "np")
        new, reason = (
            f"{np}.append({text}, {first})",
            "an array cannot grow; `append` makes another",
        )
        if isinstance(broken.statement, ast.Expr):
            new = f"{text} = {new}"
    elif cls == "ndarray" and hasattr_of("Series", name):
        pd, imports = broken.alias("pandas", "pd")
        reason = f"an array has no `{name}`; a Series has it"
        yield from broken.change(reason, *imports, (node.value, f"{pd}.Series({text})"))
    elif name in ("length", "size", "len", "count") and cls in (
        "list",
        "dict",
        "str",
        "set",
        "tuple",
    ):
        new, reason = f"len({text})", f"the length of a {cls} is `len(…)`"
    elif name in ("contains", "includes", "has_key") and first:
        new, reason = f"({first} in {text})", f"`in` asks whether a {cls} holds something"
    elif name == "join" and cls in ("list", "tuple", "set") and first:
        new, reason = f"{first}.join({text})", "`join` is a method of what stands in between"
    elif (cls == "Series" and hasattr(str, name)) or (cls == "Series" and name in _OF_TEXTS):
        new = f"{text}.str.{name}"
        reason = f"`{name}` of each text in a column is `.str.{name}`"
        yield from broken.change(reason, (node, new), is_sure=True)
        return
    elif cls == "Series" and name in _OF_DATES:
        reason = f"`{name}` of each date in a column is `.dt.{name}`"
        yield from broken.change(reason, (node, f"{text}.dt.{name}"), is_sure=True)
        return
    elif cls in ("list", "tuple") and hasattr(str, name) and isinstance(call, ast.Call):
        each = f"one.{name}({', '.join(arguments)})"
        new, reason = f"[{each} for one in {text}]", f"`{name}` is done with each text of a {cls}"
    elif cls == "str" and name in (*_OF_DATES, "strftime", "total_seconds"):
        pd, imports = broken.alias("pandas", "pd")
        reason = "it is a text, and no date yet"
        yield from broken.change(reason, *imports, (node.value, f"{pd}.to_datetime({text})"))
    elif cls == "str" and name == "decode":
        new, reason = text, "it is a text already"
    if new and isinstance(call, ast.Call) and call.func is node:
        yield from broken.change(reason, *imports, (call, new), is_sure=True)
    elif new:
        yield from broken.change(reason, *imports, (node, new), is_sure=True)


_OF_TEXTS = frozenset({"contains", "extract", "len", "match", "get", "pad"})
_OF_DATES = frozenset(
    {"year", "month", "day", "hour", "minute", "weekday", "dayofweek", "day_name", "month_name"}
    | {"strftime", "quarter", "date", "days", "total_seconds", "dayofyear", "isocalendar"}
)


def hasattr_of(cls: str, name: str) -> bool:
    """Whether a class that errors call so has a public attribute."""
    found = class_named(cls)
    return found is not None and class_attribute(found, name) is not ABSENT


# Keywords and arguments


def keywords(broken: Broken) -> Iterator[Mend]:
    """Mends of a keyword that a function does not know."""
    found = broken.says(
        r"(?:([\w.<>]+)\(\) )?got (?:an|some) unexpected keyword arguments?:? '(\w+)'"
    )
    found = found or broken.says(
        r"(?:(\w+)\.\w+\(\) got|has no|no) .*(?:property|argument) '?(\w+)'?"
    )
    found = found or broken.says(r"(?:'(\w+)'|(?:\w+)\(\)).* invalid keyword argument .*'?(\w+)'?")
    if found is None:
        return
    name = found[2]
    for call in broken.nodes(ast.Call):
        for keyword in call.keywords:
            if keyword.arg == name:
                yield from _renamed(broken, call, keyword, found[1] or "")


def _renamed(broken: Broken, call: ast.Call, keyword: ast.keyword, title: str) -> Iterator[Mend]:
    name, value = keyword.arg or "", broken.text(keyword.value)
    known = parameters(_function(broken, call, title))
    taken = {one.arg for one in call.keywords}
    known = [one for one in known if one not in taken and one != "self"]
    flipped = {"descending": "ascending", "ascending": "descending", "desc": "ascending"}.get(name)
    if flipped in known and isinstance(keyword.value, ast.Constant):
        reason = f"`{name}` is no argument here; its contrary is `{flipped}`"
        new = f"{flipped}={not keyword.value.value}"
        yield from broken.change(reason, (keyword, new), is_sure=True)
    others = near(name, known)
    renamed = _RENAMED_KEYWORDS.get(name, "")
    if renamed in known or (renamed and not known):
        others = [*others, (renamed, False)] if others else [(renamed, True)]
    for other, is_sure in others:
        reason = f"`{name}` is no argument here; near it is `{other}`"
        yield from broken.change(reason, (keyword, f"{other}={value}"), is_sure=is_sure)
    if len(known) == 1 and not others:
        reason = f"`{name}` is no argument here; there is `{known[0]}`"
        yield from broken.change(reason, (keyword, f"{known[0]}={value}"))


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


def parameters(function: Any) -> list[str]:
    """The names of a function's parameters, or of what makes an instance of a class."""
    if is_a(function, type):
        function = class_attribute(function, "__init__")
    for _ in range(5):
        inner = attribute(function, "__wrapped__") if type(function) is FunctionType else ABSENT
        if inner is ABSENT:
            break
        function = inner
    if type(function) is FunctionType:
        code = function.__code__
        return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    if type(function) is BuiltinFunctionType or own_package(function):
        try:
            return list(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            return []
    return []


def arguments(broken: Broken) -> Iterator[Mend]:
    """Mends of arguments that are missing, or that should be one tuple or list."""
    if found := broken.says(r"missing \d+ required positional arguments?: '(\w+)'"):
        yield from _missing(broken, found[1])
    if broken.says(r"takes \d+ positional arguments? but \d+ (?:was|were) given"):
        yield from _without_self(broken)
    for call in broken.nodes(ast.Call):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        texts = [broken.text(one) for one in call.args]
        inside = _between(broken, call.args)
        if name in _TUPLES and len(texts) > 1 and inside:
            count = len(texts) - (name == "full")
            inside = _between(broken, call.args[:count]) or inside
            reason = f"the shape that `{name}` takes is one tuple"
            yield from broken.change(
                reason, (inside, f"({', '.join(texts[:count])})"), is_sure=True
            )
        elif name in _LISTS and len(texts) > 1 and inside:
            reason = f"what `{name}` joins is one list"
            yield from broken.change(reason, (inside, f"[{', '.join(texts)}]"), is_sure=True)
        elif isinstance(call.func, ast.Attribute) and broken.says(
            "'tuple' object cannot be interp"
        ):
            for one in call.args:
                if isinstance(one, ast.Tuple):
                    reason = f"`{name}` takes the sizes one by one"
                    yield from broken.change(reason, (one, broken.text(one)[1:-1]), is_sure=True)


def _between(broken: Broken, nodes: list[ast.expr]) -> tuple[int, int] | None:
    if not nodes:
        return None
    first, last = broken.span(nodes[0]), broken.span(nodes[-1])
    return (first[0], last[1]) if first and last else None


def _missing(broken: Broken, name: str) -> Iterator[Mend]:
    for call in broken.nodes(ast.Call):
        span = broken.span(call)
        if span is None or not broken.source[: span[1]].endswith(")"):
            continue
        if name == "self" and isinstance(call.func, ast.Attribute):
            holder = call.func.value
            if is_a(broken.value(holder), type):
                new = f"{broken.text(holder)}()"
                reason = f"`{call.func.attr}` is a method of an instance"
                yield from broken.change(reason, (holder, new), is_sure=True)
            continue
        known = [name] if name in broken.variables() else []
        known += [one for one, is_sure in near(name, broken.variables(), 1) if is_sure]
        lead = ", " if call.args or call.keywords else ""
        for other in known:
            edit: Edit = ((span[1] - 1, span[1] - 1), f"{lead}{name}={other}")
            reason = f"the argument `{name}` is missing; there is a variable `{other}`"
            yield from broken.change(reason, edit, is_sure=name == other)


def _without_self(broken: Broken) -> Iterator[Mend]:
    """Mend methods that have no `self`, of the class that the error names."""
    found = broken.says(r"(?:(\w+)\.)?(\w+)\(\) takes")
    for scope in ast.walk(broken.tree):
        for method in scope.body if isinstance(scope, ast.ClassDef) and found else ():
            if not isinstance(method, ast.FunctionDef) or found is None or method.name != found[2]:
                continue
            own = [one.arg for one in method.args.args]
            is_static = any(broken.text(one) == "staticmethod" for one in method.decorator_list)
            if is_static or "self" in own[:1] or "cls" in own[:1]:
                continue
            span = broken.span(method)
            place = broken.source.index("(", span[0]) + 1 if span else 0
            edit: Edit = ((place, place), "self, " if own else "self")
            yield from broken.change(
                f"the method `{method.name}` has no `self`", edit, is_sure=True
            )


# What cannot be called, and what should be


def not_callable(broken: Broken) -> Iterator[Mend]:
    """Mends of brackets behind what is no function, and of other brackets behind one that is."""
    if broken.says("object is not callable"):
        for call in broken.nodes(ast.Call):
            yield from _no_function(broken, call)
    if broken.says(rf"{_UNCALLED} object is not (?:subscriptable|iterable)|type '?{_UNCALLED}"):
        for node in broken.nodes(ast.Subscript):
            holder, key = broken.text(node.value), broken.text(node.slice)
            if not isinstance(node.value, ast.Subscript):
                reason = f"`{holder}` is called with round brackets"
                yield from broken.change(reason, (node, f"{holder}({key})"), is_sure=True)
    if broken.says(_UNCALLED):
        called = {id(call.func) for call in broken.nodes(ast.Call)}
        for part in broken.nodes(ast.Attribute):
            text, found = broken.text(part), broken.value(part)
            is_data = found is not ABSENT and not callable_kind(found)
            if id(part) not in called and not is_data and found is ABSENT and text:
                reason = f"`{text}` is a method, so it is called"
                yield from broken.change(reason, (part, f"{text}()"))


def callable_kind(value: Any) -> bool:
    """Whether a value's class can be called, without asking it."""
    return class_attribute(type(value), "__call__") is not ABSENT


def _no_function(broken: Broken, call: ast.Call) -> Iterator[Mend]:
    func, text = call.func, broken.text(call.func)
    held = broken.value(func)
    if held is not ABSENT and callable_kind(held):
        return
    if isinstance(func, ast.Name) and hasattr(builtins, func.id) and held is not ABSENT:
        line = f"from builtins import {func.id}\n"
        top = broken.top()
        reason = f"a variable has taken the name `{func.id}`; this brings the function back"
        yield from broken.change(reason, ((top, top), line), is_sure=True)
        return
    given = ", ".join(broken.text(one) for one in call.args)
    if isinstance(func, ast.Constant):
        is_number = type(func.value) in (int, float)
        new = f"{text} * ({given})" if is_number else f"{text}, ({given})"
        reason = "a sign is missing between them"
        yield from broken.change(reason, (call, new), is_sure=is_number)
    elif isinstance(func, (ast.Tuple, ast.List)):
        yield from broken.change("a comma is missing", (call, f"{text}, ({given})"), is_sure=True)
    elif not call.args and not call.keywords:
        yield from broken.change(f"`{text}` is no function", (call, text), is_sure=True)
    elif not call.keywords and not isinstance(func, ast.Call):
        reason = f"`{text}` is no function; what it holds is looked up in square brackets"
        yield from broken.change(reason, (call, f"{text}[{given}]"), is_sure=held is not ABSENT)


def classes(broken: Broken) -> Iterator[Mend]:
    """Mends of a class whose instances lack what its methods should have set."""
    if broken.says(r"takes no arguments|takes (?:exactly )?(?:no|0|one|1) "):
        for found in re.finditer(r"(?m)^\s+def (_*init_*)\(", broken.source):
            reason = f"`{found[1]}` is called `__init__`"
            if found[1] != "__init__":
                yield from broken.change(reason, (found.span(1), "__init__"), is_sure=True)
    found_name = broken.says(r"'(\w+)' object has no attribute '(\w+)'")
    if found_name is None:
        return
    for scope in ast.walk(broken.tree):
        if isinstance(scope, ast.ClassDef) and scope.name == found_name[1]:
            edits: list[Edit] = [
                (node, f"self.{node.id}")
                for method in scope.body
                if isinstance(method, ast.FunctionDef) and method.name == "__init__"
                for node in ast.walk(method)
                if isinstance(node, ast.Name) and node.id == found_name[2]
                if isinstance(node.ctx, ast.Store)
            ]
            reason = f"`{found_name[2]}` is set, but not on `self`"
            yield from broken.change(reason, *edits, is_sure=True)
