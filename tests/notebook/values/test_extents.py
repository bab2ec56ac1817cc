"""How large values are: odd ones, too, and none of the user's code runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest

from jupyter_llm.notebook.values.extents import extent_of

HEARD: list[str] = []


class Loud:
    """What tells whoever asks it something."""

    def __eq__(self, other: object) -> bool:
        HEARD.append("==")
        return self is other

    def __str__(self) -> str:
        HEARD.append("str")
        return ""

    def __bool__(self) -> bool:
        HEARD.append("bool")
        return True

    __hash__ = object.__hash__


class LoudFrame(pd.DataFrame):  # type: ignore[misc]
    def __len__(self) -> int:
        HEARD.append("len")
        return 1


class LoudList(list[int]):
    def __len__(self) -> int:
        HEARD.append("len")
        return 1


LOUD = Loud()
NAN = float("nan")
ODD: dict[str, tuple[Any, str, int, dict[str, int]]] = {
    "alike": (pd.DataFrame([[1, None], [2, 3]], columns=["a", "a"]), "table", 2, {"a": 1}),
    "numbers": (pd.DataFrame([[1, None], [2, 3]]), "table", 2, {"0": 0, "1": 1}),
    "levels": (pd.DataFrame({("a", "b"): [1, None]}), "table", 2, {"('a', 'b')": 1}),
    "label": (pd.DataFrame([[1, 2]], columns=[LOUD, "b"]), "table", 1, {"": 0, "b": 0}),
    "float index": (pd.Series([1, None], index=[0.5, 9.5]), "series", 2, {"": 1}),
    "category": (pd.Series(["a", None], dtype="category"), "series", 2, {"": 1}),
    "nullable": (pd.DataFrame({"i": pd.array([1, None], dtype="Int64")}), "table", 2, {"i": 1}),
    "sparse": (pd.Series(pd.arrays.SparseArray([0, NAN, NAN])), "series", 3, {"": 2}),
    "objects": (pd.DataFrame({"o": [LOUD, np.zeros(2), None]}), "table", 3, {"o": 1}),
    "odd label": (pd.DataFrame({"a`\nb": [1]}), "table", 1, {"a' b": 0}),
    "no columns": (pd.DataFrame(index=range(5)), "table", 5, {}),
    "no rows": (pd.DataFrame({"a": []}), "table", 0, {"a": 0}),
    "polars": (pl.DataFrame({"a": [[1], None]}), "table", 2, {"a": 1}),
    "polars series": (pl.Series("x", [1, None]), "series", 2, {"x": 1}),
    "dates": (np.array(["2024-01-01", "NaT"], dtype="M8[D]"), "array", 2, {"": 1}),
    "many": (np.full(60_000, NAN), "array", 60_000, {"": 50_000}),
    "list": ([LOUD, None, NAN, np.float64("nan"), pd.NaT, pd.NA], "list", 6, {"": 5}),
    "one": (np.float64("nan"), "value", 1, {"": 1}),
}
UNASKED = (
    LOUD,
    LoudFrame({"a": [1]}),
    LoudList([1]),
    pl.LazyFrame({"a": [1]}),
    None,
    5,
    "a",
    np.ma.array([1]),
)


@pytest.mark.parametrize(("value", "kind", "size", "missing"), ODD.values(), ids=list(ODD))
def test_odd_values_have_an_extent(
    value: object, kind: str, size: int, missing: dict[str, int]
) -> None:
    HEARD.clear()
    found = extent_of(value)
    assert not HEARD
    assert found is not None
    assert (found.kind, found.size, found.missing) == (kind, size, missing)


def test_what_cannot_be_asked_has_none() -> None:
    HEARD.clear()
    assert [extent_of(value) for value in UNASKED] == [None] * len(UNASKED)
    assert not HEARD
