"""Which names exist where code looks one up, as far as values can tell without running code.

None means that nobody can tell, as for a class of the user's with `__getattr__`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from jupyter_llm.notebook.code.accesses import accesses, bound_names
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    class_attribute,
    class_dict,
    instance_dict,
    is_a,
    is_library_module,
    mro,
    own_package,
    short_name,
    text_keys,
    text_of,
)
from jupyter_llm.notebook.values.tables import column, column_labels, held_type

if TYPE_CHECKING:
    from jupyter_llm.notebook.code.accesses import Access

# After a whole name: what keeps a model from going on to another one.
_AFTER_ATTRIBUTE = tuple("(.[),: \n]}=+-*/%<>&|;")
_MAX_NAMES: Final = 5_000
_OPENING: Final = ("__getattr__", "__getattribute__", "__dir__")
# What pandas finds beside its classes' own attributes are columns and labels, which we know.
_ACCESSORS: Final = {
    "str": ("object", "str"),
    "dt": ("datetime64", "timedelta64", "period"),
    "cat": ("category",),
}


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
        for access in accesses(text):
            grows = not is_whole and (access.is_open or access.use == "unknown")
            if access.end < start or access.use == "stores" or grows:
                continue
            names = self._names(access, text)
            if names is not None and access.name not in names and "\\" not in access.name:
                return access
        return None

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
        key = (*place, access.kind)
        if key not in self._known:
            self._known[key] = self._names_in(access)
        if (names := self._known[key]) is None:
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
        return frozenset(names) if names is not None else None

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


def attributes(value: object) -> frozenset[str] | None:
    """The public attributes of a value, those of its class included."""
    if type(value) is ModuleType:
        return _of_module(value)
    if type(value) is type:
        return _public({name for entry in mro(value) for name in text_keys(class_dict(entry))})
    is_pandas = own_package(value) == "pandas"
    held: Iterable[str] | None = instance_dict(value)
    if is_pandas and short_name(type(value)) in ("DataFrame", "Series"):
        held = column_labels(value) if short_name(type(value)) == "DataFrame" else ()
    elif is_a(value, type) or _is_open(type(value)):
        return None  # a metaclass, too, may show more
    if held is None:
        return None
    found = {*held, *(name for entry in mro(type(value)) for name in text_keys(class_dict(entry)))}
    return _public(found - _missing_accessors(value) if is_pandas else found)


def _missing_accessors(value: Any) -> set[str]:
    """What pandas refuses to look into for what a series holds."""
    held = held_type(value) if short_name(type(value)) == "Series" else ""
    fitting = next((name for name, types in _ACCESSORS.items() if held.startswith(types)), "")
    return {*_ACCESSORS, "sparse", "list", "struct"} - {fitting}


def _is_open(cls: type) -> bool:
    """Whether a class decides by code what attributes there are, and not as a type of C does."""
    found = (class_attribute(cls, name) for name in _OPENING)
    own = (one for one in found if one is not ABSENT and one is not object.__dir__)
    return any(short_name(type(one)) != "wrapper_descriptor" for one in own)


def _of_module(module: ModuleType) -> frozenset[str] | None:
    held = instance_dict(module)
    if "__getattr__" in held and not ("__file__" in held and is_library_module(module)):
        return None
    listed = held.get("__all__", ())
    return _public({*held, *(map(text_of, listed) if type(listed) in (list, tuple) else ())})


def _public(names: set[str]) -> frozenset[str] | None:
    found = frozenset(name for name in names if name.isidentifier() and not name.startswith("_"))
    return found if len(found) <= _MAX_NAMES else None


def keys(value: object) -> tuple[str, ...] | None:
    """The texts that a value can be subscripted by: a frame's columns, a dictionary's keys."""
    found = column_labels(value)
    if type(value) in (dict, OrderedDict):
        found = tuple(key for key in list(value) if type(key) is str)  # type: ignore[call-overload]
    return found if found is not None and len(found) <= _MAX_NAMES else None


def member(value: object, name: str) -> Any:
    """The attribute of a value where it is stored, or ABSENT where code would have to say it."""
    found = attribute(value, name)
    if found is not ABSENT:
        return found
    if type(value) is ModuleType:
        inner = f"{text_of(instance_dict(value).get('__name__', ''))}.{name}"
        return sys.modules.get(inner, ABSENT)
    labels = column_labels(value)
    if labels and name in labels and class_attribute(type(value), name) is ABSENT:
        return column(value, name)
    return ABSENT


def item(value: object, key: str) -> Any:
    """What a value holds under a text, or ABSENT."""
    known = keys(value)
    if known is None or key not in known:
        return ABSENT
    return value[key] if is_a(value, dict) else column(value, key)  # type: ignore[index]
