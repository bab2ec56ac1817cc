"""Values as JSON and back, checked against the types of their fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class DamagedValueError(ValueError):
    """What was read is not what we write."""


def packed(value: object, encode: Callable[[Any], object] | None = None) -> bytes:
    """A dataclass as JSON; `encode` makes something plain of what JSON does not know.

    A text that is no Unicode comes back as it was, so msgspec does not write it by itself.
    """
    import msgspec

    def plainly(part: Any) -> object:
        if isinstance(part, int):  # of a class of its own
            return int(part)
        if encode is None:
            raise NotImplementedError
        return encode(part)

    plain = msgspec.to_builtins(value, enc_hook=plainly)
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def unpacked(data: bytes, kind: type[T], decode: Callable[[type, Any], object] | None = None) -> T:
    """What `packed` made JSON of; `DamagedValueError` if it is not as we write it.

    Fields that the type does not know are a newer version's.
    """
    try:
        return converted(json.loads(data.decode("utf-8", "surrogatepass")), kind, decode)
    except (ValueError, RecursionError) as error:
        raise DamagedValueError(str(error)) from None


def converted(
    plain: object, kind: type[T], decode: Callable[[type, Any], object] | None = None
) -> T:
    """A value of the given type, made of what JSON holds; `DamagedValueError` if it is not one."""
    import msgspec

    try:
        return msgspec.convert(plain, kind, str_keys=True, dec_hook=decode)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise DamagedValueError(str(error)) from None
