"""How numbers, texts and containers are told, through the builtin types' own methods only.

A subclass of a builtin is read by the builtin's methods: what it overrides is not run.
"""

from __future__ import annotations

import gc
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.values.kinds import ITEM_CHARS, Kind, Reading, cut, listed, type_name
from jupyter_llm.notebook.values.peek import (
    attribute,
    class_attribute,
    is_a,
    key_name,
    mro,
    qualified_name,
    text_of,
)
from jupyter_llm.notebook.values.redaction import scrub

_NUM_TYPED: Final = 1000  # how many items are looked at to say of which types they are
_MARGIN: Final = 4096
_NUM_BITS: Final = 512  # a longer integer is told by its length
_NUM_ITEMS: Final = 24  # how many are read at most; how many are shown depends on the room


def _label_of(value: object, base: type) -> str:
    own = type_name(value)
    return own if type(value) is base else f"{own} ({base.__name__})"


# --- numbers and texts


def _int(value: Any) -> str:
    bits = int.bit_length(value)
    return int.__repr__(value) if bits <= _NUM_BITS else f"(an integer of {bits} bits)"


def _text_inline(value: Any, _reading: Reading, room: int) -> str:
    # Read beyond the room, lest half a secret stand at its end.
    start = str.__getitem__(value, slice(0, room + _MARGIN))
    return cut(repr(scrub(start)), room, str.__len__(value))


def _text_head(value: Any, reading: Reading) -> str:
    head = f"{_label_of(value, str)} of {count_of(str.__len__(value), 'character')}: "
    return head + _text_inline(value, reading, reading.max_chars - len(head))


def _bytes_inline(value: Any, _reading: Reading, room: int) -> str:
    base = bytes if is_a(value, bytes) else bytearray
    start = bytes(base.__getitem__(value, slice(0, room + _MARGIN)))
    shown = scrub(start.decode("latin-1")).encode("latin-1", "replace")
    return cut(repr(shown), room, base.__len__(value))


def _bytes_head(value: Any, reading: Reading) -> str:
    base = bytes if is_a(value, bytes) else bytearray
    head = f"{_label_of(value, base)} of length {base.__len__(value)}: "
    return head + _bytes_inline(value, reading, min(200, reading.max_chars - len(head)))


def _number(base: type, show: Callable[[Any], str]) -> Kind:
    return Kind(
        lambda value, _reading: f"{_label_of(value, base)} {show(value)}",
        inline=lambda value, _reading, _room: show(value),
    )


def _constant(text: str) -> Kind:
    return Kind(lambda _value, _reading: text, inline=lambda _value, _reading, _room: text)


# --- sequences and sets


def _types(items: Iterable[object]) -> str:
    """Which types items have, the most frequent first: `9 int, 1 str`."""
    counts: dict[int, int] = {}
    classes: dict[int, type] = {}
    for item in items:
        cls = type(item)
        classes[id(cls)] = cls  # by id: a metaclass may have its own `__hash__`
        counts[id(cls)] = counts.get(id(cls), 0) + 1
    ranked = sorted(counts, key=lambda key: -counts[key])
    names = [qualified_name(classes[key]) for key in ranked[:4]]
    if len(ranked) == 1:
        return names[0]
    parts = [f"{counts[key]} {name}" for key, name in zip(ranked, names, strict=False)]
    return listed(parts, 160, len(ranked) - len(parts))


def _of_types(items: list[object], length: int) -> str:
    if not items:
        return ""
    return f" of {_types(items)}" + (f" (the first {len(items)})" if length > len(items) else "")


