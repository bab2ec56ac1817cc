"""What an error says is not there, and the nearest that is. Asks no object of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.values.lookups import keys
from jupyter_llm.notebook.values.peek import public_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    MissingKind = Literal["name", "attribute", "module", "key"]

_MAX_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Missing:
    """A name, attribute, module or key that is not there, and the nearest ones that are."""

    kind: MissingKind
    name: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        near_it = f"; near it is {' or '.join(map(repr, self.nearest))}" if self.nearest else ""
        return f"There is no {self.kind} {self.name!r}{near_it}"


def find_missing(
    error: BaseException, namespace: Mapping[str, Any], names: Sequence[str]
) -> Missing | None:
    """What an error misses; `names` are those the failing expression reads."""
    kind = type(error)
    if issubclass(kind, NameError):
        return _missing("name", slot(error, NameError, "name"), namespace)
    if issubclass(kind, AttributeError):
        holder = slot(error, AttributeError, "obj")
        others = chain(public_names(holder), keys(holder) or ())
        return _missing("attribute", slot(error, AttributeError, "name"), others)
    if issubclass(kind, ModuleNotFoundError):
        return _missing("module", slot(error, ImportError, "name"), ())
    args = slot(error, BaseException, "args")
    if issubclass(kind, KeyError) and len(args) == 1:
        holders = [namespace[name] for name in names if name in namespace]
        return _missing("key", args[0], (key for holder in holders for key in keys(holder) or ()))
    return None


def slot(error: BaseException, owner: type, name: str) -> Any:
    """An attribute that exceptions are born with, past what a subclass may put over it."""
    return owner.__dict__[name].__get__(error)


def _missing(kind: MissingKind, name: object, others: Iterable[object]) -> Missing | None:
    if type(name) is not str:
        return None
    return Missing(kind, name, tuple(one for one, _ in near(name, others, _MAX_NEAREST)))
