"""Sizes of values, and their missing values. None of the user's code runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from jupyter_llm.common.controls import one_line
from jupyter_llm.notebook.values import peek, tables
from jupyter_llm.notebook.values.kinds import clean

_MAX_COLUMNS, _MAX_NAME = 100, 40
_MAX_VALUES, _MAX_ITEMS = 250_000, 50_000  # values checked in C, and in Python


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of rows or items of a value, and of missing values by column.

    A value that is no table has one column, "". `num_counted`: values checked in each. `shape` has
    the lengths of all axes.
    """

    kind: str
    size: int
    missing: dict[str, int]
    num_counted: int
    shape: tuple[int, ...] = ()


def extent_of(value: Any) -> Extent | None:
    """Return the extent of a value.

    None if it is unknown, or for a single value that is not missing.
    """
    package, kind = peek.own_package(value), peek.short_name(type(value))
    if peek.is_one_of(type(value), (list, tuple, set, frozenset, dict)):
        first = list(islice(value.values() if kind == "dict" else value, _MAX_ITEMS))
        return Extent(kind, len(value), {"": tables.num_null(first)}, len(first), (len(value),))
    if package in ("pandas", "polars") and kind in ("DataFrame", "Series"):
        return _of_table(value, kind) if tables.is_readable(value) else None
    is_array, is_index = type(value) is peek.exported("numpy", "ndarray"), kind.endswith("Index")
    if is_array or (is_index and package == "pandas" and tables.is_readable(value)):
        first = (value.flat if is_array else value)[:_MAX_ITEMS].tolist()
        missing, kind = {"": tables.num_null(first)}, "array" if is_array else kind
        return Extent(kind, value.size, missing, len(first), value.shape)
    is_missing = value is not None and tables.num_null([value])
    return Extent("value", 1, {"": 1}, 1) if is_missing else None


def _of_table(value: Any, kind: str) -> Extent:
    table, is_series = tables.plain_table(value), kind == "Series"
    places = range(0 if is_series else min(table.shape[1], _MAX_COLUMNS))
    is_pandas = peek.own_package(table) == "pandas"
    frame_columns = [
        table.iloc[:, place] if is_pandas else table.to_series(place) for place in places
    ]
    columns = [table] if is_series else frame_columns
    num = min(len(table), _MAX_VALUES // max(len(columns), 1))
    missing: dict[str, int] = {}
    for column in columns:  # of equal names, the column with the most missing values
        label = column.name
        is_plain = peek.is_a(label, str) or peek.own_package(label) in ("builtins", "numpy")
        name = one_line(clean(str(label)[:_MAX_NAME])).replace("`", "'") if is_plain else ""
        missing[name] = max(missing.get(name, 0), tables.num_missing(column.head(num)))
    return Extent(kind.lower() if is_series else "table", len(table), missing, num, table.shape)
