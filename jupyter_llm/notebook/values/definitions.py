"""How functions, classes and modules are told: signature, first line of the docstring, names.

`inspect.signature` follows attributes and shows defaults by their `repr`; so signatures are put
together here, from the function's code.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from itertools import islice
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GenericAlias,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    UnionType,
    WrapperDescriptorType,
)
from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.objects import declared_fields
from jupyter_llm.notebook.values.peek import (
    attribute,
    class_attribute,
    class_dict,
    instance_dict,
    is_a,
    is_one_of,
    library_types,
    mro,
    qualified_name,
    short_name,
    text_keys,
    text_of,
)
from jupyter_llm.notebook.values.redaction import scrub

_DOC_CHARS: Final = 200
_MAX_PARAMETERS: Final = 100
_MAX_WRAPPED: Final = 20  # `__wrapped__` may lead in a circle


def _doc_line(doc: object) -> str:
    """The first line of a docstring that says something."""
    lines = clean(text_of(doc)[:4096]).strip().splitlines()
    return cut(scrub(one_line(lines[0])), _DOC_CHARS) if lines else ""


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


# --- functions


def _unwrapped(function: object) -> object:
    """The function below decorators that name what they wrap."""
    for _ in range(_MAX_WRAPPED):
        inner = attribute(function, "__wrapped__")
        if type(inner) is not FunctionType:
            break
        function = inner
    return function


def _annotations(function: FunctionType) -> dict[str, object]:
    if sys.version_info >= (3, 14):  # reading them would run their expressions
        from annotationlib import Format, get_annotations

        return dict(get_annotations(function, format=Format.STRING))
    return text_keys(function.__annotations__)


def _annotation(found: object, reading: Reading) -> str:
    if is_a(found, str):
        return cut(one_line(clean(text_of(found))), 60)
    if found is None:
        return "None"
    if is_a(found, type):
        return qualified_name(found)  # type: ignore[arg-type]
    is_generic = is_one_of(type(found), (GenericAlias, UnionType))
    if is_generic or qualified_name(type(found)).startswith("typing."):
        return cut(one_line(reading.asked(found)), 60)
    return ""


def signature(function: FunctionType, reading: Reading, *, is_bound: bool = False) -> str:
    """A function's parameters as they are written: `(x, /, y: int = 1, *, z)`."""
    code: CodeType = function.__code__
    names = list(code.co_varnames)
    num_places = code.co_argcount
    if num_places + code.co_kwonlyargcount > _MAX_PARAMETERS:
        return f"({num_places + code.co_kwonlyargcount} parameters)"
    num_named = num_places + code.co_kwonlyargcount
    annotations = _annotations(function)
    given = function.__defaults__
    by_place = [] if given is None else list(tuple.__iter__(given))
    defaults: dict[str, object] = dict(
        zip(reversed(names[:num_places]), reversed(by_place), strict=False)
    )
    defaults |= text_keys(function.__kwdefaults__)

    def shown(name: str, stars: str = "") -> str:
        text = stars + name
        kind = _annotation(annotations[name], reading) if name in annotations else ""
        text += f": {kind}" if kind else ""
        if name not in defaults:
            return text
        equals = " = " if kind else "="
        return f"{text}{equals}{reading.brief_of(name, defaults[name], 24)}"

    parts = [shown(name) for name in names[:num_places]]
    if code.co_posonlyargcount:
        parts.insert(code.co_posonlyargcount, "/")
    rest = names[num_named:]
    if code.co_flags & inspect.CO_VARARGS:
        parts.append(shown(rest.pop(0), "*"))
    elif code.co_kwonlyargcount:
        parts.append("*")
    parts += [shown(name) for name in names[num_places:num_named]]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parts.append(shown(rest.pop(0), "**"))
    if is_bound:
        parts = parts[2 if parts[1:2] == ["/"] else 1 :]
    returns = _annotation(annotations["return"], reading) if "return" in annotations else ""
    return f"({', '.join(parts)})" + (f" -> {returns}" if returns else "")


def _function_head(value: Any, reading: Reading) -> str:
    function = _unwrapped(value)
    if type(function) is not FunctionType:
        return type_name(value)
    flags = function.__code__.co_flags
    kind = (
        "async function"
        if flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
        else "generator function"
        if flags & inspect.CO_GENERATOR
        else "function"
    )
    module = text_of(function.__module__)
    origin = f" from {module}" if module not in ("", "__main__") else ""
    name = text_of(function.__qualname__).rpartition("<locals>.")[2]
    return cut(f"{kind} {name}{signature(function, reading)}{origin}", reading.max_chars)


def _function_body(value: Any, _reading: Reading) -> str:
    function = _unwrapped(value)
    return _doc_line(function.__doc__) if type(function) is FunctionType else ""


