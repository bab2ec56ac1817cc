"""A hostile namespace is told in time, and nothing runs but what a `repr` runs."""

from __future__ import annotations

import argparse
import collections
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest
from pandas.api.extensions import ExtensionArray, ExtensionDtype  # type: ignore[import-untyped]
from support import hostile
from support.interrupts import interrupt_main

from jupyter_llm.notebook.values import guard
from jupyter_llm.notebook.values.summaries import Summary, summarize
from jupyter_llm.notebook.values.variables import describe

WHOLE: tuple[Callable[[dict[str, Any]], object], ...] = (
    collections.UserDict,
    collections.ChainMap,
    dict.items,
    lambda mapping: collections.UserList(mapping.values()),
    lambda mapping: argparse.Namespace(given=mapping),
)


def repr_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "jupyter-llm-repr"]


def wait_for_repr_threads() -> None:
    for thread in repr_threads():
        thread.join(timeout=10)
    assert not repr_threads()


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    guard._slow.clear()
    hostile.ran.clear()
    yield
    wait_for_repr_threads()


def told(namespace: dict[str, object], **options: Any) -> dict[str, Summary]:
    found = describe("", [], namespace, choice=",".join(namespace), max_chars=10**6, **options)
    return {one.name: one for one in found}


def test_a_hostile_namespace_is_told_in_time_and_runs_nothing_but_reprs() -> None:
    namespace = hostile.namespace()
    names = list(namespace)
    assert len(names) > 30
    summaries = told(namespace)
    assert list(summaries) == names
    assert hostile.ran == []
    for one in summaries.values():
        assert one.text.startswith(f"{one.name}: "), one
        assert len(one.text) <= 600
        assert "not readable" not in one.text, one
    texts = " ".join(one.text for one in summaries.values())
    waits = re.findall(r"took longer than ([\d.]+) s", texts)
    assert 0 < sum(map(float, waits)) <= 0.41  # of 0.4 s for all


def test_what_is_told_of_hostile_objects() -> None:
    # One by one, so that none takes another's time.
    texts = {
        name: summarize(name, value, deadline_s=1)
        for name, value in list(hostile.namespace().items())
        if "loops" not in name and "sleeps" not in name
    }

    def tells(name: str, *parts: str) -> None:
        assert all(part in texts[name] for part in parts), texts[name]

    tells("raises", "Shown: its repr failed: ValueError>")
    tells("interrupts", "failed: KeyboardInterrupt")
    tells("recurses", "failed: RecursionError")
    tells("prints", "Prints()")
    tells("huge", "xxx", "(cut, 10000000 characters)")
    tells("bytes_", "failed: TypeError")
    tells("property_", "Property(shown=1)")
    tells("proxy", "<Proxy>")
    tells("liar", "DataFrame()")
    tells("recursive_", "list, 3 items", "…(itself)")
    tells("lazy_", "polars LazyFrame, lazy; it was not computed")
    tells("large_", "100000000 rows x 1 column", "n float64")
    tells("generator_", "<generator object")
    tells("hostile", "Hostileobject()")
    tells("hostile_dict", "(dict), 1 item", "{'a': 1}")
    tells("hostile_list", "(list), 2 items", "[1, 2]")
    tells("hostile_str", "(str) of 4 characters: 'text'")
    tells("hostile_set", "{1}")
    tells("hostile_error", "HostileValueError('text')")
    tells("hostile_frame", "HostileFrame, 2 rows x 1 column", "a int64")
    tells("hostile_array", "Hostilendarray, shape (2,), int64")
    cell = "support.hostile.Hostile"  # …Cell is cut
    tells("array_of_hostile", "shape (2,), object", cell)
    tells("frame_of_hostile", "c object (1 null)", cell)
    tells("series_of_hostile", cell, ": 1")
    tells("labels_of_hostile", cell, "int64")
    tells("of_meta", "OfMeta()")
    tells("class_of_meta", "class", "OfMeta")
    tells("answers", "a text of a subclass")
    tells("deletes", "Deletes()")


@pytest.mark.parametrize("cls", [hostile.Loops, hostile.LoopsAndCatches])
def test_a_loop_is_ended(cls: type) -> None:
    assert "its repr took longer than 0." in summarize("x", cls())
    wait_for_repr_threads()


