"""Which names may follow, and which of those that were written do not exist."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd  # type: ignore[import-untyped]
import pytest

from jupyter_llm.notebook.values.lookups import Names
from jupyter_llm.tasks.completing.prompt import names_comment


class Model:
    def __init__(self) -> None:
        self.layers = 3


class Open:
    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


NAMESPACE = {
    "df": pd.DataFrame({"price": [1], "priority": [2], "it's": [3]}),
    "cfg": {"lr": 1, "inner": {"depth": 2}},
    "model": Model(),
    "any_": Open(),
    "math": math,
    "box": SimpleNamespace(items=[1]),
}
NAMES = Names(NAMESPACE)


@pytest.mark.parametrize(
    ("text", "openings"),
    [
        ('x = df["pri', ('ce"', 'ority"')),
        ("x = df['pr", ("ice'", "iority'")),
        ('x = cfg["inner"]["', ('depth"',)),
        ("x = model.", ("layers",)),
        ("x = math.sq", ("rt",)),
        ("math.sq", ("rt",)),
        ("print(f\"{cfg['l", ("r'",)),
        ('df["new"] = 1\nx = df["n', ('ew"',)),
        ('x = df["zz', ()),
        # A name may be new, or nobody knows.
        *[(text, None) for text in ('df["', "model.", "x = any_.", "x = unknown.", "x = model._")],
        *[(text, None) for text in ("x = 1", '"df.', "def f(df):\n    return df.")],
        *[(f'{text}\nx = df["', None) for text in ("df = load()", 'df.insert(0, "n", 1)')],
    ],
)
def test_only_names_that_exist_may_follow(text: str, openings: tuple[str, ...] | None) -> None:
    assert NAMES.openings(text) == openings


def test_what_follows_the_cursor_tells_whether_a_name_is_set() -> None:
    assert NAMES.openings('df["p', is_set_next=False) == ('rice"', 'riority"')
    assert NAMES.openings('x = df["p', is_set_next=True) is None


def test_a_whole_name_goes_on_as_code_or_to_a_longer_one() -> None:
    namespace = {"box": SimpleNamespace(item=1, items=2)}
    openings = Names(namespace).openings("x = box.item")
    assert openings is not None
    assert {"(", ".", "s"} <= set(openings)
    assert "_" not in openings


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x = math.squareroot(2)", "squareroot"),
        ('x = df["cost"].mean()', "cost"),
        ('x = df[["price", "cost"]]', "cost"),
        ('df.groupby("cost")', "cost"),
        ('x = cfg["inner"]["width"]', "width"),
        ('df["price"].average()', "average"),
        ("model.layers = 4", None),
        ('df["cost"] = 1', None),
        ("x = any_.thing()", None),
        ("df = load()\ndf.cost()", None),
    ],
)
def test_names_that_are_read_and_do_not_exist_are_found(text: str, wrong: str | None) -> None:
    found = NAMES.wrong(text, 0, is_whole=True)
    assert (found.name if found is not None else None) == wrong


def test_a_text_that_grows_is_not_judged_by_its_last_name() -> None:
    assert NAMES.wrong('df["cost"]', 0, is_whole=False) is None  # it may be set
    assert NAMES.wrong("x = math.sq", 0, is_whole=False) is None
    assert NAMES.is_torn("x = math.sq")
    assert not NAMES.is_torn("x = math.sqrt")


def test_what_the_user_wrote_is_not_judged() -> None:
    text = 'x = df["cost"] + '
    assert NAMES.wrong(text + "df.size", len(text), is_whole=True) is None


def test_columns_and_keys_are_told_in_one_line_without_secrets() -> None:
    names = {**NAMESPACE, "passwords": {"ann": "hunter2"}}
    line = names_comment(["df.mean()", "print(cfg, passwords)"], names)
    assert line.startswith("# df has the columns price, priority")
    assert "cfg has the keys lr, inner" in line
    assert "ann" not in line
    assert line.count("\n") == 1
