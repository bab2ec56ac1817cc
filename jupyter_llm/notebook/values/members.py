"""What can be read from a value by name: its attributes, its columns or keys.

None means that nobody can tell without running code of the user's, as for a class with
`__getattr__`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    class_dict,
    instance_dict,
    is_a,
    library_folders,
    mro,
    own_package,
    short_name,
    text_keys,
    text_of,
)
from jupyter_llm.notebook.values.tables import column, column_labels, held_type

_MAX_NAMES: Final = 5_000
_OPENING: Final = ("__getattr__", "__getattribute__", "__dir__")
# What pandas finds beside its classes' own attributes are columns and labels, which we know.
_ACCESSORS: Final = {
    "str": ("object", "str"),
    "dt": ("datetime64", "timedelta64", "period"),
    "cat": ("category",),
}


def attributes(value: object) -> frozenset[str] | None:
    """The public attributes of a value, those of its class included."""
    if type(value) is ModuleType:
        return _of_module(value)
    if type(value) is type:
        return _public({name for entry in mro(value) for name in text_keys(class_dict(entry))})
    is_pandas = own_package(value) == "pandas"
    held: Iterable[str] | None = instance_dict(value)
    if is_pandas and short_name(type(value)) in ("DataFrame", "Series"):
        held = column_labels(value) if short_name(type(value)) == "DataFrame" else ()
    elif is_a(value, type) or _is_open(type(value)):
        return None  # a metaclass, too, may show more
    if held is None:
        return None
    found = {*held, *(name for entry in mro(type(value)) for name in text_keys(class_dict(entry)))}
    return _public(found - _missing_accessors(value) if is_pandas else found)


def _missing_accessors(value: Any) -> set[str]:
    """What pandas refuses to look into for what a series holds."""
    held = held_type(value) if short_name(type(value)) == "Series" else ""
    fitting = next((name for name, types in _ACCESSORS.items() if held.startswith(types)), "")
    return {*_ACCESSORS, "sparse", "list", "struct"} - {fitting}


def _is_open(cls: type) -> bool:
    """Whether a class decides by code what attributes there are, and not as a type of C does."""
    found = (class_attribute(cls, name) for name in _OPENING)
    own = (one for one in found if one is not ABSENT and one is not object.__dir__)
    return any(short_name(type(one)) != "wrapper_descriptor" for one in own)


def _of_module(module: ModuleType) -> frozenset[str] | None:
    held = instance_dict(module)
    if "__getattr__" in held:
        place = text_of(held.get("__file__", ""))
        if not place.startswith(library_folders()):
            return None
    listed = held.get("__all__", ())
    return _public({*held, *(map(text_of, listed) if type(listed) in (list, tuple) else ())})


def _public(names: set[str]) -> frozenset[str] | None:
    found = frozenset(name for name in names if name.isidentifier() and not name.startswith("_"))
    return found if len(found) <= _MAX_NAMES else None


def keys(value: object) -> tuple[str, ...] | None:
    """The texts that a value can be subscripted by: a frame's columns, a dictionary's keys."""
    found = column_labels(value)
    if type(value) in (dict, OrderedDict):
        found = tuple(key for key in list(value) if type(key) is str)  # type: ignore[call-overload]
    return found if found is not None and len(found) <= _MAX_NAMES else None


def member(value: object, name: str) -> Any:
    """The attribute of a value where it is stored, or ABSENT where code would have to say it."""
    found = attribute(value, name)
    if found is not ABSENT:
        return found
    if type(value) is ModuleType:
        inner = f"{text_of(instance_dict(value).get('__name__', ''))}.{name}"
        return sys.modules.get(inner, ABSENT)
    labels = column_labels(value)
    if labels and name in labels and class_attribute(type(value), name) is ABSENT:
        return column(value, name)
    return ABSENT


def item(value: object, key: str) -> Any:
    """What a value holds under a text, or ABSENT."""
    known = keys(value)
    if known is None or key not in known:
        return ABSENT
    return value[key] if is_a(value, dict) else column(value, key)  # type: ignore[index]
