"""Which names and modules of a cell exist."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from support.programs import mutated_programs

from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.notebook.code.repair import repair


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("print(x)", ("x",)),
        ("x = 1\nx", ()),
        ("x += 1", ("x",)),
        ("x: int\nprint(x)", ("x",)),
        ("for i, (j, *k) in rows:\n    i, j, k", ("rows",)),
        ("[i for i in range(3) if j]", ("j",)),
        ("[(y := i) for i in range(3)]\ny", ()),
        ("[i for i in range(3)]\ni", ("i",)),
        ("def f(a, *b, c=d, **e):\n    g = a\n    return b, c, e, g, h", ("d", "h")),
        ("def f():\n    global shared\n    shared = 1\nshared", ()),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x += 1\n    return g", ()),
        ("class A(B):\n    x = 1\n    y = x\n    def f(self):\n        return x", ("B", "x")),
        ("import a.b, c as d\nfrom e import f, g as h\na, d, f, h", ()),
        ("try:\n    pass\nexcept E as error:\n    error", ("E",)),
        ("with f as (a, b):\n    a, b", ("f",)),
        (
            (
                "match x:\n    case {'k': v, **rest}: v, rest\n"
                "    case [A(a=w), *more] as all_: w, more, all_"
            ),
            ("x", "A"),
        ),
        ("@decorate\nasync def f(x: T) -> U:\n    await x", ("decorate", "T", "U")),
        ("get_ipython(), display, In, Out, _, __, exit, __name__", ()),
        ("%matplotlib inline\nfiles = !ls\nfiles, x", ("x",)),
        ("x?\n!echo {y}", ("x",)),
        ("%%time\ny = x", ("x",)),
        ("%%capture out\nprint(1)\nout", ()),
        ("from numpy import *\nx", ()),
        ("x = (", ()),
    ],
)
def test_unknown_names(source: str, names: tuple[str, ...]) -> None:
    assert unknown_names(source) == names


def test_a_cell_defines_names_for_the_next() -> None:
    source = "import a.b\nx = 1\ndef f():\n    y = 1\nz += 1\nw: int"
    assert defined_names(source) == {"a", "x", "f"}


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import json, sys, numpy.linalg", ()),
        ("import nowhere_a.b as c\nfrom nowhere_b.c import d", ("nowhere_a", "nowhere_b")),
        ("from . import x\nfrom .nowhere import y", ()),
        ("try:\n    import nowhere_a\nexcept ImportError:\n    import nowhere_b", ("nowhere_b",)),
        ("import (", ()),
    ],
)
def test_missing_modules(source: str, modules: tuple[str, ...]) -> None:
    assert missing_modules(source) == modules


def test_a_module_is_looked_for_without_importing_anything() -> None:
    sys.modules.pop("this", None)
    assert missing_modules("import this, antigravity.x, polars") == ()
    assert "this" not in sys.modules


@given(mutated_programs())
def test_names_can_be_asked_for_any_code(source: str) -> None:
    repaired = repair(source).source
    for text in (source, repaired):
        unknown = unknown_names(text)
        assert unknown_names(text, unknown) == ()
        assert not defined_names(text) & set(unknown)
        missing_modules(text)
