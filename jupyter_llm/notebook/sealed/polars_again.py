"""A second polars for a forked copy of this process: the first one's threads are not in it.

polars computes in threads of its own, and a fork takes none of them along: what waits for them
waits for ever. The library's file is loaded once more, as another one, and put in the place of the
first. Frames, series, plans and expressions of the first are handed over when they are first used.
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

_LIBRARY = "polars._plr"  # since polars 1.35; before it the library could not be told from the rest


def has_polars_threads() -> bool:
    """Whether polars has started its threads, which a copy does not have."""
    for path in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if (path / "comm").read_bytes().startswith(b"polars"):
                return True
    return False


def can_begin_again() -> bool:
    """Whether this polars is one that a copy can load a second time."""
    return hasattr(sys.modules.get(_LIBRARY), "__file__")


def copied_library() -> int:
    """A descriptor of polars' library as another file, in memory: one file is only loaded once."""
    copy = os.memfd_create("polars")
    with Path(str(sys.modules[_LIBRARY].__file__)).open("rb") as source:
        while os.sendfile(copy, source.fileno(), None, 1 << 30):
            pass
    return copy


def begin_again(library: int) -> None:
    """Let polars begin anew in this process, which is a copy, out of a `copied_library`.

    Raises ImportError, AttributeError or TypeError where it is a polars that this does not know.
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
    for owner, attribute, kind, hand_over in (
        (polars.DataFrame, "_df", old.PyDataFrame, _frame),
        (polars.Series, "_s", old.PySeries, _series),
        (polars.LazyFrame, "_ldf", old.PyLazyFrame, _plan),
        (polars.Expr, "_pyexpr", old.PyExpr, _expression),
        (polars.QueryOptFlags, "_pyoptflags", old.PyOptFlags, _flags),
    ):
        setattr(owner, attribute, _HandedOver(attribute, kind, new, hand_over))


def _put_in_place(old: ModuleType, new: ModuleType) -> None:
    """Let polars' own modules use a new library where they used the old one."""
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


class _HandedOver:
    """An attribute that turns what the old library made into the new one's, once it is read."""

    def __init__(
        self, name: str, kind: type, new: Any, hand_over: Callable[[Any, Any], object]
    ) -> None:
        self._name, self._kind, self._new, self._hand_over = name, kind, new, hand_over

    def __get__(self, owner: Any, _: type | None = None) -> Any:
        if owner is None:
            return self
        try:
            value = owner.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        if type(value) is self._kind:
            value = owner.__dict__[self._name] = self._hand_over(value, self._new)
        return value

    def __set__(self, owner: Any, value: object) -> None:
        owner.__dict__[self._name] = value


class _Stream:
    """Something that Arrow's C interface can be asked of, and nothing else."""

    def __init__(self, series: Any) -> None:
        self.__arrow_c_stream__ = series.__arrow_c_stream__


def _series(old: Any, new: Any) -> object:
    made = new.PySeries.from_arrow_c_stream(_Stream(old))
    made.rename(old.name())
    return made


def _frame(old: Any, new: Any) -> object:
    return new.PyDataFrame([_series(column, new) for column in old.get_columns()])


def _plan(old: Any, new: Any) -> object:
    file = io.BytesIO()
    old.serialize_binary(file)
    file.seek(0)
    return new.PyLazyFrame.deserialize_binary(file)


def _expression(old: Any, new: Any) -> object:
    made = new.lit(0, allow_object=False, is_scalar=True)
    made.__setstate__(old.__getstate__())
    return made


def _flags(old: Any, new: Any) -> object:
    made = new.PyOptFlags.default()
    for name, kind in vars(type(old)).items():
        if type(kind).__name__ == "getset_descriptor":
            setattr(made, name, getattr(old, name))
    return made
