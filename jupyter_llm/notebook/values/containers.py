"""Summarizes numbers, texts, containers and objects by the builtin types' own methods.

A subclass is read by the builtin's methods, so its overrides do not run. Fields are read where they
are stored.
"""

from __future__ import annotations

from argparse import Namespace
from array import array
from collections import ChainMap, UserDict, UserList, UserString, deque
from collections.abc import Callable, Iterable
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final

from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.values.kinds import (
    ITEM_CHARS,
    MARGIN,
    Kind,
    Reading,
    cut,
    listed,
    type_name,
)
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    instance_dict,
    is_a,
    key_name,
    mro,
    own_package,
    text_keys,
    text_of,
)
from jupyter_llm.notebook.values.redaction import scrub

_NUM_TYPED: Final = 1000  # items that are read for the list of types
_NUM_BITS: Final = 512  # longer integers are described by their length
_NUM_ITEMS: Final = 24  # most items to read; the room decides the number shown
_MAX_FIELDS: Final = 40
# These show all their content, in C, which cannot be interrupted.
_SHOW_CONTENT: Final = tuple(
    cls.__repr__
    for cls in (object, UserDict, UserList, UserString, ChainMap, Namespace, SimpleNamespace)
)
_Inline = Callable[[Any, Reading, int], str]
_OWN_ZONES: Final = ("datetime", "zoneinfo", "pytz", "dateutil")


def _label_of(value: object, base: type) -> str:
    own = type_name(value)
    return own if type(value) is base else f"{own} ({base.__name__})"


def _int(value: Any) -> str:
    bits = int.bit_length(value)
    return int.__repr__(value) if bits <= _NUM_BITS else f"(an integer of {bits} bits)"


def _number(base: type, show: Callable[[Any], str]) -> Kind:
    return Kind(
        lambda value, _reading: f"{_label_of(value, base)} {show(value)}",
        inline=lambda value, _reading, _room: show(value),
    )


def _text(base: Any, size: Callable[[int], str]) -> Kind:
    def inline(value: Any, _reading: Reading, room: int) -> str:
        # Read beyond the room, so that a secret at its end is complete and recognized.
        start = base.__getitem__(value, slice(0, room + MARGIN))
        if base is str:
            shown: object = scrub(start)
        else:
            shown = scrub(bytes(start).decode("latin-1")).encode("latin-1", "replace")
        return cut(repr(shown), room, base.__len__(value))

    def head(value: Any, reading: Reading) -> str:
        head = f"{_label_of(value, base)} of {size(base.__len__(value))}: "
        return head + inline(value, reading, reading.max_chars - len(head))

    return Kind(head, inline=inline)


def _types(items: Iterable[object]) -> str:
    """Return the types of the first items: `int, str`."""
    return listed(list(dict.fromkeys(map(type_name, islice(items, _NUM_TYPED)))), 160)


def _container(head: Callable[[Any, Reading], str], inline: _Inline) -> Kind:
    def body(value: Any, reading: Reading) -> str:
        text = inline(value, reading, reading.max_chars)
        return "" if text in ("[]", "{}", "()") else text

    return Kind(head, body, inline, holds_items=True)


