"""The short form of a shape: `name, age int, tone good|bad, bio: one sentence`."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import OptionError

_TYPES: dict[str, Any] = {"str": str, "text": str, "int": int, "float": float, "bool": bool}
_TYPES |= {"date": dt.date, "time": dt.time, "datetime": dt.datetime, "list": list[str]}
_FIELD = re.compile(r"(\w+)(?:\s+([^:]+?))?\s*(?::\s*(.*))?", re.DOTALL)


def type_of(text: str) -> Any:
    """The type of dicts that a short form stands for: fields in lines, or between commas.

    A field is a name, a type if it is not `str`, and after a colon what it is.
    """
    fields: dict[str, Any] = {}
    pieces = text.split("\n" if "\n" in text.strip() else ",")
    for piece in [*filter(str.strip, pieces)] or [text]:
        found = _FIELD.fullmatch(piece.strip())
        if found is None or found[1] in fields or found[1] in _TYPES:
            why = "the name of a type" if found and found[1] in _TYPES else "no new field"
            hint = "Write fields as `name`, `age int`, `tone good|bad` or `bio: one sentence`."
            raise OptionError(f"{piece.strip()!r} is {why}. {hint}")
        name, written, told = found.groups()
        fields[name] = Annotated[_kind(written or "str"), Field(description=told)]
    return TypedDict("Answer", fields)  # type: ignore[operator]


def _kind(written: str) -> Any:
    if written.endswith("?"):
        return _kind(written[:-1]) | None
    items = re.fullmatch(r"list\[(.+)\]", written)
    if items:
        return list[_kind(items[1])]  # type: ignore[misc]
    if "|" in written:
        return Literal[tuple(part.strip() for part in written.split("|"))]
    if written not in _TYPES:
        hint = nearest(written, list(_TYPES), f"There are {', '.join(_TYPES)}, list[int], a|b|c.")
        raise OptionError(f"The short form of a shape has no type {written!r}. {hint}")
    return _TYPES[written]
