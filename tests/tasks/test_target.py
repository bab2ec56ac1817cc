"""What `/explain load` or `/test 3` is about."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.watch import Watch

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.tasks.target import Subject, find_subject

AREA = "@functools.lru_cache\ndef area(w, h):\n    return w * h"
SHAPES = f"""
import functools

{AREA}

class Box:
    @property
    def top(self):
        return 1

    @staticmethod
    def unit():
        return Box()

    def fit(self, n): return n

half = functools.partial(area, 2)
square = lambda n: area(n, n)
box = Box()
"""


@pytest.fixture
def watch(watch: Watch) -> Watch:
    watch.run(SHAPES)
    watch.run("count = 3")
    return watch


def subject(watch: Watch, argument: str) -> Subject:
    return find_subject(argument, watch.task())


@pytest.mark.parametrize("argument", ["", " ", "2", "[2]", "cell 2", "In [2]"])
def test_a_cell_is_meant_by_its_number_or_by_nothing(watch: Watch, argument: str) -> None:
    found = subject(watch, argument)
    assert (found.kind, found.title, found.source) == ("cell", "cell [2]", "count = 3")
    assert found.text == "Cell [2]:\n```python\ncount = 3\n```"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *((name, AREA) for name in ("area", "area()", "`half`")),
        ("square", "square = lambda n: area(n, n)"),
        ("Box.top", "@property\ndef top(self):\n    return 1"),
        ("Box.unit", "@staticmethod\ndef unit():\n    return Box()"),
        ("box.fit", "def fit(self, n): return n"),
    ],
)
def test_functions_are_found_with_their_source(watch: Watch, name: str, source: str) -> None:
    found = subject(watch, name)
    assert (found.kind, found.source) == ("function", source)
    assert found.cell == watch.cells[0]


def test_classes_are_found_in_their_cells(watch: Watch) -> None:
    found = subject(watch, "Box")
    assert found.kind == "class"
    assert found.source.startswith("class Box:\n    @property")
    assert found.source.endswith("def fit(self, n): return n")
    assert found.cell == watch.cells[0]


def test_a_value_is_told_with_the_cell_that_made_it(watch: Watch) -> None:
    found = subject(watch, "count")
    assert found.kind == "value"
    assert "count: int 3" in found.text
    assert "count = 3" in found.text
    assert found.cell == watch.cells[1]


def test_the_last_error_is_told_with_its_cells(watch: Watch) -> None:
    with pytest.raises(MagicUsageError, match="No cell has failed"):
        find_subject("error", replace(watch.task(), error=None))
    watch.run("area(count, None)")
    found = subject(watch, "error")
    assert found.kind == "error"
    assert "TypeError" in found.text
    assert SHAPES.strip() in found.text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("aera", "There is no name 'aera' here. Did you mean area?"),
        ("box.fitt", "'box' has no attribute 'fitt'. Did you mean fit?"),
        ("7", "There is no cell [7] here. The nearest is [2]."),
        ("two words", "'two words' is neither a cell nor a name."),
        ("__import__('os')", "neither a cell nor a name."),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(
    watch: Watch, argument: str, message: str
) -> None:
    with pytest.raises(MagicUsageError) as caught:
        subject(watch, argument)
    assert message in str(caught.value)


def test_properties_do_not_run(watch: Watch) -> None:
    watch.run("ran = []\nclass P:\n    @property\n    def x(self): ran.append(1)\np = P()")
    assert subject(watch, "p.x").kind == "function"
    assert watch.shell.user_ns["ran"] == []
