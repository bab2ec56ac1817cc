"""Read what an object is and holds without running a line of its class's code.

`getattr`, `isinstance`, `len`, `==` and even `hash` of a class may be overridden, by the class or
its metaclass. So what is read here comes from C: the type in the object's header, the class's own
dictionary, the instance's dictionary and slots.
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
    """There is no such attribute."""


ABSENT: Final = _Absent()

_mro = type.__dict__["__mro__"].__get__
_dict = type.__dict__["__dict__"].__get__
_module = type.__dict__["__module__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_TYPES_IN_C = (FunctionType, BaseException, functools.partial, type(functools.lru_cache(len)))
_DOC_OF_DICT = _dict(_Absent)["__dict__"].__doc__  # of every class that Python code defines
_MAX_NAME = 80


def mro(cls: type) -> tuple[type, ...]:
    """The class and its bases, the nearest first."""
    found: tuple[type, ...] = _mro(cls)
    return found


def is_a(value: object, base: type) -> bool:
    """Whether the value's true type is the base or derived from it, whatever it says itself."""
    return any(entry is base for entry in mro(type(value)))


def is_one_of(cls: type, classes: Iterable[type]) -> bool:
    """Whether a class is one of several; `in` would ask its metaclass."""
    return any(cls is one for one in classes)


def class_dict(cls: type) -> dict[str, Any]:
    """What the class itself defines."""
    return dict(_dict(cls))


def class_attribute(cls: type, name: str) -> Any:
    """What the class or a base has under a name, as it stands there, or ABSENT."""
    for entry in mro(cls):
        own = _dict(entry)
        if name in own:
            return own[name]
    return ABSENT


def instance_dict(value: object) -> dict[str, Any]:
    """A copy of the instance's dictionary; empty if it has none or the class hides it."""
    return text_keys(_held(value))


def text_keys(found: object) -> dict[str, Any]:
    """A copy of a dictionary, of its entries under true strings; of nothing else."""
    if type(found) is not dict:
        return {}
    # `list` of the items first: another thread may add to the dictionary meanwhile.
    return {key: item for key, item in list(found.items()) if type(key) is str}


def attribute(value: object, name: str) -> Any:
    """What the instance holds under a name, in a slot or its dictionary, or ABSENT."""
    found = class_attribute(type(value), name)
    if type(found) is MemberDescriptorType:
        try:
            return found.__get__(value)
        except AttributeError:
            return ABSENT
    return _held(value).get(name, ABSENT)


def public_names(value: object) -> Iterator[str]:
    """Yield the attributes of a class, a module or an instance that begin with no underscore."""
    classes = mro(value) if is_a(value, type) else mro(type(value))  # type: ignore[arg-type]
    for names in (instance_dict(value), *map(_dict, classes)):
        yield from (name for name in text_keys(dict(names)) if not name.startswith("_"))


def qualified_name(cls: type) -> str:
    """`module.Class`, or `Class` alone if it is a builtin or the notebook's own."""
    name, module = text_of(_qualname(cls)), _module_of(cls)
    name = name.removeprefix("<locals>.")[-_MAX_NAME:]
    return name if module in ("", "builtins", "__main__") else f"{module[-_MAX_NAME:]}.{name}"


def short_name(cls: type) -> str:
    """The class's name without its module."""
    return text_of(_qualname(cls)).rpartition(".")[2][:_MAX_NAME]


def library_types(cls: type) -> Iterator[tuple[str, str, type]]:
    """Yield package, name and class of those in the MRO that their module really holds.

    A class that only claims to come from a library is not among them, nor is one of a module that
    only claims to be one: all code of the class and its bases must lie where libraries do.
    """
    for entry in mro(cls):
        module, name = _module_of(entry), text_of(_qualname(entry))
        loaded = sys.modules.get(module)
        if loaded is None or _held(loaded).get(name, ABSENT) is not entry:
            continue
        if all(map(_is_library_code, mro(entry))):
            yield module.partition(".")[0], name, entry


