"""How instances of classes are told: their fields, read where they are stored."""

from __future__ import annotations

from argparse import Namespace
from collections import ChainMap, UserDict, UserList, UserString
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from jupyter_llm.notebook.values.kinds import ITEM_CHARS, Kind, Reading, cut, listed, type_name
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    instance_dict,
    is_a,
    own_package,
    text_of,
)

_MAX_FIELDS: Final = 40
# What these show is all that they hold, written in C, so that nobody could break it off.
_WHOLE: Final = tuple(
    cls.__repr__
    for cls in (object, UserDict, UserList, UserString, ChainMap, Namespace, SimpleNamespace)
)
_OWN_ZONES: Final = ("datetime", "zoneinfo", "pytz", "dateutil")


def declared_fields(cls: type) -> dict[str, object]:
    """The fields that a class declares, as dataclasses, attrs and pydantic keep them."""
    for name in ("__dataclass_fields__", "__pydantic_fields__"):
        found = class_attribute(cls, name)
        if type(found) is dict:
            return {text_of(key): field for key, field in found.items()}
    found = class_attribute(cls, "__attrs_attrs__")
    fields = tuple.__iter__(found) if is_a(found, tuple) else ()
    return {text_of(attribute(field, "name")): field for field in fields}


def _is_named_tuple(value: object) -> bool:
    return is_a(value, tuple) and type(class_attribute(type(value), "_fields")) is tuple


def fields_of(value: Any) -> dict[str, object]:
    """What an instance holds by name; those left out of its repr are left out here."""
    if _is_named_tuple(value):
        names = class_attribute(type(value), "_fields")
        return dict(zip(map(text_of, names), tuple.__iter__(value), strict=False))
    if declared := declared_fields(type(value)):
        shown = (key for key, field in declared.items() if attribute(field, "repr") is not False)
        held = {name: attribute(value, name) for name in shown}
        return {name: one for name, one in held.items() if one is not ABSENT}
    return {name: one for name, one in instance_dict(value).items() if not name.startswith("_")}


def _fields(value: Any, reading: Reading, room: int) -> str:
    name, fields = type_name(value), fields_of(value)
    few = list(fields.items())[:_MAX_FIELDS]
    each = max(8, min(2 * ITEM_CHARS, room - 8))
    parts = [f"{key}={reading.brief_of(key, item, each)}" for key, item in few]
    return f"{name}({listed(parts, room - len(name) - 2, len(fields) - len(few))})"


def _exception(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    arguments = [reading.brief(one, 200) for one in BaseException.args.__get__(value)]  # type: ignore[attr-defined]
    return f"{name}({listed(arguments, room - len(name) - 2)})"


def is_known_zone(zone: object) -> bool:
    """Whether a time zone is none, or a library's own, so that naming it runs nothing else."""
    return zone is None or own_package(zone) in _OWN_ZONES


def _said(value: Any, reading: Reading, room: int) -> str:
    is_own = is_known_zone(getattr(value, "tzinfo", None))
    return cut(str(value) if is_own else reading.asked(value), room)


def _in_a_line(inline: Callable[[Any, Reading, int], str]) -> Kind:
    return Kind(
        lambda value, reading: inline(value, reading, reading.max_chars),
        inline=inline,
        holds_items=True,
    )


OBJECT: Final = _in_a_line(_fields)
EXCEPTION: Final = _in_a_line(_exception)
SAID: Final = Kind(
    lambda value, reading: f"{type_name(value)} {_said(value, reading, reading.max_chars - 80)}",
    inline=_said,
)
# Of these only the library's own classes.
OWN_OBJECTS: Final = dict.fromkeys(
    (
        *(("datetime", name) for name in ("datetime", "date", "timedelta")),
        *(("pandas", name) for name in ("Timestamp", "Timedelta", "Period")),
        *(("decimal", "Decimal"), ("fractions", "Fraction")),
    ),
    SAID,
)


def record_kind(value: object) -> Kind | None:
    """The kind of a value whose class declares fields; None for others."""
    return OBJECT if declared_fields(type(value)) or _is_named_tuple(value) else None


def object_kind(value: object) -> Kind | None:
    """The kind of an instance that can be told without asking it; None for others."""
    if is_a(value, BaseException):
        return EXCEPTION
    shown = class_attribute(type(value), "__repr__")
    return OBJECT if any(shown is one for one in _WHOLE) else None
