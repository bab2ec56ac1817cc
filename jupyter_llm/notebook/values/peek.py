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
    return is_one_of(base, mro(type(value)))


def is_one_of(cls: type, classes: Iterable[type]) -> bool:
    """Whether a class is one of several; `in` would ask its metaclass."""
    return any(cls is one for one in classes)


def class_dict(cls: type) -> dict[str, Any]:
    """What the class itself defines."""
    return dict(_dict(cls))


def class_attribute(cls: type, name: str) -> Any:
    """What the class or a base has under a name, as it stands there, or ABSENT."""
    return next((_dict(entry)[name] for entry in mro(cls) if name in _dict(entry)), ABSENT)


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
    for names in (instance_dict(value), *map(class_dict, classes)):
        yield from (name for name in text_keys(names) if not name.startswith("_"))


def qualified_name(cls: type) -> str:
    """`module.Class`, or `Class` alone if it is a builtin or the notebook's own."""
    name, module = text_of(_qualname(cls)), _module_of(cls)
    name = name.removeprefix("<locals>.")[-_MAX_NAME:]
    return name if module in ("", "builtins", "__main__") else f"{module[-_MAX_NAME:]}.{name}"


def short_name(cls: type) -> str:
    """The class's name without its module."""
    return text_of(_qualname(cls)).rpartition(".")[2][:_MAX_NAME]


def library_types(cls: type) -> Iterator[tuple[str, str, type]]:
    """Yield package, name and class of those in the MRO that a library's module really holds.

    A class that only claims to come from a library is not among them.
    """
    for entry in mro(cls):
        module, name = _module_of(entry), text_of(_qualname(entry))
        loaded = sys.modules.get(module)
        if module != "__main__" and _held(loaded).get(name) is entry and is_library_module(loaded):
            yield module.partition(".")[0], name, entry


def own_package(value: object) -> str:
    """The package that a value's very class comes from; "" for a class of the user's own."""
    found = next(library_types(type(value)), None)
    return found[0] if found is not None and found[2] is type(value) else ""


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
    return _held(sys.modules.get(package)).get(name, ABSENT)


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
    """The instance's own dictionary, or an empty one.

    `__dict__` as a class has it may be a property of the user's, or a proxy's in C that asks the
    object behind it.
    """
    for entry in mro(type(value)):
        found = _dict(entry).get("__dict__", ABSENT)
        if found is ABSENT:
            continue
        if type(found) is GetSetDescriptorType:
            is_plain = is_one_of(entry, _TYPES_IN_C) or found.__doc__ == _DOC_OF_DICT
        else:
            is_plain = type(found) is MemberDescriptorType
        is_plain = is_plain and found.__objclass__ is entry
        held = found.__get__(value) if is_plain else None
        return held if type(held) is dict else {}
    return {}
