"""What a question is asked about, and its answers as the same kind: columns, frames, iterables."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    import narwhals as nw

ITEM = "item"
"""What the only column there is goes by in a template, beside its own name."""

_SLICE = 1000  # rows of a frame that are made Python's own values at a time
_PLAIN = (str, bool, int, float)  # an Enum may be one of them, too


@dataclass(frozen=True)
class Rows:
    """Rows in their order; `columns` are their names, `count` how many there are, if known.

    The only column there is (`is_single`) goes by each of the names; where nobody knows them there
    are none. `values` yields the rows as the values of some columns, None where one is missing.
    """

    columns: tuple[str, ...]
    count: int | None
    is_single: bool
    values: Callable[[Sequence[str]], Iterator[tuple[object, ...]]]
    _frame: nw.DataFrame[Any] | None = None
    _name: object = None

    def head(self, count: int) -> Rows:
        """The first rows alone."""
        return replace(
            self,
            count=None if self.count is None else min(count, self.count),
            values=lambda columns: islice(self.values(columns), count),
            _frame=None if self._frame is None else self._frame.head(count),
        )

    @property
    def is_framed(self) -> bool:
        """Whether several values a row come as columns of a frame."""
        return self._frame is not None

    def column(self, values: list[Any]) -> Any:
        """A value for each row as a column of the same kind, with the same index; else a list."""
        if self._frame is None:
            return values
        name = "" if self._name is None else str(self._name)
        made = self.frame({name: values})[name]
        if self._frame.implementation.is_pandas_like():
            made.name = self._name
        return made

    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        """Several values for each row as a frame of the same kind; else as mappings."""
        if self._frame is None:
            rows = zip(*columns.values(), strict=True)
            return [dict(zip(columns, row, strict=True)) for row in rows]
        import narwhals as nw

        backend = self._frame.implementation
        parts = [_series(name, _cells(one), backend).to_frame() for name, one in columns.items()]
        native = nw.concat(parts, how="horizontal").to_native()
        if (index := nw.maybe_get_index(self._frame)) is not None:
            native.index = index
        return native


def rows_of(items: Any, item: str = ITEM) -> Rows:
    """The rows of whatever people have them in; `item` is what a single value goes by.

    Raises `OptionError` where there are none.
    """
    import narwhals as nw

    if isinstance(items, Rows):
        return items
    try:
        found = through_narwhals(items)
        if isinstance(found, nw.DataFrame):
            return _of_frame(found, {str(name): name for name in found.columns})
    except nw.exceptions.NarwhalsError as error:
        raise OptionError(f"The frame cannot be read: {error}") from None
    if isinstance(found, nw.LazyFrame):
        raise OptionError("A lazy frame has no rows yet. Call its .collect() first.")
    if isinstance(found, nw.Series):
        names = {item: item} | ({str(found.name): item} if found.name not in (None, "") else {})
        return _of_frame(found.alias(item).to_frame(), names, found)
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        kind = type(items).__name__
        raise OptionError(f"A list, a frame, a column or another iterable is wanted, not a {kind}.")
    return _of_any(items, item)


def through_narwhals(items: Any) -> Any:
    """A frame or a column as narwhals has it, an Arrow array as one of chunks; else the items."""
    import narwhals as nw

    if (arrow := sys.modules.get("pyarrow")) is not None and isinstance(items, arrow.Array):
        items = arrow.chunked_array([items])
    return nw.from_native(items, allow_series=True, pass_through=True)


def free_name(name: str, taken: Container[str]) -> str:
    """A name for a column beside others."""
    return name if name not in taken else free_name(f"{name}_", taken)


def _of_frame(
    frame: nw.DataFrame[Any], names: Mapping[str, Any], column: nw.Series[Any] | None = None
) -> Rows:
    def values(columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        taken = [frame.get_column(names[name]) for name in columns]  # by numbers, too
        for start in range(0, len(frame), _SLICE):
            parts = [map(_present, one[start : start + _SLICE].to_list()) for one in taken]
            yield from zip(*parts, strict=True)

    is_single, name = column is not None, None if column is None else column.name
    return Rows(tuple(names), len(frame), is_single, values, frame, name)


def _of_any(items: Iterable[Any], item: str) -> Rows:
    """The rows of any iterable; mappings are rows with names."""
    rest = iter(items)
    first = list(islice(rest, 1))
    is_single = not (first and isinstance(first[0], Mapping))
    names = ((item,) if is_single else tuple(map(str, first[0]))) if first else ()

    def values(columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        for row in chain(first, rest):
            named = row if isinstance(row, Mapping) and not is_single else {item: row}
            yield tuple(_present(named.get(column)) for column in columns)

    return Rows(names, len(items) if isinstance(items, Sized) else None, is_single, values)


def _present(value: Any) -> Any:
    """A value, or None where a library has a mark of its own for what is missing."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return None if is_nan or type(value).__name__ in ("NAType", "NaTType") else value


def _series(name: str, cells: list[Any], backend: Any) -> nw.Series[Any]:
    import narwhals as nw

    kinds = {type(one) for one in cells if one is not None}
    nullable = {"int": "Int64", "bool": "boolean"}.get("".join(kind.__name__ for kind in kinds))
    if backend.is_pandas_like() and nullable and None in cells:
        # A missing value would make other numbers of these, or objects.
        made = backend.to_native_namespace().Series(cells, name=name, dtype=nullable)
        return nw.from_native(made, series_only=True)
    with suppress(Exception):  # each library refuses a mixture in a way of its own
        return nw.new_series(name, cells, backend=backend)
    texts = [None if one is None else str(one) for one in cells]
    return nw.new_series(name, texts, backend=backend)


def _cells(values: list[Any]) -> list[Any]:
    """Values as every library has them: plain ones, and mappings and lists of such."""
    import datetime as dt
    import decimal

    import msgspec

    known = (dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal)

    def dumped(value: Any) -> Any:
        return value.model_dump() if hasattr(value, "model_dump") else str(value)

    def cell(value: Any) -> Any:
        if value is None or isinstance(value, _PLAIN):
            return getattr(value, "value", value)
        return msgspec.to_builtins(value, builtin_types=known, enc_hook=dumped)

    cells = list(map(cell, values))
    if {type(one) for one in cells if one is not None} == {float, int}:
        return [None if one is None else float(one) for one in cells]
    return cells
