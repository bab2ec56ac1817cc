"""Rows are read, and answers come back, as the same kind: lists, pandas, polars, Arrow, any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from jupyter_llm.columns.tables import rows_of
from jupyter_llm.errors import EmptyPromptError, OptionError

TEXTS = ["good 😀", None, "", "good 😀"]
INDEX = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1), ("a", 1)])


def generated() -> Iterator[str | None]:
    yield from TEXTS


KINDS: dict[str, Callable[[], Any]] = {
    "list": lambda: TEXTS,
    "generator": generated,
    "numpy": lambda: np.array(TEXTS, object),
    "pandas": lambda: pd.Series(TEXTS, index=INDEX, name="text"),
    "pandas objects": lambda: pd.Series(TEXTS, dtype=object),
    "pandas index": lambda: pd.Index(TEXTS),
    "polars": lambda: pl.Series("text", TEXTS),
    "arrow": lambda: pa.chunked_array([TEXTS[:2], TEXTS[2:]]),
    "arrow array": lambda: pa.array(TEXTS),
}
FRAMES: dict[str, Callable[[], Any]] = {
    "dicts": lambda: [{"text": text, "n": n} for n, text in enumerate(TEXTS)],
    "pandas": lambda: pd.DataFrame({"text": TEXTS, "n": range(4)}, index=INDEX),
    "polars": lambda: pl.DataFrame({"text": TEXTS, "n": range(4)}),
    "arrow": lambda: pa.table({"text": TEXTS, "n": range(4)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_has_its_values_and_none_where_one_is_missing(kind: str) -> None:
    rows = rows_of(KINDS[kind]())
    assert list(rows.values(["item"])) == [{"item": text} for text in TEXTS]
    assert rows.is_single
    assert rows.count == (None if kind == "generator" else 4)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_has_rows_of_its_columns(kind: str) -> None:
    rows = rows_of(FRAMES[kind]())
    assert rows.columns == ("text", "n")
    assert list(rows.values(["n", "text"])) == [{"text": t, "n": n} for n, t in enumerate(TEXTS)]


def test_columns_of_pandas_may_go_by_numbers() -> None:
    rows = rows_of(pd.DataFrame([[1, 2], [3, 4]]))
    assert list(rows.values(["1"])) == [{"1": 2}, {"1": 4}]
    assert list(rows.column(["x", "y"])) == ["x", "y"]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, np.float64("nan")])
def test_what_stands_for_a_missing_value_anywhere_is_one(missing: object) -> None:
    assert list(rows_of(["a", missing]).values(["item"])) == [{"item": "a"}, {"item": None}]


def test_a_column_of_pandas_comes_back_with_its_index_and_name() -> None:
    series = rows_of(KINDS["pandas"]()).column(["x", None, "y", "z"])
    assert series.index.equals(INDEX)
    assert series.name == "text"
    assert list(series.isna()) == [False, True, False, False]
    frame = rows_of(FRAMES["pandas"]()).frame({"a": [1, None, 2, 3], "b": list("wxyz")})
    assert frame.index.equals(INDEX)
    assert frame["a"].dtype == "Int64"


@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_other_frames_come_back_as_what_they_were(kind: str) -> None:
    values = ["x", None, "y", "z"]
    items, frame = KINDS[kind](), FRAMES[kind]()
    column = rows_of(items).column(values)
    assert type(column) is type(items)
    assert column.to_pylist() == values if kind == "arrow" else column.to_list() == values
    several = rows_of(frame).frame({"a": [1, None, 2, 3], "b": values})
    assert type(several) is type(frame)
    told = several.to_pydict() if kind == "arrow" else several.to_dict(as_series=False)
    assert told == {"a": [1, None, 2, 3], "b": values}


def test_lists_come_back_as_lists_and_mappings() -> None:
    rows = rows_of(generated())
    assert rows.column([1, None]) == [1, None]
    assert rows.frame({"a": [1], "b": [2]}) == [{"a": 1, "b": 2}]


class Tone(Enum):
    GOOD = "good"


@dataclass
class Person:
    name: str
    born: date


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
@pytest.mark.parametrize(
    ("values", "plain"),
    [
        ([Tone.GOOD, None], ["good", None]),
        (
            [Person("Ada", date(1815, 12, 10))] * 2,
            [{"name": "Ada", "born": date(1815, 12, 10)}] * 2,
        ),
        ([1, 2.5], [1.0, 2.5]),
        ([1, "one"], ["1", "one"]),
        ([["a"], []], [["a"], []]),
        ([None, None], [None, None]),
        ([True, None], [True, None]),
    ],
    ids=["enum", "object", "numbers", "mixture", "lists", "nothing", "bool"],
)
def test_columns_of_frames_hold_plain_values(
    kind: str, values: list[Any], plain: list[Any]
) -> None:
    column = rows_of(KINDS[kind]()).column(values)
    cells = column.to_pylist() if kind == "arrow" else column.to_list()
    if kind == "pandas":
        cells = [None if pd.api.types.is_scalar(one) and pd.isna(one) else one for one in cells]
        plain = plain if values != [1, "one"] else values  # its columns hold anything
    assert cells == plain


def test_a_number_that_is_too_large_for_a_column_is_a_text() -> None:
    assert rows_of(pd.Series(["a", "b"])).column([2**70, None])[0] == str(2**70)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_an_empty_frame_comes_back_empty(kind: str) -> None:
    rows = rows_of(FRAMES[kind]()[:0])
    assert rows.count == 0
    assert list(rows.values([])) == []
    assert len(rows.column([])) == 0
    assert len(rows.frame({"a": [], "b": []})) == 0


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ("one text", "not a str"),
        ({"a": 1}, "not a dict"),
        (3, "not a int"),
        (pl.LazyFrame({"a": [1]}), "collect"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "unique"),
    ],
    ids=["text", "mapping", "number", "lazy", "twice"],
)
def test_what_has_no_rows_is_refused_in_a_line(items: object, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        rows_of(items)


FRAME = [{"title": "Ada", "first line": "Hello {{title}}", "n": 3}, {"title": None, "n": 4}]


def prompts(template: str, items: list[Any]) -> list[str | None]:
    return list(rows_of(items).prompts(template))


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("On {{title}}: {{ first line }}", "On Ada: Hello {{title}}"),
        ("{{n}}{{n}}, {title}, $x$, \\{{n}}", "33, {title}, $x$, {{n}}"),
        ("Sum it up", "Sum it up\n\ntitle: Ada\nfirst line: Hello {{title}}\nn: 3"),
    ],
    ids=["never twice", "other braces", "no field"],
)
def test_values_stand_in_the_places_of_their_columns(template: str, prompt: str) -> None:
    assert prompts(template, FRAME)[0] == prompt


def test_a_row_that_lacks_a_value_is_not_asked() -> None:
    assert prompts("{{title}}", FRAME)[1] is None
    assert prompts("{{n}}", FRAME)[1] == "4"
    assert prompts("Sum it up", FRAME)[1] == "Sum it up\n\nn: 4"
    assert prompts("Sum it up", ["a", None]) == ["Sum it up\n\na", None]


def test_a_field_that_is_no_column_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"{{titlle}} in the template is no column.*mean title"):
        prompts("{{titlle}}", FRAME)
    with pytest.raises(OptionError, match="There are: item"):
        prompts("{{x}}", ["a"])


def test_a_template_is_a_text_with_something_in_it() -> None:
    with pytest.raises(EmptyPromptError):
        prompts(" ", FRAME)
