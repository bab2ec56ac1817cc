"""What code looks up by name, where it need not be valid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.notebook.code.accesses import accesses, bound_names


def told(text: str) -> list[str]:
    return [f"{one.kind} {one.variable} {one.name} {one.use}" for one in accesses(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('x = df["pri', ["key df pri reads"]),
        ('df["pri', ["key df pri unknown"]),
        ('df["new"] = 1', ["key df new stores"]),
        ('df["n"] += 1', ["key df n reads"]),
        ('df["n"] == 1', ["key df n reads"]),
        ("x = df.", ["attribute df  reads"]),
        ('x = df[["a", "b', ["column df a reads", "column df b reads"]),
        ('df.loc[rows, "new"] = 1', ["attribute df loc reads", "column df new stores"]),
        ('x = df.nlargest(3, "b', ["attribute df nlargest reads", "column df b reads"]),
        ('x = df.pivot(index="a")["b', ["attribute df pivot reads", "column df a reads"]),
        ('x = df[rows]["b', ["column df b reads"]),
        ('f(df.sort_values(by=["a', ["attribute df sort_values reads", "column df a reads"]),
        ("print(f\"{df.size} {cfg['lr", ["attribute df size reads", "key cfg lr reads"]),
        ('x = "df.size"  # df.shape', []),
        ("!ls df.csv", []),
        ("x = 1.5.real", []),
        ("load().size", []),
    ],
)
def test_accesses_are_found_in_unfinished_code(text: str, expected: list[str]) -> None:
    assert told(text) == expected


def test_a_path_leads_to_what_a_name_is_looked_up_in() -> None:
    (*_, last) = accesses('x = cfg["model"].layers["first')
    assert last.path == (("key", "model"), ("attribute", "layers"))


def test_only_what_the_text_ends_with_is_open() -> None:
    assert [one.is_open for one in accesses('x = df["a"].b')] == [False, True]
    assert [one.is_open for one in accesses('x = df["a"]\n')] == [False]


@given(st.text("df.a[]()\"'= \n:,{}f#\\", max_size=60))
def test_places_point_into_the_text(text: str) -> None:
    for one in accesses(text):
        assert text[one.start : one.end] == one.name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("for df in frames:", {"df"}),
        ("def f(df, size=3):", {"f", "df", "size"}),
        ("import pandas as pd", {"pandas", "pd"}),
        ("f(df=3)", set()),
        ("if df == 3:", set()),
        ("a, b = 1, 2", {"a", "b"}),
        ("with open(p) as file:", {"file"}),
        ("(n := 3)", {"n"}),
        ("x += 1", {"x"}),
        ("df.drop(columns=c, inplace=True)", {"df"}),
        ("cfg.update(lr=1)\ndf.columns = names", {"cfg", "df"}),
    ],
)
def test_what_gets_a_value_is_told(text: str, names: set[str]) -> None:
    assert names <= bound_names(text)
    assert not bound_names(text) & {"frames", "open", "p", "print", "names"}
