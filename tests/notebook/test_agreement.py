"""All that reads cells agrees on what a cell says."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.code.bindings import bindings
from jupyter_llm.notebook.code.marks import mark, read_mark
from jupyter_llm.notebook.code.names import defined_names, unknown_names
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, syntax_error
from jupyter_llm.notebook.values.variables import used


@pytest.mark.parametrize(
    "start", ["", "%matplotlib inline\n", *(f"%%{name}\n" for name in sorted(PYTHON_MAGICS))]
)
@pytest.mark.parametrize(
    ("body", "read", "bound"),
    [
        ("y = x", ["x"], ["y"]),
        ("y = [i + x for i in j]", ["x", "j"], ["y"]),
        ("y = (lambda i: i + x)(1)", ["x"], ["y"]),
        ("def y(i=x):\n    k = i + j\n    return k", ["x", "j"], ["y"]),
        ("class y(x):\n    i = 1\n    def k(self): return i", ["x", "i"], ["y"]),
        ("def y():\n    global x\n    x = i", ["i"], ["y", "x"]),
        ("[y := i for i in x]", ["x"], ["y"]),
        ("import x.i as y", [], ["y"]),
        ("for y, *i in x: pass", ["x"], ["y", "i"]),
        ("%time y = x", ["x"], ["y"]),
        ("%timeit -n 3 -r2 y = x", ["x"], ["y"]),
    ],
)
def test_the_names_of_a_cell_are_the_same_for_all(
    start: str, body: str, read: list[str], bound: list[str]
) -> None:
    source = start + body
    assert syntax_error(source) is None
    assert unknown_names(source) == tuple(read)
    assert defined_names(source) == set(bound)
    assert {binding.name for binding in bindings(source)} == set(bound)
    assert {name for binding in bindings(source) for name in binding.uses} <= set(read)
    assert set(used(source, dict.fromkeys("xyijk"))) == {*read, *bound}
    marked = mark(source, "model", "0123456789ab")
    assert unknown_names(marked) == tuple(read)
    assert read_mark(marked) is not None


@pytest.mark.parametrize("source", ["%%bash\ny = x", "%%llm\nWhat is x?", "%%html\n<p>x"])
def test_a_cell_in_another_language_has_no_names_for_any(source: str) -> None:
    assert syntax_error(source) is None
    assert not unknown_names(source)
    assert not bindings(source)
    assert not defined_names(source)
    assert used(source, {"x": 1, "y": 2, "p": 3}) == []
