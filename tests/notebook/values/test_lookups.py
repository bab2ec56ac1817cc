"""What can be read from a value by name, without running code of its class."""

from __future__ import annotations

import math
import os
from types import ModuleType

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from jupyter_llm.notebook.values.lookups import attributes, keys

FRAME = pd.DataFrame({"price": [1.0], "two words": [2], 3: [3]})


class Point:
    kind = "point"

    def __init__(self) -> None:
        self.x = 1
        self._hidden = 2

    @property
    def norm(self) -> float:
        raise AssertionError("nobody asked for that")


@pytest.mark.parametrize(
    "value",
    [math, np, "text", [1], {}, 3, np.zeros(3), Point(), Point, FRAME, FRAME["price"]],
)
def test_all_attributes_that_are_told_exist(value: object) -> None:
    names = attributes(value)
    assert names
    lazy = {"version", "matrixlib"}  # modules that numpy has and does not list
    told = {*dir(value), *lazy} if value is np else {*dir(type(value)), *dir(value)}
    assert names <= told


def test_a_series_has_only_the_accessors_that_fit_what_it_holds() -> None:
    texts, times = pd.Series(["a"]), pd.Series(pd.to_datetime(["2026-01-01"]))
    assert {"str", "dt", "cat"} & set(attributes(texts) or ()) == {"str"}
    assert {"str", "dt", "cat"} & set(attributes(times) or ()) == {"dt"}
    assert {"str", "dt", "cat"} & set(attributes(FRAME["price"]) or ()) == set()


def test_nothing_is_told_of_what_decides_by_code() -> None:
    def fail(*_args: object) -> object:
        raise AssertionError("the user's code has run")

    for name in ("__getattr__", "__getattribute__", "__dir__"):
        assert attributes(type("Open", (), {name: fail})()) is None
    own = ModuleType("own")
    own.__getattr__ = fail  # type: ignore[method-assign]
    assert attributes(own) is None
    assert "zeros" in (attributes(np) or ())
    frame = type("Frame", (pd.DataFrame,), {})({"a": [1]})
    assert attributes(frame) is None
    for value in (frame, type("Keys", (dict,), {})(a=1), os.environ):
        assert keys(value) is None
