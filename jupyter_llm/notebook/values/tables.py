"""How tables are told: columns with their types, size, nulls, and the first rows.

What is read is bounded whatever the size, and lazy tables are never computed: of those only what is
known already is told. Nothing is known of a polars LazyFrame, since resolving its schema calls the
functions in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.objects import is_known_zone
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
_NUM_CHECKED: Final = 100_000  # rows looked at for nulls
_NUM_OBJECTS_CHECKED: Final = 5_000  # in columns of Python objects, which are slower
_CELL_CHARS: Final = 24
_NAME_CHARS: Final = 40
_ALL_NAMES_CHARS: Final = 300  # of columns; of more, the rows have a part
_LAZY_PACKAGES: Final = ("polars", "dask", "ibis", "duckdb", "_duckdb", "pyspark")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as it is told: its name, its type with the nulls, its first cells."""

    name: str
    about: str
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.about}".rstrip()


def _columns_text(columns: list[_Column], num_columns: int, reading: Reading) -> str:
    """The columns, since code needs them, and the rows as far as there is room."""
    room = reading.max_chars - len("columns: ")
    most = max(room * 3 // 4, min(room, _ALL_NAMES_CHARS))
    names = listed([str(one) for one in columns], most, num_columns - len(columns))
    about = f"columns: {names}"
    num_rows = max((len(column.cells) for column in columns), default=0)
    if not num_rows:
        return about
    title = len("first 3 rows of the first 10 columns:\n")
    width = (reading.max_chars - len(about) - title) // (num_rows + 1)
    shown: list[_Column] = []
    for column in columns:
        if sum(max(map(len, (one.name, *one.cells))) + 3 for one in (*shown, column)) > width:
            break
        shown.append(column)
    if not shown:
        return about
    of = "" if len(shown) == num_columns else f" of the first {count_of(len(shown), 'column')}"
    rows = [" | ".join(column.name for column in shown)]
    rows += [" | ".join(column.cells[row] for column in shown) for row in range(num_rows)]
    return "\n".join([about, f"first {count_of(num_rows, 'row')}{of}:", *rows])


def _cells(name: str, values: list[object], reading: Reading) -> tuple[str, ...]:
    return tuple(reading.brief_of(name, value, _CELL_CHARS).replace("|", "¦") for value in values)


def _label(value: object, reading: Reading) -> str:
    """A column's label: a text as it is, anything else as a value."""
    return one_line(clean(text_of(value)[:400])) or reading.brief(value, 200)


def _column(name: str, about: str, cells: tuple[str, ...] = ()) -> _Column:
    return _Column(cut(name, _NAME_CHARS), about, cells)


def _nulls(num: int, where: str = "") -> str:
    return f" ({count_of(num, 'null')}{where})" if num else ""


def _values_text(cells: list[str], num: int, nulls: str, reading: Reading) -> str:
    """The first of many values, and how many are null."""
    text = listed(cells, reading.max_chars - len(nulls), num - len(cells))
    return f"{text}\n{nulls.strip(' ()')}" if nulls else text


# --- pandas and polars


def _plain(value: Any) -> Any:
    """A frame or series as one of the library's own class, without copying.

    One of pandas without its `attrs`, too: each piece of a frame gets a deep copy of them.
    """
    for package, name, found in library_types(type(value)):
        cls: Any = found
        if name not in ("DataFrame", "Series"):
            continue
        if cls is type(value) and package == "polars":
            return value
        if package == "polars" and name == "DataFrame":
            return cls._from_pydf(attribute(value, "_df"))
        if package == "polars":
            return cls._from_pyseries(attribute(value, "_s"))
        data = attribute(value, "_mgr")
        plain = cls._from_mgr(data, axes=data.axes)
        if name == "Series":
            object.__setattr__(plain, "_name", attribute(value, "_name"))  # whatever it is
        return plain
    return value


def _frame_head(value: Any, _reading: Reading) -> str:
    frame = _plain(value)
    name, package = type_name(value), type_name(value).partition(".")[0]
    name = f"{package} DataFrame" if package in ("pandas", "polars") else name
    if not _has_own_axes(frame):
        return f"{name}; its index is of a class that is not asked"
    num_rows, num_columns = frame.shape
    return f"{name}, {count_of(num_rows, 'row')} x {count_of(num_columns, 'column')}"


def _series_head(value: Any, _reading: Reading) -> str:
    series = _plain(value)
    package = next(package for package, name, _ in library_types(type(value)) if name == "Series")
    name = cut(one_line(clean(text_of(series.name)[:400])), _NAME_CHARS)
    told = f"{package} Series{f' {name!r}' if name else ''}"
    if package == "pandas" and (stranger := _stranger_in(series)):
        return f"{told} of {stranger}, which is not asked"
    return f"{told}, {_num_values(series)}"


def _num_values(values: Any) -> str:
    return f"{count_of(len(values), 'value')} of {_dtype(values.dtype)}"


def _is_own(value: object) -> bool:
    """Whether the class of a value is a library's own, so that reading it runs nothing else."""
    return own_package(value) in ("numpy", "pandas", "polars")


def _is_known(dtype: object) -> bool:
    """Whether a dtype is a library's own, and what it is made of, so that arrays may be read."""
    categories, zone = attribute(dtype, "_categories"), attribute(dtype, "_tz")
    return (
        _is_own(dtype)
        and (categories is ABSENT or categories is None or _is_own_index(categories))
        and (zone is ABSENT or is_known_zone(zone))
    )


def _is_own_index(index: object) -> bool:
    """Whether an index of pandas holds nothing whose class is another's."""
    levels, data = attribute(index, "_levels"), attribute(index, "_data")
    if not _is_own(index):
        return False
    if is_a(levels, list):
        return all(map(_is_own_index, list.__iter__(levels)))
    return data is ABSENT or (_is_own(data) and _is_known(data.dtype))


def _has_own_axes(frame: Any) -> bool:
    is_pandas = type(frame) is exported("pandas", "DataFrame")
    return not is_pandas or all(map(_is_own_index, frame.axes))


def column_labels(value: Any) -> tuple[str, ...] | None:
    """The texts among a frame's columns; None for what is no frame, or one that is not asked."""
    own = {package for package, name, _ in library_types(type(value)) if name == "DataFrame"}
    if own.isdisjoint(("pandas", "polars")) or own_package(value) not in own:
        return None
    if "polars" in own:
        return tuple(value.columns)
    if not _has_own_axes(value):
        return None
    return tuple(text_of(label) for label in value.columns.tolist() if is_a(label, str))


def index_labels(value: Any) -> tuple[str, ...]:
    """The names of the levels of a pandas frame's index, which `groupby` takes for columns."""
    if own_package(value) != "pandas":
        return ()
    return tuple(text_of(name) for name in value.index.names if is_a(name, str))


def held_type(series: Any) -> str:
    """What a Series of pandas holds, as its dtype is called; "" where that is not asked."""
    return "" if _stranger_in(series) else str(series.dtype)


def column(value: Any, label: str) -> Any:
    """A column of a frame that `column_labels` tells of."""
    if own_package(value) == "polars":
        return value.get_column(label)
    place = value.columns.get_loc(label)
    return _plain(value).iloc[:, place] if type(place) is int else value


def _arrays(values: Any) -> dict[int, Any]:
    """What a frame or series of pandas keeps its columns in, by their places."""
    return {
        place: block.values
        for block in attribute(values, "_mgr").blocks
        for place in block.mgr_locs.as_array.tolist()
    }


def _stranger(array: object) -> str:
    """The class of an array if it is no library's own; asking one would run its code."""
    return "" if _is_own(array) and _is_known(array.dtype) else type_name(array)  # type: ignore[attr-defined]


def _stranger_in(series: Any) -> str:
    array = attribute(series, "_mgr").blocks[0].values
    return _stranger(array) or ("" if _is_own_index(series.index) else type_name(series.index))


def _dtype(dtype: object) -> str:
    return cut(one_line(clean(str(dtype))), 60) if _is_known(dtype) else type_name(dtype)


def _frame_body(value: Any, reading: Reading) -> str:
    frame = _plain(value)
    if not _has_own_axes(frame):
        return ""
    arrays = _arrays(frame)
    labels = frame.columns[:_MAX_COLUMNS].tolist()
    columns = []
    for place, one in enumerate(labels):
        name = _label(one, reading)
        stranger = _stranger(arrays[place])
        if stranger or reading.deadline.is_over:
            about = stranger or _dtype(arrays[place].dtype)
            columns.append(_column(name, about, ("…",) * min(_NUM_ROWS, len(frame.index))))
            continue
        series = frame.iloc[:, place]
        cells = _cells(name, _pandas_values(series, _NUM_ROWS), reading)
        columns.append(_column(name, f"{_dtype(series.dtype)}{_pandas_nulls(series)}", cells))
    return _columns_text(columns, frame.shape[1], reading)


def _pandas_values(series: Any, num: int) -> list[object]:
    first = series.iloc[:num].array
    return [first[row] for row in range(len(first))]


def _pandas_nulls(series: Any) -> str:
    dtype, num_rows = series.dtype, len(series)
    kind = dtype.kind if is_a(dtype, exported("numpy", "dtype")) else ""
    if kind in ("i", "u", "b"):
        return ""
    if kind == "O":
        checked = series.iloc[:_NUM_OBJECTS_CHECKED]
        num = sum(map(_is_null, checked.to_numpy().flat))
    else:
        checked = series.iloc[:_NUM_CHECKED]
        num = int(checked.isna().sum())
    return _nulls(num, "" if len(checked) == num_rows else f" in the first {len(checked)} rows")


def _is_null(value: object) -> bool:
    if value is None or value is exported("pandas", "NA") or value is exported("pandas", "NaT"):
        return True
    return type(value) is float and value != value  # noqa: PLR0124  that is how NaN is told


def _series_body(value: Any, reading: Reading) -> str:
    series = _plain(value)
    if _stranger_in(series):
        return ""
    values = _pandas_values(series, 2 * _NUM_ROWS)
    keys = series.index[: len(values)].tolist()
    name = text_of(series.name)
    is_secret = looks_secret(name)
    cells = [
        f"{reading.brief(key, _CELL_CHARS)}: "
        + reading.brief_of(name if is_secret else key_name(key), one)
        for key, one in zip(keys, values, strict=True)
    ]
    return _values_text(cells, len(series), _pandas_nulls(series), reading)


def _index_head(value: Any, reading: Reading) -> str:
    names = [cut(_label(one, reading), _NAME_CHARS) for one in value.names if one is not None]
    kind = f"pandas {short_name(type(value))}"
    if not _is_own_index(value):
        return f"{kind} of a class that is not asked"
    return f"{kind}{' of ' if names else ''}{listed(names, 200)}, {_num_values(value)}"


def _index_body(value: Any, reading: Reading) -> str:
    if not _is_own_index(value):
        return ""
    name = " ".join(map(text_of, value.names))
    cells = [reading.brief_of(name, one) for one in value[: 2 * _NUM_ROWS].tolist()]
    return _values_text(cells, len(value), "", reading)


def _polars_body(value: Any, reading: Reading) -> str:
    frame = _plain(value)
    columns = []
    for place in range(min(frame.width, _MAX_COLUMNS)):
        series = frame.to_series(place)
        name = _label(series.name, reading)
        about = f"{_dtype(series.dtype)}{_nulls(series.null_count())}"
        columns.append(_column(name, about, _polars_cells(name, series, _NUM_ROWS, reading)))
    return _columns_text(columns, frame.width, reading)


def _polars_cells(name: str, series: Any, num: int, reading: Reading) -> tuple[str, ...]:
    first, dtype = series.head(num), series.dtype
    if dtype.is_nested():  # a cell may hold millions of values
        return ("…",) * len(first)
    if dtype == exported("polars", "String"):
        first = first.str.slice(0, _CELL_CHARS + 4096)
    return _cells(name, list(first), reading)


def _polars_series_body(value: Any, reading: Reading) -> str:
    series = _plain(value)
    cells = _polars_cells(series.name, series, 2 * _NUM_ROWS, reading)
    return _values_text(list(cells), len(series), _nulls(series.null_count()), reading)


# --- lazy tables


def _lazy_head(value: Any, _reading: Reading) -> str:
    package = next(
        (name for name, _, _ in library_types(type(value)) if name in _LAZY_PACKAGES), ""
    )
    return f"{package.lstrip('_')} {short_name(type(value))}, lazy; it was not computed"


def _schema(pairs: Iterable[tuple[object, object]], num: int, reading: Reading) -> str:
    columns = [
        _column(_label(name, reading), cut(one_line(clean(str(dtype))), 60))
        for name, dtype in islice(pairs, _MAX_COLUMNS)
    ]
    return _columns_text(columns, num, reading)


def _dask_body(value: Any, reading: Reading) -> str:
    """Tell the columns that dask found out when the graph was made."""
    meta = attribute(attribute(value, "_expr"), "_meta")
    if meta is ABSENT:
        meta = attribute(value, "_meta")
    own = {name for _, name, cls in library_types(type(meta)) if cls is type(meta)}
    if "DataFrame" in own:
        if not _has_own_axes(meta):
            return ""
        arrays = _arrays(meta)
        dtypes = (_stranger(arrays[n]) or _dtype(arrays[n].dtype) for n in range(len(arrays)))
        pairs = zip(meta.columns.tolist(), dtypes, strict=True)
        return _schema(pairs, meta.shape[1], reading)
    if "Series" in own:
        return f"values: {_stranger_in(meta) or _dtype(meta.dtype)}"
    return ""


def _duckdb_body(value: Any, reading: Reading) -> str:
    return _schema(zip(value.columns, value.types, strict=True), len(value.columns), reading)


def _ibis_body(value: Any, reading: Reading) -> str:
    schema = value.schema()
    return _schema(zip(schema.names, schema.types, strict=True), len(schema.names), reading)


_LAZY: Final = Kind(_lazy_head)

TABLES: Final = {
    ("pandas", "DataFrame"): Kind(_frame_head, _frame_body),
    ("pandas", "Series"): Kind(_series_head, _series_body),
    ("polars", "DataFrame"): Kind(_frame_head, _polars_body),
    ("polars", "Series"): Kind(_series_head, _polars_series_body),
    ("polars", "LazyFrame"): _LAZY,
    ("dask", "DaskMethodsMixin"): Kind(_lazy_head, _dask_body),
    ("ibis", "Expr"): _LAZY,
    ("pyspark", "DataFrame"): _LAZY,
}
# Of these only the library's own classes: a subclass may override what is called.
OWN_TABLES: Final = {
    ("pandas", "Index"): Kind(_index_head, _index_body),
    ("ibis", "Table"): Kind(_lazy_head, _ibis_body),
    ("duckdb", "DuckDBPyRelation"): Kind(_lazy_head, _duckdb_body),
    ("_duckdb", "DuckDBPyRelation"): Kind(_lazy_head, _duckdb_body),
}
