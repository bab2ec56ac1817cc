"""What cells bind, change and use, as read from their text."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.code.bindings import bindings


def verbs(source: str) -> list[tuple[str, str]]:
    return [(binding.name, binding.verb) for binding in bindings(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b", [("a", "assigns")]),
        ("a, (b, *c) = x", [("a", "assigns"), ("b", "assigns"), ("c", "assigns")]),
        ("a += 1", [("a", "assigns")]),
        ("print(a := 1)", [("a", "assigns")]),
        ("for a in b: c = a", [("a", "assigns"), ("c", "assigns")]),
        ("with open(p) as f:\n    d = f.read()", [("f", "assigns"), ("d", "assigns")]),
        ("try:\n    a = 1\nexcept E:\n    b = 2", [("a", "assigns"), ("b", "assigns")]),
        ("import os.path, numpy as np", [("os", "imports"), ("np", "imports")]),
        ("from m import a as b", [("b", "imports")]),
        ("def f(a): b = a", [("f", "defines")]),
        ("def f():\n    global a\n    a = 1", [("f", "defines"), ("a", "assigns")]),
        ("del a", [("a", "deletes")]),
        ("a['k'] = 1", [("a", "changes")]),
        ("a.loc[0] += 1", [("a", "changes")]),
        ("a.append(1)", [("a", "changes")]),
        ("a.drop(columns='b', inplace=True)", [("a", "changes")]),
        ("normalize(a)", [("a", "passes on")]),
        ("print(a)", []),
        ("a.head()", []),
        ("[a for a in b]", []),
    ],
)
def test_bindings(source: str, expected: list[tuple[str, str]]) -> None:
    assert sorted(verbs(source)) == sorted(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\na = 1", ["a"]),
        ("files = !ls\na = 1", ["files", "a"]),
        ("a?\nb = 1", ["b"]),
        ("%%time\na = 1", ["a"]),
        ("%%capture out\n%%time\na = 1", ["a"]),
        ("%%bash\na = 1", []),
        ("a = 1\n%%%nonsense(\nb = 2", ["a", "b"]),
        ("  a = 1\n  b = 2", ["a", "b"]),
        ("a = = 1", []),
        ("", []),
    ],
)
def test_magics_do_not_hide_the_python_around_them(source: str, expected: list[str]) -> None:
    assert [binding.name for binding in bindings(source)] == expected


def test_deep_trees_are_read() -> None:
    long_sum = " + ".join(f"v{n}" for n in range(900))
    assert bindings(f"total = {long_sum}")[0].uses == {f"v{n}" for n in range(900)}
    elifs = "\n".join(f"elif x == {n}:\n    y = {n}" for n in range(800))
    bindings(f"if x:\n    y = 0\n{elifs}")
