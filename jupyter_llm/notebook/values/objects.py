"""How instances of classes are told: their fields, read where they are stored."""

from __future__ import annotations

from argparse import Namespace
from collections import ChainMap, UserDict, UserList, UserString
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, GeneratorType, SimpleNamespace
from typing import Any, Final

from jupyter_llm.notebook.values.kinds import ITEM_CHARS, Kind, Reading, cut, listed, type_name
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    instance_dict,
    is_a,
    is_one_of,
    library_types,
    own_package,
    short_name,
    text_of,
)

_MAX_FIELDS: Final = 40
# What these show is all that they hold, written in C, so that nobody could break it off.
_WHOLE: Final = tuple(cls.__repr__ for cls in (UserDict, UserList, UserString, ChainMap, Namespace))


def declared_fields(cls: type) -> list[tuple[str, object]]:
    """The fields that a class declares, as dataclasses, attrs and pydantic keep them."""
    for name in ("__dataclass_fields__", "__pydantic_fields__"):
        found = class_attribute(cls, name)
        if type(found) is dict:
            return [(text_of(key), field) for key, field in found.items()]
    found = class_attribute(cls, "__attrs_attrs__")
    if not is_a(found, tuple):
        return []
    return [(text_of(attribute(field, "name")), field) for field in tuple.__iter__(found)]


def _fields(value: object) -> dict[str, object]:
    """What an instance holds in its fields; those left out of its repr are left out here."""
    found: dict[str, object] = {}
    for name, field in declared_fields(type(value))[:_MAX_FIELDS]:
        held = attribute(value, name)
        if held is not ABSENT and attribute(field, "repr") is not False:
            found[name] = held
    return found


def _public(value: object) -> dict[str, object]:
    held = instance_dict(value)
    return {name: held[name] for name in list(held)[:_MAX_FIELDS] if not name.startswith("_")}


def _named(fields: dict[str, object], reading: Reading, room: int) -> str:
    each = max(8, min(2 * ITEM_CHARS, room - 8))
    parts = [f"{name}={reading.brief_of(name, item, each)}" for name, item in fields.items()]
    return listed(parts, room)


def _record_head(value: Any, reading: Reading) -> str:
    return _record_inline(value, reading, reading.max_chars)


def _record_inline(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    return f"{name}({_named(_fields(value), reading, room - len(name) - 2)})"


def _object_head(value: Any, _reading: Reading) -> str:
    return f"{type_name(value)} object"


def _object_body(value: Any, reading: Reading) -> str:
    fields = _public(value)
    return f"attributes: {_named(fields, reading, reading.max_chars - 12)}" if fields else ""


def _object_inline(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    return f"<{name} {_named(_public(value), reading, room - len(name) - 3)}>".replace(" >", ">")


def _member(value: Any, reading: Reading, room: int = ITEM_CHARS) -> str:
    label = f"{short_name(type(value))}.{text_of(attribute(value, '_name_'))}"
    told = reading.brief_of(label, attribute(value, "_value_"), room)
    return f"{type_name(value)}.{label.rpartition('.')[2]} ({told})"


def _exception(value: Any, reading: Reading, room: int) -> str:
    name = type_name(value)
    arguments = [reading.brief(one, 200) for one in BaseException.args.__get__(value)]  # type: ignore[attr-defined]
    return f"{name}({listed(arguments, room - len(name) - 2)})"


def is_known_zone(zone: object) -> bool:
    """Whether a time zone is none, or a library's own, so that naming it runs nothing else."""
    return zone is None or own_package(zone) in ("datetime", "zoneinfo", "pytz", "dateutil")


def _moment(value: Any, reading: Reading, room: int) -> str:
    if is_known_zone(value.tzinfo):
        return cut(str(value), room)
    return cut(reading.asked(value), room)


def _plain(value: Any, _reading: Reading, room: int) -> str:
    return cut(str(value), room)


def _head_of(inline: Callable[[Any, Reading, int], str]) -> Callable[[Any, Reading], str]:
    return lambda value, reading: (
        f"{type_name(value)} " + inline(value, reading, reading.max_chars - 80)
    )


def _iterator_head(value: Any, _reading: Reading) -> str:
    return f"{type_name(value)}, an iterator; it was not advanced"


def _awaitable_head(value: Any, _reading: Reading) -> str:
    return f"{type_name(value)} {value.__qualname__}; it was not run"


RECORD: Final = Kind(_record_head, inline=_record_inline, holds_items=True)
OBJECT: Final = Kind(_object_head, _object_body, _object_inline, holds_items=True)
MEMBER: Final = Kind(_member, inline=_member)
EXCEPTION: Final = Kind(
    lambda value, reading: "exception " + _exception(value, reading, reading.max_chars - 10),
    inline=_exception,
    holds_items=True,
)
_MOMENT: Final = Kind(_head_of(_moment), inline=_moment)
_PLAIN: Final = Kind(_head_of(_plain), inline=_plain)

# Of these only the library's own classes.
OWN_OBJECTS: Final = {
    ("datetime", "datetime"): _MOMENT,
    ("datetime", "date"): _PLAIN,
    ("datetime", "timedelta"): _PLAIN,
    ("decimal", "Decimal"): _PLAIN,
    ("fractions", "Fraction"): _PLAIN,
    ("pandas", "Timestamp"): _MOMENT,
    ("pandas", "Timedelta"): _PLAIN,
    ("pandas", "Period"): _PLAIN,
}
ITERATOR: Final = Kind(_iterator_head, holds_data=False)
AWAITABLE: Final = Kind(_awaitable_head, holds_data=False)


def is_member(value: object) -> bool:
    """Whether a value is a member of an enumeration."""
    return attribute(value, "_name_") is not ABSENT and any(
        package == "enum" and name == "Enum" for package, name, _ in library_types(type(value))
    )


def object_kind(value: object) -> Kind | None:
    """The kind of an instance that can be told without asking it; None for others."""
    cls = type(value)
    if declared_fields(cls):
        return RECORD
    if is_one_of(cls, (GeneratorType, CoroutineType, AsyncGeneratorType)):
        return AWAITABLE
    if is_a(value, BaseException):
        return EXCEPTION
    if is_a(value, SimpleNamespace):
        return OBJECT
    shown = class_attribute(cls, "__repr__")
    if any(shown is one for one in _WHOLE):
        return OBJECT
    if shown is not object.__dict__["__repr__"]:
        return None
    return OBJECT if class_attribute(cls, "__next__") is ABSENT else ITERATOR
