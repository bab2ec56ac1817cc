"""Reads types and contents of objects without running any code of their classes.

`getattr`, `isinstance`, `len`, `==` and even `hash` may be overridden by a class or its metaclass.
So everything here is read by C: the type in the object's header, the class's dictionary, the
instance's dictionary and slots.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, Final


class _Absent:
    """The value of a missing attribute."""


ABSENT: Final = _Absent()

_mro = type.__dict__["__mro__"].__get__
_dict = type.__dict__["__dict__"].__get__
_module = type.__dict__["__module__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_TYPES_IN_C = (FunctionType, BaseException, functools.partial, type(functools.lru_cache(len)))
_DOC_OF_DICT = _dict(_Absent)["__dict__"].__doc__  # of each class defined in Python
_MAX_NAME = 80


def mro(cls: type) -> tuple[type, ...]:
    """Return the class and its bases, the nearest first."""
    classes: tuple[type, ...] = _mro(cls)
    return classes


def is_a(value: object, base: type) -> bool:
    """Whether the value's true type is the base or derived from it, whatever `__class__` is."""
    return is_one_of(base, mro(type(value)))


def is_one_of(cls: type, classes: Iterable[type]) -> bool:
    """Whether a class is one of several; `in` would call its metaclass."""
    return any(cls is one for one in classes)


def class_dict(cls: type) -> dict[str, Any]:
    """Return the class's own dictionary."""
    return dict(_dict(cls))


def class_attribute(cls: type, name: str) -> Any:
    """Return an attribute of the class or a base without binding it, or ABSENT."""
    return next((_dict(entry)[name] for entry in mro(cls) if name in _dict(entry)), ABSENT)


def instance_dict(value: object) -> dict[str, Any]:
    """Return a copy of the instance's dictionary; empty if it has none or the class hides it."""
    return text_keys(_own_dict(value))


def text_keys(mapping: object) -> dict[str, Any]:
    """Return a copy of a dictionary's entries with string keys; empty for anything else."""
    if type(mapping) is not dict:
        return {}
    # `list` first: another thread may add to the dictionary meanwhile.
    return {key: item for key, item in list(mapping.items()) if type(key) is str}


def attribute(value: object, name: str) -> Any:
    """Return an attribute from the instance's slots or dictionary, or ABSENT."""
    descriptor = class_attribute(type(value), name)
    if type(descriptor) is MemberDescriptorType:
        try:
            return descriptor.__get__(value)
        except AttributeError:
            return ABSENT
    return _own_dict(value).get(name, ABSENT)


def public_names(value: object) -> Iterator[str]:
    """Yield the attributes of a class, a module or an instance without a leading underscore."""
    classes = mro(value) if is_a(value, type) else mro(type(value))  # type: ignore[arg-type]
    for names in (instance_dict(value), *map(class_dict, classes)):
        yield from (name for name in text_keys(names) if not name.startswith("_"))


def qualified_name(cls: type) -> str:
    """Return `module.Class`, or `Class` for builtins and the notebook's own classes."""
    name, module = text_of(_qualname(cls)), _module_of(cls)
    name = name.removeprefix("<locals>.")[-_MAX_NAME:]
    return name if module in ("", "builtins", "__main__") else f"{module[-_MAX_NAME:]}.{name}"


def short_name(cls: type) -> str:
    """Return the class's name without its module."""
    return text_of(_qualname(cls)).rpartition(".")[2][:_MAX_NAME]


def library_types(cls: type) -> Iterator[tuple[str, str, type]]:
    """Yield package, name and class of the MRO's classes that a library's module really contains.

    A class that only claims to come from a library is skipped.
    """
    for entry in mro(cls):
        module, name = _module_of(entry), text_of(_qualname(entry))
        loaded = sys.modules.get(module)
        if (
            module != "__main__"
            and _own_dict(loaded).get(name) is entry
            and is_library_module(loaded)
        ):
            yield module.partition(".")[0], name, entry


def own_package(value: object) -> str:
    """Return the package of a value's own class, "" for a class of the user's."""
    first = next(library_types(type(value)), None)
    return first[0] if first is not None and first[2] is type(value) else ""


@functools.cache
def library_folders() -> tuple[str, ...]:
    """Return the folders of Python's own modules and of packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_paths()[name] for name in names}
    return tuple(f"{folder}{os.sep}" for one in folders for folder in (one, os.path.realpath(one)))


def is_library_module(value: object) -> bool:
    """Whether a value is a module of a library or of Python, which models know."""
    if type(value) is not ModuleType:
        return False
    place = text_of(_own_dict(value).get("__file__"))
    return not place or "site-packages" in place or place.startswith(library_folders())


def exported(package: str, name: str) -> Any:
    """Return an attribute of a package that is loaded, or ABSENT."""
    return _own_dict(sys.modules.get(package)).get(name, ABSENT)


def is_llm(value: object) -> bool:
    """Whether a value is this package's `llm`, which holds none of the user's data."""
    return type(value) is exported("jupyter_llm.api", "LLM")


def is_named_only(value: object) -> bool:
    """Whether a prompt includes a value only if its text names it: modules of libraries, `llm`."""
    return is_library_module(value) or is_llm(value)


def _module_of(cls: type) -> str:
    try:
        return text_of(_module(cls))
    except AttributeError:  # a class may delete its `__module__`
        return ""


def text_of(value: object) -> str:
    """Return a string as a plain `str`, and "" for any other value."""
    return str.__str__(value) if is_a(value, str) else ""


def key_name(key: object) -> str:
    """Return the name of a mapping's key: a string, bytes, or a member of an enumeration."""
    if is_a(key, bytes):
        return bytes.decode(key, "latin-1")  # type: ignore[arg-type]
    return text_of(key) or text_of(attribute(key, "_name_"))


def _own_dict(value: object) -> dict[Any, Any]:
    """Return the instance's own dictionary, empty if it has none.

    A class's `__dict__` may be a property of the user's, or a C proxy that calls the object behind
    it.
    """
    for entry in mro(type(value)):
        descriptor = _dict(entry).get("__dict__", ABSENT)
        if descriptor is ABSENT:
            continue
        if type(descriptor) is GetSetDescriptorType:
            is_plain = is_one_of(entry, _TYPES_IN_C) or descriptor.__doc__ == _DOC_OF_DICT
        else:
            is_plain = type(descriptor) is MemberDescriptorType
        is_plain = is_plain and descriptor.__objclass__ is entry
        stored = descriptor.__get__(value) if is_plain else None
        return stored if type(stored) is dict else {}
    return {}
