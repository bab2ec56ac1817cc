"""What a question is asked about, and its answers as the same kind: columns, frames, iterables."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, islice, pairwise
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

    def take(self, items: Any, numbers: list[int]) -> Any:
        """Some of the rows, which are those of `items`, as the same kind, with their index."""
        import narwhals as nw
        import numpy as np

        known = through_narwhals(items)
        if isinstance(known, nw.DataFrame | nw.Series):
            return known[np.array(numbers, int)].to_native()
        return [items[one] for one in numbers]

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


@dataclass(frozen=True)
class _Parts(Rows):
    """Rows of a Dask collection. A partition is here while its rows are; its index stays."""

    collection: Any = None
    indexes: list[Any] = field(default_factory=list)  # of the partitions that were read

    @property
    def is_framed(self) -> bool:
        return hasattr(self.collection, "divisions")

    def take(self, items: Any, numbers: list[int]) -> Any:
        from dask.delayed import delayed

        ends = list(accumulate(map(len, self.indexes)))
        inside: list[list[int]] = [[] for _ in ends]
        for one in sorted(numbers):
            part = bisect_right(ends, one)
            inside[part].append(one - ends[part] + len(self.indexes[part]))
        pairs = zip(items.to_delayed(), inside, strict=False)  # of those that were read
        taken = self._of([delayed(_at)(part, rows) for part, rows in pairs])
        if numbers == sorted(numbers):
            return taken
        order = [sorted(numbers).index(one) for one in numbers]
        return self._of([delayed(_at)(taken.compute(), order)])

    def column(self, values: list[Any]) -> Any:
        return self._parted(self._here(len(values)).column(values))

    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        count = len(next(iter(columns.values()), ()))
        return self._parted(self._here(count).frame(columns))

    def _here(self, count: int) -> Rows:
        """The first rows that were read, as a frame of pandas that has no columns yet."""
        if not self.is_framed:
            return Rows((), count, True, self.values)  # noqa: FBT003
        import narwhals as nw
        import pandas as pd  # type: ignore[import-untyped]

        empty = self.collection._meta.index[:0]  # noqa: SLF001  as dask's own functions do
        index = empty.append(self.indexes)[:count]
        frame = nw.from_native(pd.DataFrame(index=index), eager_only=True)
        return Rows((), count, self.is_single, self.values, frame, self._name)

    def _parted(self, made: Any) -> Any:
        """What was made of the rows, in partitions as they were."""
        from dask.delayed import delayed

        ends = list(accumulate(map(len, self.indexes))) or [0]
        rows = getattr(made, "iloc", made)
        parts = [delayed(rows[start:end]) for start, end in pairwise((0, *ends))]
        return self._of(parts, rows[:0])

    def _of(self, parts: list[Any], meta: Any = None) -> Any:
        if not self.is_framed:
            from dask.bag import from_delayed

            return from_delayed(parts)
        from dask.dataframe import from_delayed as frame_of

        divisions = self.collection.divisions if len(parts) == self.collection.npartitions else None
        meta = self.collection._meta if meta is None else meta  # noqa: SLF001
        return frame_of(parts, meta=meta, divisions=divisions, verify_meta=False)


def is_parted(items: object) -> bool:
    """Whether it is a collection of Dask's, whose rows are elsewhere."""
    dask = sys.modules.get("dask.base")
    return dask is not None and dask.is_dask_collection(items)


def rows_of(items: Any, item: str = ITEM) -> Rows:
    """The rows of whatever people have them in; `item` is what a single value goes by.

    Raises `OptionError` where there are none.
    """
    import narwhals as nw

    if isinstance(items, Rows):
        return items
    if is_parted(items):
        return _of_dask(items, item)
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


def _of_dask(items: Any, item: str) -> Rows:
    """The rows of a Dask frame, column or bag, of which one partition after another is read."""
    if (kind := type(items).__name__) not in ("DataFrame", "Series", "Bag"):
        raise OptionError(f"Of Dask a frame, a column or a bag is wanted, not a {kind}.")
    indexes: list[Any] = []

    def here(parts: Any) -> Iterator[Any]:
        indexes.clear()
        for part in parts.to_delayed():
            rows = part.compute()
            is_framed = hasattr(rows, "iloc")
            rows = rows if is_framed else list(rows)
            indexes.append(rows.index if is_framed else range(len(rows)))
            yield rows

    def values(columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        wanted = list(dict.fromkeys(names[column] for column in columns))
        for part in here(items if is_single else items[wanted]):
            yield from rows_of(part, item).values(columns)

    if kind == "Bag":
        rows = _of_any(chain.from_iterable(here(items)), item)
        columns, single = rows.columns, rows.is_single
        return _Parts(columns, None, single, rows.values, collection=items, indexes=indexes)
    is_single, name = items.ndim == 1, getattr(items, "name", None)
    names = {item: item, name or item: item} if is_single else {str(n): n for n in items.columns}
    return _Parts(tuple(names), None, is_single, values, None, name, items, indexes)


def _at(part: Any, numbers: list[int]) -> Any:
    """Some of the rows of a partition."""
    if hasattr(part, "iloc"):
        return part.iloc[numbers]
    rows = list(part)
    return [rows[one] for one in numbers]


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
