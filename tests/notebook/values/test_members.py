"""What can be read from a value by name, without running code of its class."""

from __future__ import annotations

import math
import os
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from jupyter_llm.notebook.values.members import attributes, item, keys, member
from jupyter_llm.notebook.values.peek import ABSENT

FRAME = pd.DataFrame({"price": [1.0], "two words": [2], 3: [3]})


class Point:
    kind = "point"

    def __init__(self) -> None:
        self.x = 1
        self._hidden = 2

    @property
    def norm(self) -> float:
        raise AssertionError("nobody asked for that")


class Slotted:
    __slots__ = ("x",)


@pytest.mark.parametrize(
    "value",
    [math, np, "text", [1], {}, 3, np.zeros(3), Point(), Slotted(), Point, FRAME, FRAME["price"]],
)
def test_all_attributes_that_are_told_exist(value: object) -> None:
    names = attributes(value)
    assert names
    lazy = {"version", "matrixlib"}  # modules that numpy has and does not list
    told = {*dir(value), *lazy} if value is np else {*dir(type(value)), *dir(value)}
    assert names <= told


def test_attributes_of_an_object_are_its_own_and_its_classes() -> None:
    assert set(attributes(Point()) or ()) == {"kind", "x", "norm"}


def test_columns_are_attributes_and_keys_of_a_frame() -> None:
    assert {"price", "groupby"} <= (attributes(FRAME) or set())
    assert keys(FRAME) == ("price", "two words")
    assert item(FRAME, "price").tolist() == [1.0]
    assert member(FRAME, "price").tolist() == [1.0]


def test_a_series_has_only_the_accessors_that_fit_what_it_holds() -> None:
    texts, times = pd.Series(["a"]), pd.Series(pd.to_datetime(["2026-01-01"]))
    assert {"str", "dt", "cat"} & set(attributes(texts) or ()) == {"str"}
    assert {"str", "dt", "cat"} & set(attributes(times) or ()) == {"dt"}
    assert {"str", "dt", "cat"} & set(attributes(FRAME["price"]) or ()) == set()


@pytest.mark.parametrize("name", ["__getattr__", "__getattribute__", "__dir__"])
def test_nothing_is_told_of_a_class_that_decides_by_code(name: str) -> None:
    def fail(*_args: object) -> object:
        raise AssertionError("the user's code has run")

    value = type("Open", (), {name: fail})()
    assert attributes(value) is None


def test_nothing_is_told_of_the_users_own_kinds_of_frames_and_dictionaries() -> None:
    frame_class = type("Frame", (pd.DataFrame,), {})

    class Keys(dict[str, int]):
        pass

    assert keys(frame_class({"a": [1]})) is None
    assert keys(Keys(a=1)) is None
    assert keys(os.environ) is None
    assert attributes(frame_class({"a": [1]})) is None


def test_a_module_that_decides_by_code_is_open_unless_it_is_a_librarys() -> None:
    own = ModuleType("own")
    own.__getattr__ = lambda _name: 1  # type: ignore[method-assign]
    assert attributes(own) is None
    assert "zeros" in (attributes(np) or ())


def test_values_are_followed_where_they_are_stored() -> None:
    value = SimpleNamespace(inner={"a": {"b": 1}})
    assert item(item(member(value, "inner"), "a"), "b") == 1
    assert member(Point(), "norm") is ABSENT
    assert item({"a": 1}, "z") is ABSENT
    assert member(os, "path") is sys.modules["os"].path