def _sequence(base: Any, brackets: str) -> Kind:
    size = base.__len__

    def head(value: Any, _reading: Reading) -> str:
        types = f" of {_types(base.__iter__(value))}" if size(value) else ""
        return f"{_label_of(value, base)}, {count_of(size(value), 'item')}{types}"

    def inline(value: Any, reading: Reading, room: int) -> str:
        length = size(value)
        items = list(islice(base.__iter__(value), min(_NUM_ITEMS, max(1, room // 4))))
        each = max(8, min(ITEM_CHARS, room - 8))
        parts = [reading.brief(item, each) for item in items]
        if base in (set, frozenset) and length == len(items):
            parts.sort()  # their order differs between kernels
        text = listed(parts, room - 2, length - len(parts))
        comma = "," if base is tuple and length == 1 else ""
        return f"{brackets[0]}{text}{comma}{brackets[-1]}"

    return _container(head, inline)


def _mapping_head(value: Any, _reading: Reading) -> str:
    length = dict.__len__(value)
    head = f"{_label_of(value, dict)}, {count_of(length, 'item')}"
    keys, items = _types(dict.keys(value)), _types(dict.values(value))
    return f"{head}, keys: {keys}; values: {items}" if length else head


def _mapping_inline(value: Any, reading: Reading, room: int) -> str:
    entries = list(islice(dict.items(value), 200))
    names = {text_of(key) for key, _ in entries}
    if "PATH" in names and not names.isdisjoint({"HOME", "USERPROFILE"}):  # private
        return "{the environment; values not shown}"
    each = max(8, min(ITEM_CHARS, room - 8))
    parts = [
        f"{reading.brief(key, 32)}: {reading.brief_of(key_name(key), item, each)}"
        for key, item in entries[: min(_NUM_ITEMS, max(1, room // 6))]
    ]
    return f"{{{listed(parts, room - 2, dict.__len__(value) - len(parts))}}}"


ENVIRONMENT: Final = Kind(lambda _value, _reading: "the environment; values not shown")
"""The kind of `os.environ`."""

_VIEWS: Final[tuple[Any, ...]] = (type({}.keys()), type({}.values()), type({}.items()))
_KINDS: Final[tuple[tuple[Any, Kind], ...]] = (
    (type(None), Kind(lambda _value, _reading: "None")),
    (bool, _number(bool, bool.__repr__)),
    (int, _number(int, _int)),
    (float, _number(float, float.__repr__)),
    (complex, _number(complex, complex.__repr__)),
    (str, _text(str, lambda num: count_of(num, "character"))),
    *((base, _text(base, lambda num: f"length {num}")) for base in (bytes, bytearray)),
    *((base, _sequence(base, "[]")) for base in (list, deque, array)),
    *((view, _sequence(view, "[]")) for view in _VIEWS),
    *((base, _sequence(base, "{}")) for base in (set, frozenset)),
    (tuple, _sequence(tuple, "()")),
    (dict, _container(_mapping_head, _mapping_inline)),
)
_BUILTINS: Final = {id(cls): kind for cls, kind in _KINDS}


def builtin_kind(value: object) -> Kind | None:
    """Return the kind of a value whose type is a builtin or derived from one."""
    for entry in mro(type(value)):
        if kind := _BUILTINS.get(id(entry)):
            return kind
    return None


def _declared_fields(cls: type) -> dict[str, object]:
    return text_keys(class_attribute(cls, "__dataclass_fields__"))


def _is_named_tuple(value: object) -> bool:
    return is_a(value, tuple) and type(class_attribute(type(value), "_fields")) is tuple


def fields_of(value: Any) -> dict[str, object]:
    """Return an instance's fields by name, without those that its repr omits."""
    if _is_named_tuple(value):
        names = class_attribute(type(value), "_fields")
        return dict(zip(map(text_of, names), tuple.__iter__(value), strict=False))
    if declared := _declared_fields(type(value)):
        shown = (key for key, field in declared.items() if attribute(field, "repr") is not False)
        stored = {name: attribute(value, name) for name in shown}
        return {name: one for name, one in stored.items() if one is not ABSENT}
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


def _as_str(value: Any, reading: Reading, room: int) -> str:
    zone = getattr(value, "tzinfo", None)
    is_own = zone is None or own_package(zone) in _OWN_ZONES  # another's `tzname` would run
    return cut(str(value) if is_own else reading.asked(value), room)


def _in_a_line(inline: _Inline) -> Kind:
    return Kind(
        lambda value, reading: inline(value, reading, reading.max_chars),
        inline=inline,
        holds_items=True,
    )


OBJECT: Final = _in_a_line(_fields)
EXCEPTION: Final = _in_a_line(_exception)
AS_STR: Final = Kind(
    lambda value, reading: f"{type_name(value)} {_as_str(value, reading, reading.max_chars - 80)}",
    inline=_as_str,
)
# Only the library's own classes, no subclasses.
OWN_OBJECTS: Final = dict.fromkeys(
    (
        *(("datetime", name) for name in ("datetime", "date", "timedelta")),
        *(("pandas", name) for name in ("Timestamp", "Timedelta", "Period")),
        *(("decimal", "Decimal"), ("fractions", "Fraction")),
    ),
    AS_STR,
)


def record_kind(value: object) -> Kind | None:
    """Return the kind of a value whose class declares fields; None for others."""
    return OBJECT if _declared_fields(type(value)) or _is_named_tuple(value) else None


def object_kind(value: object) -> Kind | None:
    """Return the kind of an instance that can be read without its own code; None for others."""
    if is_a(value, BaseException):
        return EXCEPTION
    shown = class_attribute(type(value), "__repr__")
    return OBJECT if any(shown is one for one in _SHOW_CONTENT) else None
