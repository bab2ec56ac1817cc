"""Loads a second polars in a forked copy, which lacks the threads of the first.

polars computes in its own threads, and a fork copies none of them: code that waits for them waits
for ever. So the library's file is loaded again under another name and replaces the first. Frames,
series, plans and expressions of the first are converted when they are first used.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_LIBRARY = "polars._plr"  # since polars 1.35; earlier versions have no such module


def has_polars_threads() -> bool:
    """Whether polars has started its threads, which a copy does not have."""
    for path in Path("/proc/self/task").iterdir() if "polars" in sys.modules else ():
        with suppress(OSError):
            if (path / "comm").read_bytes().startswith(b"polars"):
                return True
    return False


def can_begin_again() -> bool:
    """Whether a copy can load this polars a second time."""
    return hasattr(sys.modules.get(_LIBRARY), "__file__")


def copied_library() -> int:
    """Return a descriptor of a copy of polars' library: the same file would not be loaded again."""
    copy = os.memfd_create("polars")
    with Path(str(sys.modules[_LIBRARY].__file__)).open("rb") as source:
        while os.sendfile(copy, source.fileno(), None, 1 << 30):
            pass
    return copy


def begin_again(library: int) -> None:
    """Load polars again in this process, a copy, from a `copied_library`.

    Raises ImportError, AttributeError or TypeError for an unknown version of polars.
    """
    old = sys.modules[_LIBRARY]
    loader = ExtensionFileLoader(old.__name__, f"/proc/self/fd/{library}")
    spec = spec_from_loader(old.__name__, loader)
    assert spec is not None
    new: Any = module_from_spec(spec)
    loader.exec_module(new)
    _put_in_place(old, new)
    polars: Any = sys.modules["polars"]
    vars(new)["__register_startup_deps"](vars(sys.modules["polars._warnings"])["_polars_warn"])
    for owner, attribute, kind, convert in (
        (polars.DataFrame, "_df", old.PyDataFrame, _frame),
        (polars.Series, "_s", old.PySeries, _series),
        (polars.LazyFrame, "_ldf", old.PyLazyFrame, _plan),
        (polars.Expr, "_pyexpr", old.PyExpr, _expression),
        (polars.QueryOptFlags, "_pyoptflags", old.PyOptFlags, _flags),
    ):
        setattr(owner, attribute, _Converted(attribute, kind, new, convert))


def _put_in_place(old: ModuleType, new: ModuleType) -> None:
    """Replace the old library by the new one in polars' own modules."""
    instead = {id(old): new}
    for name, value in vars(old).items():
        if not name.startswith("__") and hasattr(new, name):
            instead[id(value)] = getattr(new, name)
    for name, module in list(sys.modules.items()):
        if module is old:
            sys.modules[name] = new
        elif name.partition(".")[0] == "polars":
            for key, value in list(vars(module).items()):
                if id(value) in instead:
                    setattr(module, key, instead[id(value)])


class _Converted:
    """An attribute that converts an object of the old library to the new one at its first use."""

    def __init__(
        self, name: str, kind: type, new: Any, convert: Callable[[Any, Any], object]
    ) -> None:
        self._name, self._kind, self._new, self._convert = name, kind, new, convert

    def __get__(self, owner: Any, _: type | None = None) -> Any:
        if owner is None:
            return self
        try:
            value = owner.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        if type(value) is self._kind:
            value = owner.__dict__[self._name] = self._convert(value, self._new)
        return value

    def __set__(self, owner: Any, value: object) -> None:
        owner.__dict__[self._name] = value


class _Stream:
    """An object that offers only Arrow's C interface."""

    def __init__(self, series: Any) -> None:
        self.__arrow_c_stream__ = series.__arrow_c_stream__


def _series(old: Any, new: Any) -> object:
    series = new.PySeries.from_arrow_c_stream(_Stream(old))
    series.rename(old.name())
    return series


def _frame(old: Any, new: Any) -> object:
    return new.PyDataFrame([_series(column, new) for column in old.get_columns()])


def _plan(old: Any, new: Any) -> object:
    file = io.BytesIO()
    old.serialize_binary(file)
    file.seek(0)
    return new.PyLazyFrame.deserialize_binary(file)


def _expression(old: Any, new: Any) -> object:
    expression = new.lit(0, allow_object=False, is_scalar=True)
    expression.__setstate__(old.__getstate__())
    return expression


def _flags(old: Any, new: Any) -> object:
    flags = new.PyOptFlags.default()
    for name, kind in vars(type(old)).items():
        if type(kind).__name__ == "getset_descriptor":
            setattr(flags, name, getattr(old, name))
    return flags