def own_package(value: object) -> str:
    """The package that a value's very class comes from; "" for a class of the user's own."""
    found = next(library_types(type(value)), None)
    return found[0] if found is not None and found[2] is type(value) else ""


def is_enumeration(cls: type) -> bool:
    """Whether a class is an enumeration of Python's own kind."""
    return any((package, name) == ("enum", "Enum") for package, name, _ in library_types(cls))


# By id, since a metaclass may have its own `__hash__`; the class is kept so that its id stays its.
_library_classes: dict[int, type] = {}


def _is_library_code(cls: type) -> bool:
    """Whether no code of a class, and of what it has in its place, is the user's own."""
    if _library_classes.get(id(cls)) is cls:
        return True
    if not all(map(_is_library_function, _functions_in(cls))):
        return False
    _library_classes[id(cls)] = cls
    return True


def _functions_in(cls: type) -> Iterator[FunctionType]:
    """Yield the functions that run when something of a class is looked up or called."""
    for item in list(_dict(cls).values()):
        kind = type(item)
        inner = item.fget if kind is property else item
        if kind is classmethod or kind is staticmethod:
            inner = item.__func__
        held = (inner, class_attribute(kind, "__get__"))
        yield from (one for one in held if type(one) is FunctionType)


def _is_library_function(function: FunctionType) -> bool:
    filename = function.__code__.co_filename
    if filename.startswith("<"):  # made by a library, such as dataclasses, or typed in a terminal
        return filename.startswith("<frozen ") or function.__name__.startswith("__")
    return "site-packages" in filename or filename.startswith(library_folders())


@functools.cache
def library_folders() -> tuple[str, ...]:
    """Where Python's own modules and those of packages lie."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_paths()[name] for name in names}
    return tuple(f"{folder}{os.sep}" for one in folders for folder in (one, os.path.realpath(one)))


def is_library_module(value: object) -> bool:
    """Whether a value is a module of a library or of Python, of which a model knows enough."""
    if type(value) is not ModuleType:
        return False
    place = text_of(_held(value).get("__file__"))
    return not place or "site-packages" in place or place.startswith(library_folders())


def exported(package: str, name: str) -> Any:
    """What a package that is loaded has under a name, or ABSENT."""
    loaded = sys.modules.get(package)
    return ABSENT if loaded is None else _held(loaded).get(name, ABSENT)


def _module_of(cls: type) -> str:
    try:
        return text_of(_module(cls))
    except AttributeError:  # a class may delete it
        return ""


def text_of(value: object) -> str:
    """A value that is a text as a plain one, and an empty text for any other."""
    return str.__str__(value) if is_a(value, str) else ""


def key_name(key: object) -> str:
    """What a key of a mapping is called: a text, bytes, or a member of an enumeration."""
    if is_a(key, bytes):
        return bytes.decode(key, "latin-1")  # type: ignore[arg-type]
    return text_of(key) or text_of(attribute(key, "_name_"))


def _held(value: object) -> dict[Any, Any]:
    """The instance's own dictionary, or an empty one."""
    for entry in mro(type(value)):
        found = _dict(entry).get("__dict__", ABSENT)
        if found is ABSENT:
            continue
        if not _is_plain_dict(found, entry):
            return {}
        held = found.__get__(value)
        return held if type(held) is dict else {}
    return {}


def _is_plain_dict(found: object, owner: type) -> bool:
    """Whether `__dict__` as a class has it gives the instance's own, and runs nothing.

    It may be a property of the user's, or a proxy's in C that asks the object behind it.
    """
    if type(found) is MemberDescriptorType:
        return found.__objclass__ is owner
    if type(found) is not GetSetDescriptorType or found.__objclass__ is not owner:
        return False
    return is_one_of(owner, _TYPES_IN_C) or found.__doc__ == _DOC_OF_DICT
