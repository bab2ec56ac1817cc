"""Which names and modules of a cell exist."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import pytest
from hypothesis import given
from support.programs import mutated_programs

from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.notebook.code.repair import repair


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("print(x)", ("x",)),
        ("y = b + a\nz = a", ("b", "a")),
        ("x = 1\nx", ()),
        ("x += 1", ("x",)),
        ("x = 0\nx += 1", ()),
        ("del x", ("x",)),
        ("x: int\nprint(x)", ("x",)),
        ("x: int = 1\nprint(x)", ()),
        ("for i, (j, *k) in rows:\n    i, j, k", ("rows",)),
        ("[i for i in range(3) if j]", ("j",)),
        ("[(y := i) for i in range(3)]\ny", ()),
        ("[i for i in range(3)]\ni", ("i",)),
        ("def f(a, *b, c=d, **e):\n    g = a\n    return b, c, e, g, h", ("d", "h")),
        ("def f():\n    local = 1\nlocal", ("local",)),
        ("def f():\n    global shared\n    shared = 1\nshared", ()),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x += 1\n    return g", ()),
        ("lambda a: a + b", ("b",)),
        ("class A(B):\n    x = 1\n    y = x\n    def f(self):\n        return x", ("B", "x")),
        ("class A:\n    name = __qualname__\n    def f(self):\n        return __class__", ()),
        ("import a.b, c as d\nfrom e import f, g as h\na, d, f, h", ()),
        ("import a as b\na", ("a",)),
        ("try:\n    pass\nexcept E as error:\n    error", ("E",)),
        ("with f as (a, b):\n    a, b", ("f",)),
        (
            (
                "match x:\n    case {'k': v, **rest}: v, rest\n"
                "    case [A(a=w), *more] as all_: w, more, all_"
            ),
            ("x", "A"),
        ),
        ("f'{a!r:>{b}}'", ("a", "b")),
        ("@decorate\nasync def f(x: T) -> U:\n    await x", ("decorate", "T", "U")),
        ("await f()\n[x async for x in g()]", ("f", "g")),
        ("get_ipython(), display, In, Out, _, __, exit, __name__", ()),
        ("len, True, __file__", ("__file__",)),
        ("%matplotlib inline\nfiles = !ls\nfiles, x", ("x",)),
        ("x?\n!echo {y}", ("x",)),
        ("%%bash\necho $x", ()),
        ("%%time\ny = x", ("x",)),
        ("%%capture out\nprint(1)\nout", ()),
        ("from numpy import *\nx", ()),
        ("%run other.py\nx", ()),
        ("x = (", ()),
    ],
)
def test_unknown_names(source: str, names: tuple[str, ...]) -> None:
    assert unknown_names(source) == names


def test_only_the_names_of_a_namespace_are_looked_at() -> None:
    class Names:
        def __contains__(self, name: object) -> bool:
            return name == "a"

    assert unknown_names("a.b + c", Names()) == ("c",)


def test_a_cell_defines_names_for_the_next() -> None:
    source = "import a.b\nx = 1\ndef f():\n    y = 1\nz += 1\nw: int"
    assert defined_names(source) == {"a", "x", "f"}


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import json, sys, numpy.linalg", ()),
        ("import nowhere_a.b as c\nfrom nowhere_b.c import d", ("nowhere_a", "nowhere_b")),
        ("from . import x\nfrom .nowhere import y", ()),
        ("def f():\n    if x:\n        import nowhere_a", ("nowhere_a",)),
        ("try:\n    import nowhere_a\nexcept ImportError:\n    import nowhere_b", ("nowhere_b",)),
        ("try:\n    import nowhere_a\nexcept (KeyError, ModuleNotFoundError):\n    pass", ()),
        ("try:\n    import nowhere_a\nexcept KeyError:\n    pass", ("nowhere_a",)),
        ("import __main__", ()),
        ("%%bash\nimport nowhere_a", ()),
        ("import (", ()),
    ],
)
def test_missing_modules(source: str, modules: tuple[str, ...]) -> None:
    assert missing_modules(source) == modules


def test_a_module_is_looked_for_without_importing_anything() -> None:
    sys.modules.pop("this", None)
    assert missing_modules("import this, antigravity.x, polars") == ()
    assert "this" not in sys.modules


def test_a_finder_that_fails_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def find_spec(name: str, *_args: object) -> ModuleSpec | None:
            raise RuntimeError(name)

    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    assert missing_modules("import nowhere_a") == ()


@given(mutated_programs())
def test_names_can_be_asked_for_any_code(source: str) -> None:
    repaired = repair(source).source
    for text in (source, repaired):
        unknown = unknown_names(text)
        assert unknown_names(text, unknown) == ()
        assert not defined_names(text) & set(unknown)
        missing_modules(text)
