"""Converts values to JSON and back, checked against the types of their fields."""

from __future__ import annotations

import json
from typing import TypeVar

T = TypeVar("T")


class DamagedValueError(ValueError):
    """The data that was read is not what we write."""


def packed(value: object) -> bytes:
    """Return a dataclass as JSON.

    msgspec alone rejects text with lone surrogates; this encoding preserves it.
    """
    import msgspec

    plain = msgspec.to_builtins(value, enc_hook=int)  # of a class of its own
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def unpacked(data: bytes, kind: type[T]) -> T:
    """Return the value that `packed` wrote; raise `DamagedValueError` if the data is invalid.

    Unknown fields are ignored: a newer version may have written them.
    """
    try:
        return converted(json.loads(data.decode("utf-8", "surrogatepass")), kind)
    except (ValueError, RecursionError) as error:
        raise DamagedValueError(str(error)) from None


def converted(plain: object, kind: type[T]) -> T:
    """Convert parsed JSON to a value of `kind`; raise `DamagedValueError` if it does not fit."""
    import msgspec

    try:
        return msgspec.convert(plain, kind, str_keys=True)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise DamagedValueError(str(error)) from None
