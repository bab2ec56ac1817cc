"""Reads rows of columns, frames and iterables, and returns results as the same kind."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby, islice, pairwise
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.expressions import shield, unshield
from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    import narwhals as nw

ITEM = "item"
"""What the only column there is goes by in a template, beside its own name."""


@dataclass(frozen=True)
class Rows:
    """Rows in their order; `values` yields them, once, as the values of some `columns` by name.

    A value that is missing is None. `count` is how many there are, if known, and `source` the frame
    in which they stand, if they do. The only column there is (`is_single`) goes by each of the
    names; where nobody knows them there are none.
    """

    columns: tuple[str, ...]
    count: int | None
    is_single: bool
    values: Callable[[Sequence[str]], Iterator[Mapping[str, Any]]]
    source: Any = None
    name: str = "value"

    def prompts(self, template: str) -> Iterator[str | None]:
        r"""A prompt for each row, whose values stand in place of the template's `{{column}}`s.

        What a value holds is never expanded, and `\{{` stands for braces. Where there is no field
        the whole row follows. None where what it needs is missing; `OptionError` where a field is
        no column.
        """
        text, sources = shield(check_text(template))
        names = [source[2:-2].strip() if source.endswith("}}") else "" for source in sources]
        for name in filter(None, names):
            if name not in self.columns and self.columns:
                hint = nearest(name, self.columns, f"There are: {', '.join(self.columns[:20])}.")
                raise OptionError(f"{{{{{name}}}}} in the template is no column. {hint}")
        if not any(names):
            return self.texts(unshield(text, ["{{"] * len(names)) + "\n\n")

        def prompt(row: Mapping[str, Any]) -> str | None:
            parts = [row.get(name) if name else "{{" for name in names]
            is_whole = all(part is not None for part in parts)
            return unshield(text, list(map(str, parts))) if is_whole else None

        return map(prompt, self.values(list(filter(None, names))))

    def texts(self, before: str = "") -> Iterator[str | None]:
        """Each row as a text: its only value, or all that there are, each after its name."""
        names = self.columns[: 1 if self.is_single else None]

        def text(row: Mapping[str, Any]) -> str | None:
            present = {name: row[name] for name in names if row.get(name) is not None}
            lines = [
                str(present[one]) if self.is_single else f"{one}: {present[one]}" for one in present
            ]
            return before + "\n".join(lines) if lines else None

        return map(text, self.values(names))

    def take(self, items: Any, numbers: list[int]) -> Any:
        """Some of the rows, which are those of `items`, as the same kind, with their index."""
        import narwhals as nw
        import numpy as np

        known = through_narwhals(items)
        if isinstance(known, nw.DataFrame | nw.Series):
            return known[np.array(numbers, int)].to_native()
        return [items[one] for one in numbers]

    def column(self, values: list[Any]) -> Any:
        """A value for each of the first rows as a column of the same kind; else a list."""
        return values if self.source is None else self.frame({self.name: values})[self.name]

    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        """Several values for each of the first rows as a frame of the same kind; else mappings."""
        if self.source is None:
            rows = zip(*columns.values(), strict=True)
            return [dict(zip(columns, row, strict=True)) for row in rows]
        made = [_series(name, each, self.source.implementation) for name, each in columns.items()]
        first = self.source.head(len(made[0]))  # which has the index
        return first.with_columns(*made).select(*columns).to_native()


@dataclass(frozen=True)
class _Parts(Rows):
    """Rows of a Dask collection. A partition is here while its rows are; its index stays."""

    indexes: list[Any] = field(default_factory=list)  # of the partitions that were read

    def take(self, items: Any, numbers: list[int]) -> Any:
        from dask.delayed import delayed

        parts, starts = items.to_delayed(), [0, *accumulate(map(len, self.indexes))]
        inside = groupby(numbers, lambda one: bisect_right(starts, one) - 1)
        taken = [delayed(_at)(parts[n], [one - starts[n] for one in some]) for n, some in inside]
        return self._of(taken or [delayed(_at)(parts[0], [])], getattr(items, "_meta", None))

    def column(self, values: list[Any]) -> Any:
        return self._parted(len(values), lambda rows: rows.column(values))

    def frame(self, columns: Mapping[str, list[Any]]) -> Any:
        count = len(next(iter(columns.values()), ()))
        return self._parted(count, lambda rows: rows.frame(columns))

    def _parted(self, count: int, make: Callable[[Rows], Any]) -> Any:
        """Return the result of the first rows that were read, in the same partitions."""
        from dask.delayed import delayed

        here = None
        if self.source is not None:
            import narwhals as nw
            import pandas as pd  # type: ignore[import-untyped]

            index = self.source._meta.index[:0].append(self.indexes)[:count]  # noqa: SLF001
            here = nw.from_native(pd.DataFrame(index=index), eager_only=True)
        made = make(Rows((), count, self.is_single, self.values, here, self.name))
        ends = list(accumulate(map(len, self.indexes))) or [0]
        rows = getattr(made, "iloc", made)
        parts = [delayed(rows[start:end]) for start, end in pairwise((0, *ends))]
        return self._of(parts, rows[:0], getattr(self.source, "divisions", ()))

    def _of(self, parts: list[Any], meta: Any, divisions: tuple[Any, ...] = ()) -> Any:
        """A collection of these partitions, which are as `meta` is where it is a frame's."""
        if self.source is None:
            from dask.bag import from_delayed

            return from_delayed(parts)
        from dask.dataframe import from_delayed as frame_of

        known = divisions if len(divisions) == len(parts) + 1 else None
        return frame_of(parts, meta=meta, divisions=known, verify_meta=False)


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
        if isinstance(found, nw.LazyFrame):
            raise OptionError("A lazy frame has no rows yet. Call its .collect() first.")
        if not isinstance(found, nw.DataFrame | nw.Series):
            return _of_any(items, item)
        if is_single := isinstance(found, nw.Series):
            name = "" if found.name in (None, "") else str(found.name)
            names = {item: item} | ({name: item} if name else {})
            frame = found.alias(item).to_frame()
        else:
            name, names, frame = "", {str(name): name for name in found.columns}, found
    except nw.exceptions.NarwhalsError as error:
        raise OptionError(f"The frame cannot be read: {error}") from None

    def values(columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for row in frame.iter_rows(named=True):
            yield {column: _present(row[names[column]]) for column in columns}

    return Rows(tuple(names), len(frame), is_single, values, frame, name or "value")


def through_narwhals(items: Any) -> Any:
    """A frame or a column as narwhals has it, an Arrow array as one of chunks; else the items."""
    import narwhals as nw

    if (arrow := sys.modules.get("pyarrow")) is not None and isinstance(items, arrow.Array):
        items = arrow.chunked_array([items])
    return nw.from_native(items, allow_series=True, pass_through=True)


def free_name(name: str, taken: Container[str]) -> str:
    """A name for a column beside others."""
    return name if name not in taken else free_name(f"{name}_", taken)


def _of_dask(items: Any, item: str) -> Rows:
    """The rows of a Dask frame, column or bag, of which one partition after another is read."""
    from dask.base import get_scheduler

    if (kind := type(items).__name__) not in ("DataFrame", "Series", "Bag"):
        raise OptionError(f"Of Dask a frame, a column or a bag is wanted, not a {kind}.")
    indexes: list[Any] = []

    def here(parts: Any) -> Iterator[Any]:
        indexes.clear()
        left = parts.to_delayed()[::-1]
        client: Any = getattr(get_scheduler(), "__self__", None)
        if is_there := hasattr(client, "compute"):
            left = client.compute(left)  # at once, or each makes anew what they share
        while left:  # what is not read yet stays there
            rows = left.pop().result() if is_there else left.pop().compute()
            rows = list(rows) if kind == "Bag" else rows
            indexes.append(range(len(rows)) if kind == "Bag" else rows.index)
            yield rows

    def values(columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        wanted = list(dict.fromkeys(names[column] for column in columns))
        for part in here(items if is_single else items[wanted]):
            yield from rows_of(part, item).values(columns)

    if kind == "Bag":
        rows = _of_any(chain.from_iterable(here(items)), item)
        columns, single = rows.columns, rows.is_single
        return _Parts(columns, None, single, rows.values, indexes=indexes)
    is_single, name = items.ndim == 1, str(getattr(items, "name", None) or "")
    names = {item: item, name or item: item} if is_single else {str(n): n for n in items.columns}
    return _Parts(tuple(names), None, is_single, values, items, name or "value", indexes)


def _at(part: Any, numbers: list[int]) -> Any:
    """Some of the rows of a partition."""
    if hasattr(part, "iloc"):
        return part.iloc[numbers]
    rows = list(part)
    return [rows[one] for one in numbers]


def _of_any(items: object, item: str) -> Rows:
    """The rows of any iterable; mappings are rows with names."""
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        kind = type(items).__name__
        raise OptionError(f"A list, a frame, a column or another iterable is wanted, not a {kind}.")
    rest = iter(items)
    first = list(islice(rest, 1))
    is_single = not (first and isinstance(first[0], Mapping))
    names = ((item,) if is_single else tuple(map(str, first[0]))) if first else ()

    def values(columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for row in chain(first, rest):
            found = row if isinstance(row, Mapping) and not is_single else {item: row}
            yield {column: _present(found.get(column)) for column in columns}

    return Rows(names, len(items) if isinstance(items, Sized) else None, is_single, values)


def _present(value: Any) -> Any:
    """A value, or None where a library has a mark of its own for what is missing."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return None if is_nan or type(value).__name__ in ("NAType", "NaTType") else value


def _series(name: str, values: list[Any], backend: Any) -> nw.Series[Any]:
    """Values as every library has them: plain ones, and mappings and lists of such."""
    import datetime as dt
    import decimal

    import msgspec
    import narwhals as nw

    def dumped(value: Any) -> Any:
        return value.model_dump() if hasattr(value, "model_dump") else str(value)

    known = (dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal)
    cells = [msgspec.to_builtins(one, builtin_types=known, enc_hook=dumped) for one in values]
    kinds = {type(one) for one in cells if one is not None}
    if kinds == {float, int}:
        cells = [None if one is None else float(one) for one in cells]
    with suppress(Exception):  # each library refuses a mixture in a way of its own
        if backend.is_pandas_like() and None in cells and kinds in ({int}, {bool}):
            # A missing value would make other numbers of these, or objects.
            nullable = "Int64" if kinds == {int} else "boolean"
            made = backend.to_native_namespace().Series(cells, name=name, dtype=nullable)
            return nw.from_native(made, series_only=True)
        return nw.new_series(name, cells, backend=backend)
    texts = [None if one is None else str(one) for one in cells]
    return nw.new_series(name, texts, backend=backend)
