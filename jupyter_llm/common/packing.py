"""Values as JSON and back, checked against the types of their fields."""

from __future__ import annotations

import json
from typing import TypeVar

T = TypeVar("T")


class DamagedValueError(ValueError):
    """What was read is not what we write."""


def packed(value: object) -> bytes:
    """A dataclass as JSON.

    A text that is no Unicode comes back as it was, so msgspec does not write it by itself.
    """
    import msgspec

    plain = msgspec.to_builtins(value, enc_hook=int)  # of a class of its own
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def unpacked(data: bytes, kind: type[T]) -> T:
    """What `packed` made JSON of; `DamagedValueError` if it is not as we write it.

    Fields that the type does not know are a newer version's.
    """
    try:
        return converted(json.loads(data.decode("utf-8", "surrogatepass")), kind)
    except (ValueError, RecursionError) as error:
        raise DamagedValueError(str(error)) from None


def converted(plain: object, kind: type[T]) -> T:
    """A value of the given type, made of what JSON holds; `DamagedValueError` if it is not one."""
    import msgspec

    try:
        return msgspec.convert(plain, kind, str_keys=True)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise DamagedValueError(str(error)) from None
