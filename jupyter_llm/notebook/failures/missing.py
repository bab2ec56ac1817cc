"""What an error says is not there, and the nearest that is. Asks no object of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.notebook.values.peek import public_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MAX_NAMES = 5000  # that are compared with the missing one
_MAX_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Missing:
    """A name, attribute, module or key that is not there, and the nearest ones that are."""

    kind: Literal["name", "attribute", "module", "key"]
    name: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"There is no {self.kind} {self.name!r}"
        return (
            f"{text}; near it is {' or '.join(map(repr, self.nearest))}" if self.nearest else text
        )


def find_missing(
    error: BaseException, namespace: Mapping[str, Any], names: Sequence[str]
) -> Missing | None:
    """What an error misses; `names` are those the failing expression reads."""
    kind = type(error)
    if issubclass(kind, NameError):
        return _missing("name", slot(error, NameError, "name"), namespace)
    if issubclass(kind, AttributeError):
        holder = slot(error, AttributeError, "obj")
        others = chain(public_names(holder), _keys(holder))
        return _missing("attribute", slot(error, AttributeError, "name"), others)
    if issubclass(kind, ModuleNotFoundError):
        return _missing("module", slot(error, ImportError, "name"), ())
    args = slot(error, BaseException, "args")
    if issubclass(kind, KeyError) and len(args) == 1:
        holders = [namespace[name] for name in names if name in namespace]
        return _missing("key", args[0], (key for holder in holders for key in _keys(holder)))
    return None


def slot(error: BaseException, owner: type, name: str) -> Any:
    """An attribute that exceptions are born with, past what a subclass may put over it."""
    return owner.__dict__[name].__get__(error)


def _missing(
    kind: Literal["name", "attribute", "module", "key"], name: object, others: Iterable[object]
) -> Missing | None:
    if type(name) is not str:
        return None
    known: dict[str, None] = {}
    for other in others:
        if type(other) is str and other != name and len(known) < _MAX_NAMES:
            known[other] = None
    by_case = [other for other in known if other.lower() == name.lower()]
    return Missing(kind, name, tuple(by_case or get_close_matches(name, known, n=_MAX_NEAREST)))


def _keys(holder: object) -> Iterable[object]:
    """The keys of a mapping, or the columns of a frame."""
    kind = type(holder)
    if issubclass(kind, dict):
        return list(dict.keys(holder))[:_MAX_NAMES]  # type: ignore[arg-type]
    package = kind.__module__.partition(".")[0]
    if package in ("pandas", "polars") and kind.__name__ == "DataFrame":
        return list(holder.columns)[:_MAX_NAMES]  # type: ignore[attr-defined]
    return ()