def _sequence(base: Any, brackets: str, ends: Callable[[Any, int], list[object]]) -> Kind:
    size = base.__len__

    def head(value: Any, _reading: Reading) -> str:
        length = size(value)
        types = _of_types(ends(value, _NUM_TYPED), length)
        return f"{_label_of(value, base)}, {count_of(length, 'item')}{types}"

    def body(value: Any, reading: Reading) -> str:
        return inline(value, reading, reading.max_chars) if size(value) else ""

    def inline(value: Any, reading: Reading, room: int) -> str:
        length = size(value)
        items = ends(value, min(_NUM_ITEMS, max(1, room // 4)))
        each = max(8, min(ITEM_CHARS, room - 8))
        parts = [reading.brief(item, each) for item in items]
        if base in (set, frozenset) and length == len(items):
            parts.sort()  # their order differs from one kernel to the next
        text = listed(parts, room - 2, length - len(parts))
        comma = "," if base is tuple and length == 1 else ""
        return f"{brackets[0]}{text}{comma}{brackets[-1]}"

    return Kind(head, body, inline, holds_items=True)


def _first(base: Any) -> Callable[[Any, int], list[object]]:
    return lambda value, num: list(islice(base.__iter__(value), num))


# --- mappings


def _entries(value: Any, num: int) -> list[tuple[object, object]]:
    return list(islice(dict.items(value), num))


def _is_environment(value: Any) -> bool:
    """Whether a mapping is a copy of the environment, whose values are nobody's business."""
    names = {text_of(key) for key, _ in _entries(value, 200)}
    return "PATH" in names and not names.isdisjoint({"HOME", "USERPROFILE"})


def _mapping_head(value: Any, _reading: Reading) -> str:
    length = dict.__len__(value)
    head = f"{_label_of(value, dict)}, {count_of(length, 'item')}"
    entries = _entries(value, _NUM_TYPED)
    if not entries:
        return head
    keys, items = (_types(side) for side in zip(*entries, strict=True))
    sampled = f" (the first {len(entries)})" if length > len(entries) else ""
    return f"{head}, keys: {keys}; values: {items}{sampled}"


def _mapping_body(value: Any, reading: Reading) -> str:
    return _mapping_inline(value, reading, reading.max_chars) if dict.__len__(value) else ""


def _mapping_inline(value: Any, reading: Reading, room: int) -> str:
    if _is_environment(value):
        return f"{{{_names(value, room - 2)}}}"
    entries = _entries(value, min(_NUM_ITEMS, max(1, room // 6)))
    each = max(8, min(ITEM_CHARS, room - 8))
    parts = [
        f"{reading.brief(key, 32)}: {reading.brief_of(key_name(key), item, each)}"
        for key, item in entries
    ]
    return f"{{{listed(parts, room - 2, dict.__len__(value) - len(parts))}}}"


def _names(value: Any, room: int) -> str:
    """The keys of a mapping whose values are not shown."""
    names = [cut(text_of(key), 32) for key, _ in _entries(value, 100)]
    return f"values not shown: {listed(names, room - 18, dict.__len__(value) - len(names))}"


def _environment_head(value: Any, _reading: Reading) -> str:
    held = attribute(value, "_data")
    num = dict.__len__(held) if is_a(held, dict) else 0
    return f"the environment, {count_of(num, 'variable')}; values not shown"


# --- named tuples


def tuple_fields(value: object) -> tuple[str, ...]:
    """The names of a named tuple's fields; nothing for any other value."""
    names = class_attribute(type(value), "_fields")
    if not is_a(value, tuple) or type(names) is not tuple:
        return ()
    return tuple(text_of(name) for name in names)


def _record_inline(value: Any, reading: Reading, room: int) -> str:
    each = max(8, min(ITEM_CHARS, room - 8))
    names = tuple_fields(value)
    items = zip(names[:_NUM_ITEMS], tuple.__iter__(value), strict=False)
    parts = [f"{name}={reading.brief_of(name, item, each)}" for name, item in items]
    more = max(0, len(names) - _NUM_ITEMS)
    return f"{type_name(value)}({listed(parts, room - len(type_name(value)) - 2, more)})"


def _proxy(value: Any, reading: Reading, room: int = 0) -> str:
    (mapping,) = gc.get_referents(value)  # asking a proxy would ask what is behind it
    return f"mappingproxy of {reading.brief(mapping, (room or reading.max_chars) - 16)}"


RECORD: Final = Kind(
    lambda value, reading: "named tuple " + _record_inline(value, reading, reading.max_chars - 16),
    inline=_record_inline,
    holds_items=True,
)
# `os.environ`
ENVIRONMENT: Final = Kind(_environment_head)

_VIEWS: Final[tuple[Any, ...]] = (type({}.keys()), type({}.values()), type({}.items()))

_BUILTINS: Final[dict[int, Kind]] = {
    id(cls): kind
    for cls, kind in (
        (type(None), _constant("None")),
        (type(...), _constant("Ellipsis")),
        (type(NotImplemented), _constant("NotImplemented")),
        (bool, _number(bool, bool.__repr__)),
        (int, _number(int, _int)),
        (float, _number(float, float.__repr__)),
        (complex, _number(complex, complex.__repr__)),
        (str, Kind(_text_head, inline=_text_inline)),
        (bytes, Kind(_bytes_head, inline=_bytes_inline)),
        (bytearray, Kind(_bytes_head, inline=_bytes_inline)),
        (memoryview, Kind(lambda value, _reading: f"memoryview of {value.nbytes} bytes")),
        (
            array,
            _sequence(array, "[]", lambda value, num: list(array.__getitem__(value, slice(num)))),
        ),
        (list, _sequence(list, "[]", _first(list))),
        (tuple, _sequence(tuple, "()", _first(tuple))),
        (deque, _sequence(deque, "[]", _first(deque))),
        (set, _sequence(set, "{}", _first(set))),
        (frozenset, _sequence(frozenset, "{}", _first(frozenset))),
        *((view, _sequence(view, "[]", _first(view))) for view in _VIEWS),
        (MappingProxyType, Kind(_proxy, inline=_proxy, holds_items=True)),
        (dict, Kind(_mapping_head, _mapping_body, _mapping_inline, holds_items=True)),
    )
}


def builtin_kind(value: object) -> Kind | None:
    """The kind of a value whose type is a builtin, or derived from one."""
    for entry in mro(type(value)):
        if kind := _BUILTINS.get(id(entry)):
            return kind
    return None
