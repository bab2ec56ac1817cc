"""What cells bind, change and use, as read from their text."""

from __future__ import annotations

import ast

import pytest

from jupyter_llm.notebook.code.bindings import (
    bindings,
    function_at,
    keys_in,
    names_in,
    segment,
    statement_at,
)
from jupyter_llm.notebook.code.syntax import parse_cell


def verbs(source: str) -> list[tuple[str, str]]:
    return [(binding.name, binding.verb) for binding in bindings(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b", [("a", "assigns")]),
        ("a, (b, *c) = x", [("a", "assigns"), ("b", "assigns"), ("c", "assigns")]),
        ("a: int = 1", [("a", "assigns")]),
        ("a += 1", [("a", "assigns")]),
        ("print(a := 1)", [("a", "assigns")]),
        ("for a in b: c = a", [("a", "assigns"), ("c", "assigns")]),
        ("with open(p) as f:\n    d = f.read()", [("f", "assigns"), ("d", "assigns")]),
        ("try:\n    a = 1\nexcept E:\n    b = 2", [("a", "assigns"), ("b", "assigns")]),
        ("match x:\n    case [a, *b]: c = 1", [(n, "assigns") for n in "abc"]),
        ("import os.path, numpy as np", [("os", "imports"), ("np", "imports")]),
        ("from m import a as b", [("b", "imports")]),
        ("def f(a): b = a", [("f", "defines")]),
        ("def f():\n    global a\n    a = 1", [("f", "defines"), ("a", "assigns")]),
        ("class C: a = 1", [("C", "defines")]),
        ("del a", [("a", "deletes")]),
        ("a['k'] = 1", [("a", "changes")]),
        ("a.b.c = 1", [("a", "changes")]),
        ("a.loc[0] += 1", [("a", "changes")]),
        ("a.append(1)", [("a", "changes")]),
        ("a.drop(columns='b', inplace=True)", [("a", "changes")]),
        ("normalize(a)", [("a", "passes on")]),
        ("await send(a)", [("a", "passes on")]),
        ("print(a)", []),
        ("a.head()", []),
        ("[a for a in b]", []),
    ],
)
def test_bindings(source: str, expected: list[tuple[str, str]]) -> None:
    assert sorted(verbs(source)) == sorted(expected)


def test_a_binding_tells_what_it_was_made_from() -> None:
    (binding,) = bindings("df = raw.rename(columns={'price': 'cost'}).assign(x=rate)")
    assert binding.uses == {"raw", "rate"}
    assert {"price", "cost", "columns", "x"} <= binding.keys
    assert "rename" not in binding.keys
    assert not binding.makes_again


@pytest.mark.parametrize("source", ["df = df.dropna()", "df['a'] = 1", "n += 1"])
def test_a_value_made_from_itself_is_made_again(source: str) -> None:
    assert bindings(source)[0].makes_again


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


@pytest.mark.parametrize("source", ["\n\na = 1", "%%time\n\na = 1", "\n%%time\na = 1"])
def test_lines_are_those_of_the_typed_cell(source: str) -> None:
    assert bindings(source)[0].line == 3


def test_deep_trees_are_read() -> None:
    long_sum = " + ".join(f"v{n}" for n in range(900))
    assert bindings(f"total = {long_sum}")[0].uses == {f"v{n}" for n in range(900)}
    elifs = "\n".join(f"elif x == {n}:\n    y = {n}" for n in range(800))
    bindings(f"if x:\n    y = 0\n{elifs}")


def test_names_are_told_in_order_without_those_of_comprehensions_and_lambdas() -> None:
    tree = ast.parse("f(b, a, [x + c for x in d], lambda y: y + e, a)")
    assert names_in(tree) == ("f", "b", "a", "c", "d", "e")


def test_keys_are_texts_attributes_and_keywords() -> None:
    assert keys_in(ast.parse("df['a'].values.mean(axis=0)")) == {"a", "values", "axis"}


def test_functions_and_statements_are_found_by_line() -> None:
    source = "@cache\ndef f():\n    x = 1\n    return x\n\ng = (\n    lambda: 1\n)"
    tree = parse_cell(source)
    assert tree is not None
    function = function_at(tree, 3, "f")
    assert function is not None
    assert segment(source, function) == "@cache\ndef f():\n    x = 1\n    return x"
    around_lambda = function_at(tree, 7, "<lambda>")
    assert around_lambda is not None
    assert segment(source, around_lambda) == "g = (\n    lambda: 1\n)"
    assert statement_at(tree, 5) is None
