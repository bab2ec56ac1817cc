"""Summarizes tables and arrays: columns or shape, types, nulls or range, the first values.

The amount read is bounded for any size. Lazy tables are never computed. Of tensors, which may be on
a device, no values are read. Nor is data that could run the user's code, such as a frame with an
array class of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.values.containers import AS_STR
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.peek import (
    ABSENT,
    attribute,
    exported,
    is_a,
    key_name,
    library_types,
    own_package,
    short_name,
    text_of,
)
from jupyter_llm.notebook.values.secrets import looks_secret

_NUM_ROWS: Final = 3
_MAX_COLUMNS: Final = 60
_NUM_CHECKED: Final = 10_000  # rows checked for nulls
_CELL_CHARS: Final = 24
_NAME_CHARS: Final = 40
_ALL_NAMES_CHARS: Final = 300  # of columns; rows share the room above this
_NUM_READ: Final = 5_000_000  # most values for a range
_NUM_SHOWN: Final = 6
_NUM_FIELDS: Final = 24

_Column = tuple[str, str, tuple[str, ...]]  # name, type with nulls, first cells


def _columns_text(columns: list[_Column], num_columns: int, reading: Reading) -> str:
    """Return the columns, since code needs them, and the rows for which there is room."""
    room = reading.max_chars - len("columns: ")
    most = max(room * 3 // 4, min(room, _ALL_NAMES_CHARS))
    named = [f"{name} {about}" for name, about, _ in columns]
    text = f"columns: {listed(named, most, num_columns - len(columns))}"
    num_rows = max((len(cells) for _, _, cells in columns), default=0)
    title = len("first 3 rows of the first 10 columns:\n")
    width = (reading.max_chars - len(text) - title) // (num_rows + 1)
    shown: list[tuple[str, ...]] = []
    for name, _, cells in columns if num_rows else ():
        width -= max(map(len, (name, *cells))) + 3
        if width < 0:
            break
        shown.append((name, *cells))
    if not shown:
        return text
    of = "" if len(shown) == num_columns else f" of the first {count_of(len(shown), 'column')}"
    rows = (" | ".join(row) for row in zip(*shown, strict=True))
    return "\n".join([text, f"first {count_of(num_rows, 'row')}{of}:", *rows])


def columns_summary(columns: Sequence[tuple[str, list[object]]], reading: Reading) -> str:
    """Return the summary of named columns that are read from a file."""
    rows_of_columns = []
    for name, values in columns[:_MAX_COLUMNS]:
        kind = next((type(one).__name__ for one in values if one is not None), "empty")
        num = num_null(values)
        cells = (reading.brief_of(name, one, _CELL_CHARS) for one in values[:_NUM_ROWS])
        shown = tuple(cell.replace("|", "¦") for cell in cells)
        about = f"{kind} ({count_of(num, 'null')})" if num else kind
        rows_of_columns.append((cut(_label(name, reading), _NAME_CHARS), about, shown))
    return _columns_text(rows_of_columns, len(columns), reading)


def _label(value: object, reading: Reading) -> str:
    """Return a column's label: a string unchanged, anything else as a value."""
    return one_line(clean(text_of(value)[:400])) or reading.brief(value, 200)


# --- reading without running the user's code


def plain_table(value: Any) -> Any:
    """Return a pandas frame or series in pandas' own class, uncopied; other values unchanged.

    Its `attrs` are dropped, because each slice would copy them deeply.
    """
    for package, name, _ in library_types(type(value)):
        if package == "pandas" and name in ("DataFrame", "Series"):
            data, cls = attribute(value, "_mgr"), exported("pandas", name)
            plain = cls._from_mgr(data, axes=data.axes)
            if name == "Series":
                object.__setattr__(plain, "_name", attribute(value, "_name"))  # of any type
            return plain
    return value


def is_readable(table: Any) -> bool:
    """Whether reading a frame, series or index runs no code of the user, as of array classes."""
    if own_package(table) != "pandas":
        return True
    manager = attribute(table, "_mgr")
    axes, blocks = ([table], ()) if manager is ABSENT else (manager.axes, manager.blocks)
    levels = (attribute(axis, "_levels") for axis in axes)
    indexes = [*axes, *(one for some in levels if is_a(some, list) for one in some)]
    data = [attribute(index, "_data") for index in indexes]
    arrays = [*(one for one in data if one is not ABSENT), *(block.values for block in blocks)]
    return all(own_package(one) and own_package(one.dtype) for one in arrays)


def column_labels(value: Any) -> tuple[str, ...] | None:
    """Return the strings among a frame's columns; None for other values and unreadable frames."""
    package = own_package(value)
    if package not in ("pandas", "polars") or short_name(type(value)) != "DataFrame":
        return None
    if not is_readable(value):
        return None
    labels = value.columns if package == "polars" else value.columns.tolist()
    return tuple(text_of(label) for label in labels if is_a(label, str))


def dtype_name(series: Any) -> str:
    """Return the dtype of a pandas Series as text, "" if it is not readable."""
    return str(series.dtype) if is_readable(series) else ""


