"""What a question is asked about, and its answers as the same kind: columns, frames, iterables."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    import narwhals as nw

ITEM = "item"
"""What the only column there is goes by in a template, beside its own name."""

_SLICE = 1000  # rows of a frame that are made Python's own values at a time
_WANTED = "A list, a Series, a frame, an Arrow table or another iterable is wanted"


class Rows(ABC):
    """Rows in their order; `columns` are their names, `count` how many there are, if known.

    Where there is one column only (`is_single`), it goes by each of the names. `is_framed` says
    whether several values a row come as columns of a frame.
    """

    columns: tuple[str, ...]
    count: int | None
    is_single: bool
    is_framed = False

    @abstractmethod
    def values(self, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """The rows, each as the values of these columns; None where one is missing."""

    @abstractmethod
    def head(self, count: int) -> Rows:
        """The first rows alone."""

    @abstractmethod
    def column(self, values: list[Any]) -> Any:
        """A value for each row as a column of the same kind, with the same index."""

    @abstractmethod
    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        """Several values for each row as a frame of the same kind; else a list of mappings."""


def rows_of(items: Any, item: str = ITEM) -> Rows:
    """The rows of whatever people have them in; `item` is what a single value goes by.

    Raises `OptionError` where there are none.
    """
    import narwhals as nw

    if isinstance(items, Rows):
        return items
    if (arrow := sys.modules.get("pyarrow")) is not None and isinstance(items, arrow.Array):
        items = arrow.chunked_array([items])
    try:
        found = nw.from_native(items, allow_series=True, pass_through=True)
        if isinstance(found, nw.DataFrame):
            return _FrameRows(found, {str(name): name for name in found.columns})
    except nw.exceptions.NarwhalsError as error:
        raise OptionError(f"The frame cannot be read: {error}") from None
    if isinstance(found, nw.LazyFrame):
        raise OptionError("A lazy frame has no rows yet. Call its .collect() first.")
    if isinstance(found, nw.Series):
        return _FrameRows(found.alias(item).to_frame(), {item: item, found.name: item}, found)
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise OptionError(f"{_WANTED}, not a {type(items).__name__}.")
    return _PlainRows(items, item)


class _FrameRows(Rows):
    """The rows of what narwhals knows: a frame, whose columns go by `names`, or one column."""

    is_framed = True

    def __init__(
        self,
        frame: nw.DataFrame[Any],
        names: Mapping[Any, Any],
        column: nw.Series[Any] | None = None,
    ) -> None:
        self._frame = frame
        self._names = names
        self._column = column
        self.columns = tuple(str(name) for name in names if name not in (None, ""))
        self.count = len(frame)
        self.is_single = column is not None

    def values(self, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        taken = [self._frame[self._names[column]] for column in columns]
        for start in range(0, len(self._frame), _SLICE):
            parts = [map(_present, one[start : start + _SLICE].to_list()) for one in taken]
            yield from zip(*parts, strict=True)

    def head(self, count: int) -> Rows:
        column = None if self._column is None else self._column.head(count)
        return _FrameRows(self._frame.head(count), self._names, column)

    def column(self, values: list[Any]) -> Any:
        name = None if self._column is None else self._column.name
        native = self._indexed(self._series("" if name is None else name, values))
        if self._frame.implementation.is_pandas_like():
            native.name = name
        return native

    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        import narwhals as nw

        series = [self._series(name, values) for name, values in columns.items()]
        together = nw.concat([one.to_frame() for one in series], how="horizontal")
        return self._indexed(together)

    def _series(self, name: str, values: list[Any]) -> nw.Series[Any]:
        import narwhals as nw

        backend = self._frame.implementation
        cells = _cells(values)
        kinds = {type(one) for one in cells if one is not None}
        nullable = {frozenset({int}): "Int64", frozenset({bool}): "boolean"}.get(frozenset(kinds))
        if backend.is_pandas_like() and nullable and len(cells) and None in cells:
            # A missing value would make other numbers of these, or objects.
            made = backend.to_native_namespace().Series(cells, name=name, dtype=nullable)
            return nw.from_native(made, series_only=True)
        try:
            return nw.new_series(name, cells, backend=backend)
        except Exception:  # noqa: BLE001  each library refuses a mixture in a way of its own
            texts = [None if one is None else str(one) for one in cells]
            return nw.new_series(name, texts, backend=backend)

    def _indexed(self, made: nw.DataFrame[Any] | nw.Series[Any]) -> Any:
        import narwhals as nw

        native = made.to_native()
        if (index := nw.maybe_get_index(self._frame)) is not None:
            native.index = index
        return native


class _PlainRows(Rows):
    """The rows of any iterable; mappings are rows with names."""

    def __init__(self, items: Iterable[Any], item: str, count: int | None = None) -> None:
        self._item = item
        self.count = len(items) if isinstance(items, Sized) else count
        rest = iter(items)
        first = list(islice(rest, 1))
        self._rows = chain(first, rest)
        self.is_single = not (first and isinstance(first[0], Mapping))
        self.columns: tuple[str, ...] = ()  # unknown
        if first:
            self.columns = (item,) if self.is_single else tuple(map(str, first[0]))

    def values(self, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        for row in self._rows:
            if not self.is_single and isinstance(row, Mapping):
                yield tuple(_present(row.get(column)) for column in columns)
            else:
                yield tuple(_present(row) if column == self._item else None for column in columns)

    def head(self, count: int) -> Rows:
        known = None if self.count is None else min(self.count, count)
        return _PlainRows(islice(self._rows, count), self._item, known)

    def column(self, values: list[Any]) -> Any:
        return values

    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _present(value: Any) -> Any:
    """A value, or None where a library has a mark of its own for what is missing."""
    if value is None or isinstance(value, str):
        return value
    is_nan = isinstance(value, float) and math.isnan(value)
    if is_nan or type(value).__name__ in ("NAType", "NaTType"):
        return None
    as_python = getattr(value, "as_py", None)  # Arrow's
    return as_python() if as_python is not None else value


def _cells(values: list[Any]) -> list[Any]:
    """Values as every library has them: plain ones, and mappings and lists of such."""
    import datetime as dt
    import decimal

    import msgspec

    known = (dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal)

    def dumped(value: Any) -> Any:
        dump = getattr(value, "model_dump", None)
        return str(value) if dump is None else dump()

    def cell(value: Any) -> Any:
        if value is None or isinstance(value, str | bool | int | float):
            # An Enum may be one of these, too.
            return getattr(value, "value", value)
        return msgspec.to_builtins(value, builtin_types=known, enc_hook=dumped)

    cells = [cell(value) for value in values]
    if {float, int} == {type(one) for one in cells if one is not None}:
        return [None if one is None else float(one) for one in cells]
    return cells