def test_one_that_swallows_what_ends_it_holds_nobody_up() -> None:
    released = threading.Event()

    class Swallows:
        def __repr__(self) -> str:
            while not released.is_set():
                with suppress(BaseException):
                    released.wait(0.01)
            return "Swallows()"

    try:
        assert "its repr took longer than 0." in summarize("x", Swallows())
        assert repr_threads()  # it goes on beside the notebook
    finally:
        released.set()


def test_a_class_that_was_too_slow_is_not_asked_again() -> None:
    class Counts:
        num_asked = 0

        def __repr__(self) -> str:
            type(self).num_asked += 1
            time.sleep(0.3)
            return "Counts()"

    first = summarize("x", Counts(), deadline_s=0.1)
    assert "its repr took longer than 0." in first  # what was left of that time
    assert summarize("x", Counts(), deadline_s=5) == first
    assert Counts.num_asked <= 1  # a busy machine may not even have begun


def test_one_that_keeps_all_threads_waiting_is_asked_once_however_little_time_it_had() -> None:
    cell = compile(
        "class Holds:\n"
        "    def __repr__(self):\n"
        "        asked.append(self)\n"
        "        return str(sum(range(20_000_000)))\n",
        "the same cell",
        "exec",
    )
    namespace: dict[str, Any] = {"asked": [], "__name__": "__main__"}
    exec(cell, namespace)  # noqa: S102
    for _ in range(10):  # a busy machine may not even begin in time
        if not guard._slow:
            summarize("x", namespace["Holds"](), deadline_s=0.01)
            wait_for_repr_threads()
    num_asked = len(namespace["asked"])
    exec(cell, namespace)  # noqa: S102  the class is another one now
    assert "took longer" in summarize("x", namespace["Holds"](), deadline_s=10)
    assert len(namespace["asked"]) == num_asked


@pytest.mark.parametrize("wrap", WHOLE, ids=lambda wrap: str(getattr(wrap, "__name__", wrap)))
def test_of_what_shows_all_it_holds_only_the_first_is_read(wrap: Callable[[Any], object]) -> None:
    class Counts:
        num_asked = 0

        def __repr__(self) -> str:
            type(self).num_asked += 1
            return "Counts()"

    assert "Counts()" in summarize("x", wrap(dict.fromkeys(map(str, range(5000)), Counts())))
    assert Counts.num_asked < 50


def test_one_that_hangs_does_not_keep_the_others_from_being_asked() -> None:
    hanging = {f"hanging{n}": type(f"H{n}", (hostile.Sleeps,), {})() for n in range(2)}
    assert told({**hanging, "fine": hostile.Prints()})["fine"].text == "fine: Prints()"


def test_an_interrupt_goes_through_and_ends_the_call() -> None:
    class Interrupted:
        def __repr__(self) -> str:
            interrupt_main()
            while True:
                pass

    with pytest.raises(KeyboardInterrupt):
        summarize("x", Interrupted(), deadline_s=30)
    wait_for_repr_threads()


def test_a_coroutine_is_closed_and_the_next_in_order_is_asked() -> None:
    class Later:
        async def _ai_repr_(self) -> str:
            return "never awaited"

        def _repr_llm_(self) -> object:
            return self._ai_repr_()

        def __repr__(self) -> str:
            return "from repr"

    assert summarize("x", Later()) == "x: from repr"  # and no warning, which would be an error


class Celsius(ExtensionArray):  # type: ignore[misc]
    """Values of a dtype of the user's own."""

    def __init__(self, values: Any) -> None:
        self.values = list(values)

    @property
    def dtype(self) -> Any:
        hostile.ran.append("dtype")
        return CelsiusDtype()

    def __len__(self) -> int:
        hostile.ran.append("len")
        return len(self.values)

    def __getitem__(self, place: Any) -> Any:
        hostile.ran.append("item")
        return self.values[place] if isinstance(place, int) else Celsius(self.values[place])

    def copy(self) -> Celsius:
        return Celsius(self.values)


class CelsiusDtype(ExtensionDtype):  # type: ignore[misc]
    name, type = "celsius", float

    @classmethod
    def construct_array_type(cls) -> Any:
        return Celsius


def test_an_array_of_the_users_own_is_not_asked_whatever_it_is_in() -> None:
    values = Celsius([1.0, 2.0])
    frame = pd.DataFrame({"n": [1, 2], "t": pd.Series(values)})
    namespace = {
        "frame": frame,
        "series": frame["t"],
        "indexed": frame.set_index("t"),
    }
    hostile.ran.clear()
    texts = {name: one.text for name, one in told(namespace).items()}
    assert hostile.ran == []
    assert all("not asked" in text for text in texts.values())