def column(value: Any, label: str) -> Any:
    """Return the column of a frame with a label of `column_labels`."""
    if own_package(value) == "polars":
        return value.get_column(label)
    place = value.columns.get_loc(label)
    return plain_table(value).iloc[:, place] if type(place) is int else value


def first_values(series: Any, num: int) -> list[object]:
    """Return the first values of a readable series."""
    if own_package(series) == "polars":
        return list(series.head(num))
    first = plain_table(series).iloc[:num].array
    return [first[row] for row in range(len(first))]


def secrets_in_table(value: Any, num: int) -> list[tuple[str, object]]:
    """Return the first values below or beside names of secrets in a readable table."""
    package, kind = own_package(value), short_name(type(value))
    is_frame = kind == "DataFrame"
    if package == "numpy":
        names = value.dtype.names or () if kind == "ndarray" else ()
        parts = [(name, value[name].flat[:num].tolist()) for name in names if looks_secret(name)]
    elif not (is_frame or kind == "Series") or not is_readable(value):
        parts = []
    elif package == "polars":
        columns = value.get_columns() if is_frame else [value]
        parts = [(one.name, one.head(num)) for one in columns if looks_secret(one.name)]
    else:
        table = plain_table(value)
        names = map(_name, table.columns if is_frame else [table.name])
        own = ((at, name) for at, name in enumerate(names) if looks_secret(name))
        parts = [(name, table.iloc[:num, at] if is_frame else table.iloc[:num]) for at, name in own]
        rows = enumerate(_name(key, key_name) for key in table.index[:num])
        parts += [(key, table.iloc[at : at + 1]) for at, key in rows if looks_secret(key)]
        parts = [(name, values.to_numpy().flat) for name, values in parts]
    return [(name, one) for name, values in parts for one in values]


def _name(label: object, called: Callable[[object], str] = text_of) -> str:
    """Return a label as a text; levels are joined."""
    return ".".join(map(called, label if type(label) is tuple else (label,)))


def _head(value: Any, size: Callable[[Any], str]) -> str:
    package, table = own_package(value), plain_table(value)
    is_own = package in ("pandas", "polars")
    name = f"{package} {short_name(type(value))}" if is_own else type_name(value)
    return name + (size(table) if is_readable(table) else " of values that are not asked")


def _frame_size(frame: Any) -> str:
    num_rows, num_columns = frame.shape
    return f", {count_of(num_rows, 'row')} x {count_of(num_columns, 'column')}"


def _series_size(series: Any) -> str:
    name = cut(one_line(clean(text_of(series.name)[:400])), _NAME_CHARS)
    named = f" {name!r}" if name else ""
    return f"{named}, {count_of(len(series), 'value')} of {_text(series.dtype)}"


def _frame_body(value: Any, reading: Reading) -> str:
    frame = plain_table(value)
    if not is_readable(frame):
        return ""
    is_pandas = own_package(frame) == "pandas"
    labels = frame.columns[:_MAX_COLUMNS]
    columns = []
    for place, label in enumerate(labels.tolist() if is_pandas else labels):
        name = _label(label, reading)
        series = frame.iloc[:, place] if is_pandas else frame.to_series(place)
        about, cells = _text(series.dtype), ("…",) * min(_NUM_ROWS, len(frame))
        if reading.deadline.left_s:
            about += _nulls(series)
            cells = _cells(name, series, _NUM_ROWS, reading)
        columns.append((cut(name, _NAME_CHARS), about, cells))
    return _columns_text(columns, frame.shape[1], reading)


def _text(value: object) -> str:
    return cut(one_line(clean(str(value))), 60)


def _cells(name: str, series: Any, num: int, reading: Reading) -> tuple[str, ...]:
    if own_package(series) == "polars" and series.dtype.is_nested():
        return ("…",) * min(num, len(series))  # a cell may have millions of values
    values = first_values(series, num)
    return tuple(reading.brief_of(name, one, _CELL_CHARS).replace("|", "¦") for one in values)


def _nulls(series: Any) -> str:
    """Return the number of nulls of a series, or of its first rows if it is long."""
    checked = series.head(_NUM_CHECKED)
    num = num_missing(checked)
    extent = "" if len(checked) == len(series) else f" in the first {len(checked)} rows"
    return f" ({count_of(num, 'null')}{extent})" if num else ""


def num_missing(values: Any) -> int:
    """Return the number of missing values of a series."""
    if own_package(values) == "polars":
        return int(values.null_count())
    if values.dtype == object:
        return num_null(values.to_numpy().tolist())
    return int(values.array.isna().sum())  # a series would hash its name


def num_null(items: list[object]) -> int:
    """Return the number of objects that are None, NaN, or pandas' NA or NaT."""
    nulls = {id(exported("pandas", name)) for name in ("NA", "NaT")} | {id(None)}
    floats = {id(float), id(exported("numpy", "float64"))}  # no class's `__eq__` is called
    num = sum(map(nulls.__contains__, map(id, items)))
    return num + int(sum(one != one for one in items if id(type(one)) in floats))  # noqa: PLR0124


