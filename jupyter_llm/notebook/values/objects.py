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
    cls.__repr__ for cls in (UserDict, UserList, UserString, ChainMap, Namespace, SimpleNamespace)
)
_OWN_ZONES: Final = ("datetime", "zoneinfo", "pytz", "dateutil")


def declared_fields(cls: type) -> dict[str, object]:
    """The fields that a class declares, as dataclasses, attrs and pydantic keep them."""
    for name in ("__dataclass_fields__", "__pydantic_fields__"):
        found = class_attribute(cls, name)
        if type(found) is dict:
            return {text_of(key): field for key, field in found.items()}
    found = class_attribute(cls, "__attrs_attrs__")
    if not is_a(found, tuple):
        return {}
    return {text_of(attribute(field, "name")): field for field in tuple.__iter__(found)}


def _is_named_tuple(value: object) -> bool:
    return is_a(value, tuple) and type(class_attribute(type(value), "_fields")) is tuple


def fields_of(value: Any) -> dict[str, object]:
    """What an instance holds in its fields; those left out of its repr are left out here."""
    if _is_named_tuple(value):
        names = class_attribute(type(value), "_fields")
        return dict(zip(map(text_of, names), tuple.__iter__(value), strict=False))
    held = {
        name: attribute(value, name)
        for name, field in declared_fields(type(value)).items()
        if attribute(field, "repr") is not False
    }
    return {name: item for name, item in held.items() if item is not ABSENT}


def _public(value: object) -> dict[str, object]:
    return {name: one for name, one in instance_dict(value).items() if not name.startswith("_")}


def _named(fields: dict[str, object], reading: Reading, room: int) -> str:
    each = max(8, min(2 * ITEM_CHARS, room - 8))
    few = list(fields.items())[:_MAX_FIELDS]
    parts = [f"{name}={reading.brief_of(name, item, each)}" for name, item in few]
    return listed(parts, room, len(fields) - len(few))


def _record_inline(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    return f"{name}({_named(fields_of(value), reading, room - len(name) - 2)})"


def _exception_inline(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    arguments = [reading.brief(one, 200) for one in BaseException.args.__get__(value)]  # type: ignore[attr-defined]
    return f"{name}({listed(arguments, room - len(name) - 2)})"


def _object_head(value: Any, _reading: Reading) -> str:
    return f"{type_name(value)} object"


def _object_body(value: Any, reading: Reading) -> str:
    fields = _public(value)
    return f"attributes: {_named(fields, reading, reading.max_chars - 12)}" if fields else ""


def _object_inline(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    return f"<{name} {_named(_public(value), reading, room - len(name) - 3)}>".replace(" >", ">")


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


RECORD: Final = _in_a_line(_record_inline)
EXCEPTION: Final = _in_a_line(_exception_inline)
OBJECT: Final = Kind(_object_head, _object_body, _object_inline, holds_items=True)
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
    return RECORD if declared_fields(type(value)) or _is_named_tuple(value) else None


def object_kind(value: object) -> Kind | None:
    """The kind of an instance that can be told without asking it; None for others."""
    if is_a(value, BaseException):
        return EXCEPTION
    shown = class_attribute(type(value), "__repr__")
    is_plain = shown is object.__dict__["__repr__"] or any(shown is one for one in _WHOLE)
    return OBJECT if is_plain else None