def _method_head(value: Any, reading: Reading) -> str:
    function = value.__func__
    if type(function) is not FunctionType:
        return type_name(value)
    owner = value.__self__
    cls = owner if is_a(owner, type) else type(owner)
    parameters = signature(function, reading, is_bound=True)
    return f"method {text_of(function.__name__)}{parameters} of {qualified_name(cls)}"


def _method_body(value: Any, reading: Reading) -> str:
    return _function_body(value.__func__, reading)


def _builtin_head(value: Any, _reading: Reading) -> str:
    parameters = re.sub(r"\$\w+(?:, /)?(?:, )?", "", text_of(value.__text_signature__)) or "(…)"
    owner = getattr(value, "__objclass__", None)  # the value's type is C's own
    name = f"{qualified_name(owner)}.{value.__name__}" if owner else value.__name__
    return f"builtin function {name}{one_line(parameters)}"


def _partial_head(value: Any, reading: Reading) -> str:
    function = value.func
    name = text_of(function.__qualname__) if type(function) is FunctionType else type_name(function)
    parts = [reading.brief(one, 24) for one in value.args]
    parts += [
        f"{key}={reading.brief_of(key, item, 24)}"
        for key, item in text_keys(value.keywords).items()
    ]
    return f"partial of {name} with {', '.join(parts) or 'no arguments'}"


# --- classes


def _class_head(value: Any, _reading: Reading) -> str:
    bases = [qualified_name(base) for base in mro(value)[1:] if base is not object]
    of = f", derived from {listed(bases[:4], 120, len(bases[4:]))}" if bases else ""
    return f"class {qualified_name(value)}{of}"


def _class_body(value: Any, reading: Reading) -> str:
    own = class_dict(value)
    members = own.get("_member_map_")
    if any(package == "enum" and name == "Enum" for package, name, _ in library_types(value)):
        return f"members: {listed(list(text_keys(members)), reading.max_chars - 9)}"
    start = class_attribute(value, "__init__")
    name, call = short_name(value), ""
    if type(start) is FunctionType:
        call = f"call: {name}{signature(start, reading, is_bound=True).removesuffix(' -> None')}"
    kinds = (FunctionType, classmethod, staticmethod, property, functools.cached_property)
    names = [
        key for key, item in own.items() if is_one_of(type(item), kinds) and not key.startswith("_")
    ]
    doc = _doc_line(own.get("__doc__"))
    room = max(80, reading.max_chars - len(call) - _DOC_CHARS)
    return _lines(
        "" if doc.startswith(f"{name}(") else doc,  # what `@dataclass` writes
        cut(call, reading.max_chars // 2),
        _model_fields(value, reading),
        f"has: {listed(names, room)}" if names else "",
    )


def _model_fields(value: type, reading: Reading) -> str:
    """The fields of a pydantic model, whose `__init__` does not name them."""
    if type(class_attribute(value, "__pydantic_fields__")) is not dict:
        return ""
    fields = [
        f"{name}: {_annotation(attribute(field, 'annotation'), reading)}".removesuffix(": ")
        for name, field in declared_fields(value)
    ]
    return f"fields: {listed(fields, reading.max_chars // 2)}" if fields else ""


# --- modules


def _module_head(value: Any, _reading: Reading) -> str:
    held = instance_dict(value)
    version = text_of(held.get("__version__"))
    return f"module {text_of(held.get('__name__'))[:80]}" + (f" {version[:40]}" if version else "")


def _module_body(value: Any, reading: Reading) -> str:
    held = instance_dict(value)
    origin = text_of(held.get("__file__"))
    doc = _doc_line(held.get("__doc__"))
    if doc or "site-packages" in origin or not origin:
        return doc
    names = [name for name in islice(held, 200) if not name.startswith("_")]
    return f"has: {listed(names, reading.max_chars - 5)}"


FUNCTION: Final = Kind(_function_head, _function_body, holds_data=False)
METHOD: Final = Kind(_method_head, _method_body, holds_data=False)
BUILTIN: Final = Kind(
    _builtin_head, lambda value, _reading: _doc_line(value.__doc__), holds_data=False
)
PARTIAL: Final = Kind(_partial_head, holds_data=False)
CLASS: Final = Kind(_class_head, _class_body, holds_data=False)
MODULE: Final = Kind(_module_head, _module_body, holds_data=False)

_BY_TYPE: Final = (
    (FunctionType, FUNCTION),
    (type(functools.lru_cache(len)), FUNCTION),
    (MethodType, METHOD),
    (BuiltinFunctionType, BUILTIN),
    (MethodDescriptorType, BUILTIN),
    (WrapperDescriptorType, BUILTIN),
    (functools.partial, PARTIAL),
)


def definition_kind(value: object) -> Kind | None:
    """The kind of a function, a class or a module; None for any other value."""
    for cls, kind in _BY_TYPE:
        if type(value) is cls:
            return kind
    if is_a(value, type):
        return CLASS
    return MODULE if is_a(value, ModuleType) else None
