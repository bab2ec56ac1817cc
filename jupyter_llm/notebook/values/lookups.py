"""Finds the names that exist where code looks one up, from values, without running code.

None means unknown, as for a user's class with `__getattr__`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Final

from jupyter_llm.notebook.code.accesses import Access, accesses, bound_names
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
from jupyter_llm.notebook.values.tables import column, column_labels, dtype_name

# Characters that may follow a complete name, so that the model ends it there.
_AFTER_ATTRIBUTE = tuple("(.[),: \n]}=+-*/%<>&|;")
_MAX_NAMES: Final = 5_000
_OPENING: Final = ("__getattr__", "__getattribute__", "__dir__")
# pandas' `__getattr__` finds only columns and labels, which are known.
_ACCESSORS: Final = {
    "str": ("object", "str"),
    "dt": ("datetime64", "timedelta64", "period"),
    "cat": ("category",),
}


class Names:
    """The names that exist for one cell's code; each value is looked up once.

    Variables that the cell itself assigns are unknown, since it has not run. `text` below is the
    cell up to some position.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._names_by_place: dict[tuple[Any, ...], frozenset[str] | None] = {}

    def openings(self, text: str, *, is_set_next: bool | None = None) -> tuple[str, ...] | None:
        """Return the continuations of the name at the end of a text; None if any is possible.

        Each continues the text's end, up to the closing quote of a key. The result is empty if no
        name that exists begins so. `is_set_next`: the code after the text assigns the name; None if
        that is unknown, so the name may be a new one.
        """
        read = accesses(text)
        if not read or not read[-1].is_open:
            return None
        access = read[-1]
        names = self._names(access, text)
        if names is None or is_set_next:
            return None
        if access.use == "unknown" and is_set_next is None and self._may_be_set(access):
            return None
        typed = access.name
        fitting = sorted(one for one in names if one.startswith(typed) and _fits(one, access))
        if access.kind == "attribute":
            # The name is complete: code may follow, or a longer name.
            ends = [end for name in fitting if name == typed for end in _AFTER_ATTRIBUTE]
            return tuple(ends + [name[len(typed) :] for name in fitting if name != typed])
        return tuple(name[len(typed) :] + access.quote for name in fitting)

    def wrong(self, text: str, start: int, *, is_whole: bool) -> Access | None:
        """Return the first name in a text that does not exist and ends after `start`.

        If the text is still growing, its last name is not judged.
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
        """Whether a statement may assign a new name there.

        Attributes of libraries are not assigned.
        """
        if access.kind != "attribute":
            return True
        owner = self._resolve(access)
        return not (own_package(owner) or is_a(owner, ModuleType))

    def _names(self, access: Access, text: str) -> frozenset[str] | None:
        """Return all names that exist where one is looked up, None if they are unknown."""
        if access.name.startswith("_") and access.kind == "attribute":
            return None
        before = text[: access.start]
        if access.variable in bound_names(before):
            return None
        place = access.variable, access.path
        key = (*place, access.kind)
        if key not in self._names_by_place:
            self._names_by_place[key] = self._names_in(access)
        if (names := self._names_by_place[key]) is None:
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
    """Whether a name can be written unchanged within these quotes."""
    return not access.quote or not set(name) & {access.quote[0], "\\", "\n", "\r"}


def attributes(value: object) -> frozenset[str] | None:
    """Return the public attributes of a value, with those of its class; None if unknown."""
    if type(value) is ModuleType:
        return _of_module(value)
    if type(value) is type:
        return _public({name for entry in mro(value) for name in text_keys(class_dict(entry))})
    is_pandas = own_package(value) == "pandas"
    stored: Iterable[str] | None = instance_dict(value)
    if is_pandas and short_name(type(value)) in ("DataFrame", "Series"):
        stored = column_labels(value) if short_name(type(value)) == "DataFrame" else ()
    elif is_a(value, type) or _is_open(type(value)):
        return None  # a metaclass may add some, too
    if stored is None:
        return None
    names = {
        *stored,
        *(name for entry in mro(type(value)) for name in text_keys(class_dict(entry))),
    }
    return _public(names - _missing_accessors(value) if is_pandas else names)


def _missing_accessors(value: Any) -> set[str]:
    """Return the accessors that pandas refuses for a series' type."""
    dtype = dtype_name(value) if short_name(type(value)) == "Series" else ""
    fitting = next((name for name, types in _ACCESSORS.items() if dtype.startswith(types)), "")
    return {*_ACCESSORS, "sparse", "list", "struct"} - {fitting}


def _is_open(cls: type) -> bool:
    """Whether a class computes its attributes by Python code."""
    methods = (class_attribute(cls, name) for name in _OPENING)
    own = (one for one in methods if one is not ABSENT and one is not object.__dir__)
    return any(short_name(type(one)) != "wrapper_descriptor" for one in own)


def _of_module(module: ModuleType) -> frozenset[str] | None:
    stored = instance_dict(module)
    if "__getattr__" in stored and not ("__file__" in stored and is_library_module(module)):
        return None
    listed = stored.get("__all__", ())
    return _public({*stored, *(map(text_of, listed) if type(listed) in (list, tuple) else ())})


def _public(names: set[str]) -> frozenset[str] | None:
    public = frozenset(name for name in names if name.isidentifier() and not name.startswith("_"))
    return public if len(public) <= _MAX_NAMES else None


def keys(value: object) -> tuple[str, ...] | None:
    """Return the strings that can subscript a value: a frame's columns, a dictionary's keys."""
    labels = column_labels(value)
    if type(value) in (dict, OrderedDict):
        labels = tuple(key for key in list(value) if type(key) is str)  # type: ignore[call-overload]
    return labels if labels is not None and len(labels) <= _MAX_NAMES else None


def member(value: object, name: str) -> Any:
    """Return a stored attribute of a value, ABSENT if code would have to compute it."""
    stored = attribute(value, name)
    if stored is not ABSENT:
        return stored
    if type(value) is ModuleType:
        inner = f"{text_of(instance_dict(value).get('__name__', ''))}.{name}"
        return sys.modules.get(inner, ABSENT)
    labels = column_labels(value)
    if labels and name in labels and class_attribute(type(value), name) is ABSENT:
        return column(value, name)
    return ABSENT


def item(value: object, key: str) -> Any:
    """Return the value under a string key, or ABSENT."""
    existing = keys(value)
    if existing is None or key not in existing:
        return ABSENT
    return value[key] if is_a(value, dict) else column(value, key)  # type: ignore[index]
