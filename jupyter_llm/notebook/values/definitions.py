"""Summarizes functions, classes and modules: signature, first line of the docstring, names."""

from __future__ import annotations

import functools
import inspect
import sys
from itertools import islice
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    class_dict,
    instance_dict,
    is_a,
    is_library_module,
    is_llm,
    is_one_of,
    mro,
    qualified_name,
    short_name,
    text_keys,
    text_of,
)
from jupyter_llm.notebook.values.redaction import scrub

_DOC_CHARS: Final = 200
_MAX_WRAPPED: Final = 20  # `__wrapped__` may lead in a circle
_NOTHING: Final = inspect.Parameter.empty
_CODE: Final = (
    *(FunctionType, MethodType, type(functools.lru_cache(len))),
    *(BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType),
)
_MEMBERS: Final = (FunctionType, classmethod, staticmethod, property, functools.cached_property)


class _Shown:
    """A text in a signature, in place of an object whose `repr` would run."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _doc_line(doc: object) -> str:
    """Return the first line of a docstring that is not blank."""
    lines = clean(text_of(doc)[:4096]).strip().splitlines()
    return cut(scrub(one_line(lines[0])), _DOC_CHARS) if lines else ""


def _unwrapped(function: Any) -> Any:
    """Return the function below a method, and below decorators that set `__wrapped__`."""
    if type(function) is MethodType:
        function = function.__func__
    for _ in range(_MAX_WRAPPED):
        inner = attribute(function, "__wrapped__")
        if type(inner) is not FunctionType:
            break
        function = inner
    return function


def _annotation(annotation: Any, reading: Reading) -> Any:
    if annotation is _NOTHING:
        return annotation
    name = qualified_name(annotation) if is_a(annotation, type) else text_of(annotation)
    return _Shown(cut(one_line(clean(name or reading.asked(annotation))), 60))


def signature(function: FunctionType, reading: Reading, *, is_bound: bool = False) -> str:
    """Return a function's parameters as they are written: `(x, /, y: int = 1, *, z)`."""
    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):  # reading annotations would run their expressions
        from annotationlib import Format

        options["annotation_format"] = Format.STRING
    if attribute(function, "__signature__") is not ABSENT:
        return "(…)"
    whole_signature = inspect.signature(function, follow_wrapped=False, **options)
    own = list(whole_signature.parameters.values())[is_bound:]
    shown = []
    for one in own:
        default = one.default
        if default is not _NOTHING:
            default = _Shown(reading.brief_of(one.name, default, 24))
        shown.append(one.replace(annotation=_annotation(one.annotation, reading), default=default))
    returns = _annotation(whole_signature.return_annotation, reading)
    return str(whole_signature.replace(parameters=shown, return_annotation=returns))


def _function_head(value: Any, reading: Reading) -> str:
    function = _unwrapped(value)
    if type(function) is not FunctionType:
        return reading.asked(value)
    name = text_of(function.__qualname__).rpartition("<locals>.")[2]
    if type(value) is MethodType:
        owner: Any = value.__self__
        of = qualified_name(owner) if is_a(owner, type) else type_name(owner)
        parameters = signature(function, reading, is_bound=True)
        return f"method {name.rpartition('.')[2]}{parameters} of {of}"
    flags = function.__code__.co_flags
    is_async = flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    kind = "async " if is_async else "generator " if flags & inspect.CO_GENERATOR else ""
    module = text_of(function.__module__)
    origin = f" from {module}" if module not in ("", "__main__") else ""
    return cut(f"{kind}function {name}{signature(function, reading)}{origin}", reading.max_chars)


def _class_head(value: Any, _reading: Reading) -> str:
    bases = [qualified_name(base) for base in mro(value)[1:] if base is not object]
    of = f", derived from {listed(bases[:4], 120, len(bases[4:]))}" if bases else ""
    return f"class {qualified_name(value)}{of}"


def _class_body(value: Any, reading: Reading) -> str:
    own = text_keys(class_dict(value))
    if members := list(text_keys(own.get("_member_map_"))):  # an enumeration
        return f"members: {listed(members, reading.max_chars - 9)}"
    start = class_attribute(value, "__init__")
    name, call = short_name(value), ""
    if type(start) is FunctionType:
        call = f"call: {name}{signature(start, reading, is_bound=True).removesuffix(' -> None')}"
    has = [key for key in own if is_one_of(type(own[key]), _MEMBERS) and not key.startswith("_")]
    doc = _doc_line(own.get("__doc__"))
    room = max(80, reading.max_chars - len(call) - _DOC_CHARS)
    lines = (
        "" if doc.startswith(f"{name}(") else doc,  # `@dataclass` writes such a docstring
        cut(call, reading.max_chars // 2),
        f"has: {listed(has, room)}" if has else "",
    )
    return "\n".join(filter(None, lines))


def _module_head(value: Any, _reading: Reading) -> str:
    attributes = instance_dict(value)
    version = text_of(attributes.get("__version__"))
    return f"module {text_of(attributes.get('__name__'))[:80]} {version[:40]}".rstrip()


def _module_body(value: Any, reading: Reading) -> str:
    attributes = instance_dict(value)
    doc = _doc_line(attributes.get("__doc__"))
    if doc or is_library_module(value):
        return doc
    names = [name for name in islice(attributes, 200) if not name.startswith("_")]
    return f"has: {listed(names, reading.max_chars - 5)}"


FUNCTION: Final = Kind(
    _function_head,
    lambda value, _reading: _doc_line(_unwrapped(value).__doc__),
    holds_data=False,
)
CLASS: Final = Kind(_class_head, _class_body, holds_data=False)
MODULE: Final = Kind(_module_head, _module_body, holds_data=False)
MODEL: Final = Kind(lambda _value, _reading: "the language model in this kernel", holds_data=False)


def definition_kind(value: object) -> Kind | None:
    """Return the kind of a function, a class, a module or `llm`; None for other values."""
    if is_one_of(type(value), _CODE):
        return FUNCTION
    if is_a(value, type):
        return CLASS
    if is_a(value, ModuleType):
        return MODULE
    return MODEL if is_llm(value) else None
