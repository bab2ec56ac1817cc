"""Which names exist where code looks one up, as far as the variables of the notebook can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.code.accesses import accesses, bound_names
from jupyter_llm.notebook.values.members import attributes, item, keys, member
from jupyter_llm.notebook.values.peek import ABSENT, is_a, own_package
from jupyter_llm.notebook.values.tables import index_labels

if TYPE_CHECKING:
    from jupyter_llm.notebook.code.accesses import Access

# After a whole name: what keeps a model from going on to another one.
_AFTER_ATTRIBUTE = tuple("(.[),: \n]}=+-*/%<>&|;")


class Names:
    """The names that exist for the code of one cell, each value looked up once.

    Nothing is known of variables that the cell itself gives a value, since it has not run. `text`
    in what follows is all of the cell up to some place.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._known: dict[tuple[Any, ...], frozenset[str] | None] = {}

    def openings(self, text: str, *, is_set_next: bool | None = None) -> tuple[str, ...] | None:
        """How the name may go on that is looked up at the end of a text; None for anyhow.

        Each is what follows the text's end, up to the quote behind a key. None of them is left
        where no name that exists begins as the text does. `is_set_next` tells whether what follows
        sets the name; None if that is not known, so that it may be a new one.
        """
        found = accesses(text)
        if not found or not found[-1].is_open:
            return None
        access = found[-1]
        names = self._names(access, text)
        if names is None or is_set_next:
            return None
        if access.use == "unknown" and is_set_next is None and self._may_be_set(access):
            return None
        told = access.name
        fitting = sorted(one for one in names if one.startswith(told) and _fits(one, access))
        if access.kind == "attribute":
            # A whole name is typed already: it may go on as code, or to a longer one.
            ends = [end for name in fitting if name == told for end in _AFTER_ATTRIBUTE]
            return tuple(ends + [name[len(told) :] for name in fitting if name != told])
        return tuple(name[len(told) :] + access.quote for name in fitting)

    def wrong(self, text: str, start: int, *, is_whole: bool) -> Access | None:
        """The first name in a text that does not exist and ends behind `start`.

        While a text still grows, its last name is not judged.
        """
        return next((access for access, _ in self.absent(text, start, is_whole=is_whole)), None)

    def absent(
        self, text: str, start: int = 0, *, is_whole: bool = True
    ) -> Iterator[tuple[Access, frozenset[str]]]:
        """The names in a text that do not exist and end behind `start`, with those that do."""
        for access in accesses(text):
            if access.end < start or access.use == "stores":
                continue
            if not is_whole and (access.is_open or access.use == "unknown"):
                continue
            names = self._names(access, text)
            if names is not None and access.name not in names and "\\" not in access.name:
                yield access, names

    def is_torn(self, text: str) -> bool:
        """Whether a text ends with a name that does not exist, or not yet."""
        for access in accesses(text)[-1:]:
            if access.is_open or access.use == "unknown":
                names = self._names(access, text)
                return names is not None and access.name not in names
        return False

    def _may_be_set(self, access: Access) -> bool:
        """Whether a statement may set a new name there; the attributes of libraries it does not."""
        if access.kind != "attribute":
            return True
        owner = self._resolve(access)
        return not (own_package(owner) or is_a(owner, ModuleType))

    def _names(self, access: Access, text: str) -> frozenset[str] | None:
        """All names that exist where one is looked up, or None where nobody can tell."""
        if access.name.startswith("_") and access.kind == "attribute":
            return None
        before = text[: access.start]
        if access.variable in bound_names(before):
            return None
        place = access.variable, access.path
        if (*place, access.kind) not in self._known:
            self._known[(*place, access.kind)] = self._names_in(access)
        names = self._known[(*place, access.kind)]
        if names is None:
            return None
        set_before = (one for one in accesses(text) if one.use == "stores")
        own = (one for one in set_before if (one.variable, one.path) == place)
        return names | {one.name for one in own if one.start < access.start}

    def _names_in(self, access: Access) -> frozenset[str] | None:
        owner = self._resolve(access)
        if owner is ABSENT:
            return None
        if access.kind == "attribute":
            return attributes(owner)
        names = None if access.kind == "column" and is_a(owner, dict) else keys(owner)
        if names is None:
            return None
        return frozenset((*names, *(index_labels(owner) if access.kind == "column" else ())))

    def _resolve(self, access: Access) -> Any:
        value = self._namespace.get(access.variable, ABSENT)
        for kind, name in access.path:
            if value is ABSENT:
                break
            value = member(value, name) if kind == "attribute" else item(value, name)
        return value


def _fits(name: str, access: Access) -> bool:
    """Whether a name can be written as it is within the quotes that stand there."""
    return not access.quote or not set(name) & {access.quote[0], "\\", "\n", "\r"}
