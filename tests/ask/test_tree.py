"""A value as a tree: what it holds, as far as there is room, and nothing that acts."""

from __future__ import annotations

from typing import Any

import pytest
from support.html_reader import HtmlReader

from jupyter_llm.ask.tree import bars_html, value_html


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {"b": [1, None]}}, "b: list of 2 values"),
        ("text", "text"),
        (True, "True"),
        ([], "list of 0 values"),
        ({}, "dict of 0 values"),
    ],
)
def test_what_a_value_holds_is_told(value: object, told: str) -> None:
    assert told in HtmlReader(value_html(value)).text


def test_a_large_value_is_cut_and_says_by_how_much() -> None:
    wide = HtmlReader(value_html({"rows": list(range(1000))})).text
    assert "99: 99" in wide
    assert "100: 100" not in wide
    assert "… 900 more values" in wide
    deep: Any = "end"
    for _ in range(500):
        deep = [deep, deep]
    assert len(value_html(deep)) < 300_000
    assert "(1,000,000 characters)" in value_html("x" * 1_000_000)
    assert len(value_html([["x" * 9_000] * 90] * 90)) < 5_000_000


def test_bars_tell_each_label_the_likeliest_first_and_what_lies_outside() -> None:
    page = HtmlReader(bars_html({"bad": 0.1, "Yes": 0.9}, 0.0004))
    assert page.cells == ["Yes", " 90 %", "bad", " 10 %", "left free, something else", " <0.1 %"]
    many = bars_html({f"label {n}": 1 / 500 for n in range(500)}, 0)
    assert "… and 400 more" in many
