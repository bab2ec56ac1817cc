"""How numbers, texts and containers are told, through the builtin types' own methods only.

A subclass of a builtin is read by the builtin's methods: what it overrides is not run.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
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
from jupyter_llm.notebook.values.peek import key_name, mro, text_of
from jupyter_llm.notebook.values.redaction import scrub

_NUM_TYPED: Final = 1000  # how many items are looked at to say of which types they are
_NUM_TYPES: Final = 4
_NUM_BITS: Final = 512  # a longer integer is told by its length
_NUM_ITEMS: Final = 24  # how many are read at most; how many are shown depends on the room


def _label_of(value: object, base: type) -> str:
    own = type_name(value)
    return own if type(value) is base else f"{own} ({base.__name__})"


# --- numbers and texts


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
        # Read beyond the room, lest half a secret stand at its end.
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


# --- sequences and sets


def _types(items: Iterable[object]) -> str:
    """Which types the first items have: `int, str`."""
    names = list(dict.fromkeys(type_name(item) for item in islice(items, _NUM_TYPED)))
    return listed(names[:_NUM_TYPES], 160, len(names[_NUM_TYPES:]))


def _sequence(base: Any, brackets: str) -> Kind:
    size = base.__len__

    def head(value: Any, _reading: Reading) -> str:
        types = f" of {_types(base.__iter__(value))}" if size(value) else ""
        return f"{_label_of(value, base)}, {count_of(size(value), 'item')}{types}"

    def body(value: Any, reading: Reading) -> str:
        return inline(value, reading, reading.max_chars) if size(value) else ""

    def inline(value: Any, reading: Reading, room: int) -> str:
        length = size(value)
        items = list(islice(base.__iter__(value), min(_NUM_ITEMS, max(1, room // 4))))
        each = max(8, min(ITEM_CHARS, room - 8))
        parts = [reading.brief(item, each) for item in items]
        if base in (set, frozenset) and length == len(items):
            parts.sort()  # their order differs from one kernel to the next
        text = listed(parts, room - 2, length - len(parts))
        comma = "," if base is tuple and length == 1 else ""
        return f"{brackets[0]}{text}{comma}{brackets[-1]}"

    return Kind(head, body, inline, holds_items=True)


# --- mappings


def _entries(value: Any, num: int) -> list[tuple[object, object]]:
    return list(islice(dict.items(value), num))


def _mapping_head(value: Any, _reading: Reading) -> str:
    length = dict.__len__(value)
    head = f"{_label_of(value, dict)}, {count_of(length, 'item')}"
    keys, items = _types(dict.keys(value)), _types(dict.values(value))
    return f"{head}, keys: {keys}; values: {items}" if length else head


def _mapping_body(value: Any, reading: Reading) -> str:
    return _mapping_inline(value, reading, reading.max_chars) if dict.__len__(value) else ""


def _mapping_inline(value: Any, reading: Reading, room: int) -> str:
    names = {text_of(key) for key, _ in _entries(value, 200)}
    # Of a copy of the environment the values are nobody's business.
    is_environment = "PATH" in names and not names.isdisjoint({"HOME", "USERPROFILE"})
    each = max(8, min(ITEM_CHARS, room - 8))
    start = "values not shown: " if is_environment else ""
    parts = [
        cut(text_of(key), 32)
        if is_environment
        else f"{reading.brief(key, 32)}: {reading.brief_of(key_name(key), item, each)}"
        for key, item in _entries(value, 100 if start else min(_NUM_ITEMS, max(1, room // 6)))
    ]
    more = dict.__len__(value) - len(parts)
    return f"{{{start}{listed(parts, room - len(start) - 2, more)}}}"


ENVIRONMENT: Final = Kind(lambda _value, _reading: "the environment; values not shown")
"""How `os.environ` is told."""

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
    (dict, Kind(_mapping_head, _mapping_body, _mapping_inline, holds_items=True)),
)
_BUILTINS: Final = {id(cls): kind for cls, kind in _KINDS}


def builtin_kind(value: object) -> Kind | None:
    """The kind of a value whose type is a builtin, or derived from one."""
    for entry in mro(type(value)):
        if kind := _BUILTINS.get(id(entry)):
            return kind
    return None