def _series_body(value: Any, reading: Reading) -> str:
    series = plain_table(value)
    if not is_readable(series):
        return ""
    name = text_of(series.name)
    values = _cells(name, series, 2 * _NUM_ROWS, reading)
    if own_package(series) == "pandas":
        keys = series.index[: len(values)].tolist()
        by_key = first_values(series, len(values))
        names = [name if looks_secret(name) else _name(key, key_name) for key in keys]
        values = tuple(
            f"{reading.brief(key, _CELL_CHARS)}: {reading.brief_of(called, one)}"
            for key, called, one in zip(keys, names, by_key, strict=True)
        )
    nulls = _nulls(series)
    text = listed(list(values), reading.max_chars - len(nulls), len(series) - len(values))
    return f"{text}\n{nulls.strip(' ()')}" if nulls else text


def _lazy_head(value: Any, _reading: Reading) -> str:
    package = type_name(value).partition(".")[0].lstrip("_")
    return f"{package} {short_name(type(value))}, lazy; it was not computed"


def _plain_array(value: Any) -> Any:
    """Return an array of a subclass as a plain one, uncopied."""
    ndarray = exported("numpy", "ndarray")
    return value if type(value) is ndarray else ndarray.view(value, ndarray)


def _array_head(value: Any, _reading: Reading) -> str:
    array = _plain_array(value)
    name = "numpy array" if array is value else type_name(value)
    return f"{name}, shape {array.shape}, {_text(array.dtype)}"


def _array_body(value: Any, reading: Reading) -> str:
    array = _plain_array(value)
    if is_a(value, exported("numpy.ma", "MaskedArray")):
        return "masked; its values were not read"
    if not array.size:
        return ""
    if names := array.dtype.names:
        few = list(names[:_NUM_FIELDS])
        rows = [dict(zip(few, row, strict=True)) for row in array[few].flat[:2].tolist()]
        return "\n".join(reading.brief(row, reading.max_chars // 2) for row in rows)
    first = array.flat[:_NUM_SHOWN].tolist()
    parts = [f"{one:.6g}" if type(one) is float else cut(reading.brief(one), 24) for one in first]
    lines = [_range(array)] if reading.deadline.left_s else []
    room = reading.max_chars - len("\n".join([*lines, "values: "]))
    lines.append(f"values: {listed(parts, room, array.size - len(parts))}")
    return "\n".join(line for line in lines if line)


def _range(array: Any) -> str:
    """Return the smallest and the largest value, and the number of NaN."""
    import numpy as np

    kind = array.dtype.kind
    if kind not in "iufmM" or array.size > _NUM_READ:
        return ""
    values = array.ravel(order="K")
    # `fmin` skips NaN and, unlike `nanmin`, does not warn.
    ends = [np.fmin.reduce(values), np.fmax.reduce(values)]
    low, high = (f"{one:.6g}" if kind == "f" else str(one) for one in ends)
    num_nan = 0 if kind in "iu" else int(np.count_nonzero(values != values))  # noqa: PLR0124
    return f"range {low} to {high}{f', {num_nan} NaN' if num_nan else ''}"


def _tensor_head(value: Any, _reading: Reading) -> str:
    package = next((package for package, _, _ in library_types(type(value))), "")
    text = f"{package} {short_name(type(value))}, shape {tuple(value.shape)}, {_text(value.dtype)}"
    return f"{text}, on {_text(value.device)}" if package == "torch" else text


_FRAME: Final = Kind(lambda value, _reading: _head(value, _frame_size), _frame_body)
_SERIES: Final = Kind(lambda value, _reading: _head(value, _series_size), _series_body)

_LAZY: Final = Kind(_lazy_head)
_TENSOR: Final = Kind(_tensor_head)

TABLES: Final = {
    ("pandas", "DataFrame"): _FRAME,
    ("pandas", "Series"): _SERIES,
    ("numpy", "ndarray"): Kind(_array_head, _array_body),
    ("polars", "LazyFrame"): _LAZY,
    ("dask", "DaskMethodsMixin"): _LAZY,
    ("ibis", "Expr"): _LAZY,
    ("pyspark", "DataFrame"): _LAZY,
    **{(package, "DuckDBPyRelation"): _LAZY for package in ("duckdb", "_duckdb")},
}
# Only the library's own classes: a subclass may override a method that we call.
OWN_TABLES: Final = {
    ("polars", "DataFrame"): _FRAME,
    ("polars", "Series"): _SERIES,
    ("numpy", "generic"): AS_STR,
    **{(package, "Tensor"): _TENSOR for package in ("torch", "tensorflow")},
    **{("jaxlib", name): _TENSOR for name in ("ArrayImpl", "Array")},
    **{("scipy", name): _TENSOR for name in ("spmatrix", "sparray")},
    ("cupy", "ndarray"): _TENSOR,
}
