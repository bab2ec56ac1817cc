"""Objects that do harm when anything but their `__repr__` is run, and some when that is."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn
from unittest.mock import MagicMock

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl

ran: list[str] = []


def _trap(name: str) -> Callable[..., NoReturn]:
    def run(*_args: object, **_options: object) -> NoReturn:
        ran.append(name)
        raise SystemExit(name)

    return run


_SPECIAL = (
    *("__getattribute__", "__getattr__", "__len__", "__iter__", "__getitem__", "__contains__"),
    *("__eq__", "__ne__", "__lt__", "__hash__", "__bool__", "__str__", "__format__", "__call__"),
    *("__dir__", "__int__", "__float__", "__index__", "__next__", "__enter__", "__reversed__"),
    *("__array__", "__dataframe__", "__instancecheck__", "__subclasscheck__", "__bytes__"),
    *("_repr_html_", "_repr_pretty_", "_ipython_display_", "_repr_mimebundle_", "__sizeof__"),
    *("__set_name__", "__length_hint__", "__missing__", "keys", "items", "values", "get", "copy"),
)
_PROPERTIES = (
    *("__class__", "__dict__", "__dataclass_fields__", "shape", "dtype", "columns"),
    *("_ai_repr_", "_repr_llm_"),
)
_TRAPS: dict[str, Any] = {
    **{name: _trap(name) for name in _SPECIAL},
    **{name: property(_trap(name)) for name in _PROPERTIES},
}


def trapped(base: type, *left_out: str) -> type:
    """Return a subclass that notes whatever is run of it."""
    traps = {name: trap for name, trap in _TRAPS.items() if name not in left_out}
    return type(f"Hostile{base.__name__}", (base,), traps)


Hostile = trapped(object)


class Meta(type):
    """A metaclass none of whose methods may run."""

    __getattribute__ = _trap("meta __getattribute__")
    __repr__ = _trap("meta __repr__")
    __eq__ = _trap("meta __eq__")
    __hash__ = _trap("meta __hash__")
    __instancecheck__ = _trap("meta __instancecheck__")
    __call__ = _trap("meta __call__")
    __mro__ = property(_trap("meta __mro__"))
    __module__ = property(_trap("meta __module__"))
    __name__ = property(_trap("meta __name__"))


def of_meta() -> tuple[type, object]:
    """Return a class of that metaclass, and an instance."""
    cls = type.__call__(Meta, "OfMeta", (), {"__slots__": ("x",)})
    return cls, object.__new__(cls)


class Property:
    """Has a property with a side effect."""

    def __init__(self) -> None:
        self.shown = 1

    price = property(_trap("a property"))


class Proxy:
    """Passes everything on, as proxies of werkzeug and wrapt do."""

    def __init__(self, target: object) -> None:
        object.__setattr__(self, "_target", target)

    def __getattr__(self, name: str) -> Any:
        ran.append(f"proxied {name}")
        return getattr(object.__getattribute__(self, "_target"), name)

    @property
    def __class__(self) -> type:
        ran.append("proxied __class__")
        return dict

    @__class__.setter
    def __class__(self, value: type) -> None: ...

    def __len__(self) -> int:
        ran.append("proxied __len__")
        return 1

    def __repr__(self) -> str:
        return "<Proxy>"


class Liar:
    """Claims to come from pandas."""

    shape = property(_trap("shape of a liar"))


Liar.__module__, Liar.__qualname__ = "pandas.core.frame", "DataFrame"


class Prints:
    def __repr__(self) -> str:
        print("printed by a repr")
        sys.stderr.write("written by a repr")
        return "Prints()"


class Sleeps:
    def __repr__(self) -> str:
        time.sleep(0.7)
        print("printed late by a repr")
        return "Sleeps()"


class Loops:
    def __repr__(self) -> str:
        while True:
            pass


class LoopsAndCatches:
    def __repr__(self) -> str:
        while True:
            with suppress(Exception):
                time.sleep(0.001)


class Deletes:
    namespace: dict[str, object] = {}  # noqa: RUF012

    def __repr__(self) -> str:
        self.namespace.clear()
        return "Deletes()"


class HooksThatFail:
    def _ai_repr_(self) -> str:
        raise RuntimeError

    def _repr_llm_(self) -> Any:
        return 5


def shown_by(show: Callable[[object], Any]) -> object:
    """An object with a `__repr__`."""
    return type("Shown", (), {"__repr__": show})()


def raising(error: BaseException) -> Callable[[object], NoReturn]:
    def show(_: object) -> NoReturn:
        raise error

    return show


def recursive() -> list[object]:
    items: list[object] = []
    mapping: dict[str, object] = {"items": items}
    items += [items, mapping, (items,)]
    mapping["self"] = mapping
    return items


def deep() -> list[object]:
    items: list[object] = []
    for _ in range(100_000):
        items = [items]
    return items


def lazy() -> pl.LazyFrame:
    """Return a query over 100 million rows, with a function that its schema depends on."""
    rows = pl.LazyFrame().select(pl.int_range(100_000_000).alias("n"))
    return rows.select(pl.col("n").map_elements(_trap("a function in a query")))


def large() -> pd.DataFrame:
    """Return a frame of 100 million rows that takes no memory."""
    zeros = np.broadcast_to(np.zeros(1), (100_000_000,))
    return pd.DataFrame({"n": zeros}, copy=False)


def generator() -> Iterator[int]:
    ran.append("advanced")
    yield 1


PLAIN_VALUES: tuple[Any, ...] = ({"a": 1}, [1, 2], "text", 5, 1.5, (1, 2), {1})


def namespace() -> dict[str, object]:
    cls, instance = of_meta()
    hostile = Hostile()
    values: dict[str, object] = {
        "raises": shown_by(raising(ValueError("no"))),
        "exits": shown_by(raising(SystemExit(3))),
        "interrupts": shown_by(raising(KeyboardInterrupt())),
        "recurses": shown_by(lambda self: repr(self)),  # noqa: PLW0108  of itself
        "prints": Prints(),
        "huge": shown_by(lambda _: "x" * 10_000_000),
        "bytes_": shown_by(lambda _: b"bytes"),
        "sleeps": Sleeps(),
        "sleeps_too": [Sleeps()] * 5,
        "loops": Loops(),
        "loops_and_catches": LoopsAndCatches(),
        "property_": Property(),
        "proxy": Proxy({"a": 1}),
        "mock": MagicMock(),
        "liar": Liar(),
        "recursive_": recursive(),
        "deep_": deep(),
        "lazy_": lazy(),
        "large_": large(),
        "generator_": generator(),
        "hostile": hostile,
        "hostile_items": [hostile, {hostile_key(): hostile}, (hostile,)],
        **{f"hostile_{type(v).__name__}": trapped(type(v))(v) for v in PLAIN_VALUES},
        "hostile_ordered": trapped(OrderedDict)(a=1),
        "hostile_error": trapped(ValueError)("text"),
        "hostile_frame": hostile_frame(),
        "hostile_array": trapped(np.ndarray)((2,), dtype=np.int64),
        **tables_of_hostile(),
        "of_meta": instance,
        "class_of_meta": cls,
        "items_of_meta": [instance, cls],
        "answers": shown_by(lambda _: trapped(str)("a text of a subclass")),
        "hooks": HooksThatFail(),
    }
    Deletes.namespace = values
    values["deletes"] = Deletes()
    return values


def hostile_key() -> object:
    """Return a key that can be hashed, and compared with nothing."""
    return type("HostileKey", (), {**_TRAPS, "__hash__": object.__hash__})()


def set_traps_late(cls: type) -> None:
    """Set the traps of a class whose instances stand where they could not have been put after."""
    for name in _TRAPS.keys() - {"__class__", "__dict__"}:
        setattr(cls, name, _TRAPS[name])


def hostile_frame() -> pd.DataFrame:
    cls = type("HostileFrame", (pd.DataFrame,), {})
    frame = cls({"a": [1, 2]})
    set_traps_late(cls)
    return frame


def tables_of_hostile() -> dict[str, object]:
    """Return tables that hold hostile objects, as cells and as labels."""
    cls = type("HostileCell", (), {})
    item = cls()
    array = np.empty(2, dtype=object)
    array[:] = [item, None]
    tables: dict[str, object] = {
        "array_of_hostile": array,
        "frame_of_hostile": pd.DataFrame({"c": pd.Series([item, None], dtype=object)}),
        "series_of_hostile": pd.Series([1, 2], index=pd.Index([item, 1], dtype=object)),
        "labels_of_hostile": pd.DataFrame([[1, 2]], columns=pd.Index([item, 1], dtype=object)),
        "polars_of_hostile": pl.DataFrame({"c": pl.Series([item], dtype=pl.Object)}),
    }
    set_traps_late(cls)
    return tables
