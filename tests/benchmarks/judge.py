"""What a check of a notebook task may say: likeness of values, and what a figure shows.

A check must accept every way that a colleague would take. So values are compared as what they hold:
a frame of one column is a series, a key that became a column is an index again, numbers may differ
in kind and in their last digits, and names of indexes mean nothing.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from numbers import Number
from typing import Any

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9


def near(left: object, right: object, *, any_order: bool = False) -> bool:
    """Whether two values hold the same; with `any_order` also in another order of the rows."""
    left, right = _plain(left), _plain(right)
    if isinstance(left, _Table) and isinstance(right, _Table):
        return left.is_near(right, any_order=any_order)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, _Table):
            return one.is_near_plain(other, any_order=any_order)
    return _same(left, right, any_order=any_order)


@dataclass(frozen=True, slots=True)
class _Table:
    """A frame or a series: columns of equal length, and the index where it says something."""

    columns: dict[Any, list[Any]]
    index: list[Any] | None = None
    is_series: bool = False

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return list(zip(*self.columns.values(), strict=True))

    def is_near(self, other: _Table, *, any_order: bool) -> bool:
        forms = [(one, two) for one in self._forms() for two in other._forms()]
        return any(_same_tables(one, two, any_order=any_order) for one, two in forms)

    def _forms(self) -> list[_Table]:
        """The table as it is, and with its first columns as the index."""
        forms = [self]
        names = list(self.columns)
        if self.index is None:
            for count in range(1, len(names)):
                keys = list(zip(*(self.columns[name] for name in names[:count]), strict=True))
                index = [key[0] for key in keys] if count == 1 else keys
                forms.append(_Table({name: self.columns[name] for name in names[count:]}, index))
        return forms

    def is_near_plain(self, other: object, *, any_order: bool) -> bool:
        """Whether it holds what a value that is no table holds."""
        columns = list(self.columns.values())
        if isinstance(other, Mapping):
            other = dict(other)
            as_columns = {str(name): values for name, values in self.columns.items()}
            if _same(as_columns, {str(key): value for key, value in other.items()}):
                return True
            return any(
                len(form.columns) == 1
                and form.index is not None
                and _same(dict(zip(form.index, *form.columns.values(), strict=True)), other)
                for form in self._forms()
            )
        if len(columns) == 1:
            if _same(columns[0], other, any_order=any_order):
                return True
            if len(columns[0]) == 1 and _same(columns[0][0], other):
                return True
            pairs = self.index is not None and list(zip(self.index, columns[0], strict=True))
            return bool(pairs) and _same(pairs, other, any_order=any_order)
        return _same(self.rows, other, any_order=any_order)


def _same_tables(left: _Table, right: _Table, *, any_order: bool) -> bool:
    if len(left.columns) == len(right.columns) == 1:
        names = [None]
        rows, others = left.rows, right.rows
    else:
        if set(map(str, left.columns)) != set(map(str, right.columns)):
            return False
        names = sorted(left.columns, key=str)
        named = {str(name): values for name, values in right.columns.items()}
        rows = list(zip(*(left.columns[name] for name in names), strict=True))
        others = list(zip(*(named[str(name)] for name in names), strict=True))
    if left.index is not None and right.index is not None:
        rows = [(key, *row) for key, row in zip(left.index, rows, strict=True)]
        others = [(key, *row) for key, row in zip(right.index, others, strict=True)]
    return _same(rows, others, any_order=any_order)


def _plain(value: object) -> Any:
    """A value as plain Python holds it, or as a table."""
    home = type(value).__module__.partition(".")[0]
    if home == "polars":
        return _plain_polars(value)
    if home == "pandas":
        return _plain_pandas(value)
    if home == "numpy":
        return value.tolist()  # type: ignore[attr-defined]
    return value


def _plain_polars(value: Any) -> Any:
    if hasattr(value, "collect"):
        value = value.collect()
    if hasattr(value, "to_dict"):
        return _Table(value.to_dict(as_series=False))
    return _Table({None: value.to_list()}, is_series=True) if hasattr(value, "to_list") else value


def _plain_pandas(value: Any) -> Any:
    import pandas as pd  # type: ignore[import-untyped]

    if isinstance(value, pd.DataFrame):
        columns = {name: value.iloc[:, at].tolist() for at, name in enumerate(value.columns)}
        return _Table(columns, _telling(value.index))
    if isinstance(value, pd.Series):
        return _Table({None: value.tolist()}, _telling(value.index), is_series=True)
    if isinstance(value, pd.Index):
        return _Table({None: value.tolist()}, is_series=True)
    if hasattr(value, "tolist"):  # an array of pandas' own
        return value.tolist()
    return value


def _telling(index: Any) -> list[Any] | None:
    """An index, unless it only counts the rows."""
    keys = index.tolist()
    return None if keys == list(range(len(keys))) else keys


def _same(left: Any, right: Any, *, any_order: bool = False) -> bool:
    left, right = _leaf(left), _leaf(right)
    if _is_missing(left) or _is_missing(right):
        return _is_missing(left) and _is_missing(right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if any(isinstance(key, float) for key in (*left, *right)):
            return _same(sorted(left.items()), sorted(right.items()))
        is_like = left.keys() == right.keys()
        return is_like and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, AbstractSet) and isinstance(right, AbstractSet):
        left, right, any_order = list(left), list(right), True
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            return False
        if any_order:
            left, right = sorted(left, key=_order), sorted(right, key=_order)
        return all(map(_same, left, right))
    if isinstance(left, Number) and isinstance(right, Number):
        return _same_numbers(left, right)
    return type(left) is type(right) and bool(left == right)


def _leaf(value: Any) -> Any:
    """A value inside of another one, made plain; times are all of one kind."""
    plain = _plain(value)
    if isinstance(plain, _Table):
        return plain.rows if len(plain.columns) > 1 else [row[0] for row in plain.rows]
    if hasattr(plain, "to_pydatetime"):
        plain = plain.to_pydatetime()
    if hasattr(plain, "to_pytimedelta"):
        plain = plain.to_pytimedelta()
    if isinstance(plain, dt.date) and not isinstance(plain, dt.datetime):
        return dt.datetime(plain.year, plain.month, plain.day)  # noqa: DTZ001  as pandas has them
    if hasattr(plain, "items") and not isinstance(plain, dict) and isinstance(plain, Mapping):
        return dict(plain)
    if isinstance(plain, type({}.keys()) | type({}.values()) | type({}.items())):
        return list(plain)
    return plain


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _same_numbers(left: Any, right: Any) -> bool:
    if isinstance(left, complex) or isinstance(right, complex):
        return bool(abs(left - right) <= _ABSOLUTE + _RELATIVE * abs(right))
    return math.isclose(left, right, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _order(value: Any) -> str:
    """What rows are sorted by, alike for numbers that differ in their last digits."""
    value = _leaf(value)
    if isinstance(value, list | tuple):
        return ",".join(map(_order, value))
    return f"{float(value):.5g}" if isinstance(value, int | float) else repr(value)


@dataclass(frozen=True, slots=True)
class Axes:
    """What one plot of a figure shows."""

    title: str
    xlabel: str
    ylabel: str
    lines: list[tuple[list[Any], list[Any]]]  # (x, y) of each
    bars: list[float]  # their lengths, in the order they were drawn
    bar_labels: list[str]
    is_horizontal: bool
    points: list[tuple[float, float]]  # of scatter plots
    num_images: int
    num_patches: int
    num_collections: int
    legend: list[str]
    xticks: list[str]
    yticks: list[str]
    xlim: tuple[float, ...]
    ylim: tuple[float, ...]
    xscale: str
    yscale: str
    texts: list[str]
    has_grid: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """What a figure shows: of each plot, and at once of all of them."""

    axes: list[Axes]
    suptitle: str
    width: float
    height: float
    titles: list[str] = field(default_factory=list)

    @property
    def num_axes(self) -> int:
        return len(self.axes)

    def __getattr__(self, name: str) -> Any:
        """What the first plot shows, under its name there; of lists those of all plots."""
        if name.startswith("_") or not self.axes:
            raise AttributeError(name)
        values = [getattr(axes, name) for axes in self.axes]
        if isinstance(values[0], list):
            return [item for value in values for item in value]
        return next((value for value in values if value), values[0])


def figure_facts(figure: Any) -> Figure:
    """What a figure of matplotlib shows."""
    figure.canvas.draw()  # tick labels are not known before
    suptitle = figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
    axes = [_axes_facts(one) for one in figure.axes if one.get_visible()]
    width, height = map(float, figure.get_size_inches())
    return Figure(axes, suptitle, width, height, [one.title for one in axes])


def _axes_facts(axes: Any) -> Axes:
    from matplotlib.container import BarContainer

    bars = [bar for bar in axes.containers if isinstance(bar, BarContainer)]
    is_horizontal = any(getattr(bar, "orientation", "") == "horizontal" for bar in bars)
    rectangles = [rectangle for bar in bars for rectangle in bar]
    lengths = [float(r.get_width() if is_horizontal else r.get_height()) for r in rectangles]
    legend = axes.get_legend()
    xticks, yticks = (
        [t.get_text() for t in ticks()] for ticks in (axes.get_xticklabels, axes.get_yticklabels)
    )
    scatters = [one for one in axes.collections if type(one).__name__ == "PathCollection"]
    points = [(float(x), float(y)) for one in scatters for x, y in one.get_offsets()]
    return Axes(
        title=axes.get_title() or axes.get_title("left") or axes.get_title("right"),
        xlabel=axes.get_xlabel(),
        ylabel=axes.get_ylabel(),
        lines=[(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines],
        bars=lengths,
        bar_labels=yticks if is_horizontal else xticks,
        is_horizontal=is_horizontal,
        points=points,
        num_images=len(axes.images),
        num_patches=len(axes.patches),
        num_collections=len(axes.collections),
        legend=[text.get_text() for text in legend.get_texts()] if legend else [],
        xticks=xticks,
        yticks=yticks,
        xlim=tuple(map(float, axes.get_xlim())),
        ylim=tuple(map(float, axes.get_ylim())),
        xscale=axes.get_xscale(),
        yscale=axes.get_yscale(),
        texts=[text.get_text() for text in axes.texts],
        has_grid=any(line.get_visible() for line in axes.get_xgridlines() + axes.get_ygridlines()),
    )
