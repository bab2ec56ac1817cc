"""Tables as terminals show them."""

from __future__ import annotations

import pytest

from jupyter_llm.common.tables import aligned, markdown_table

ROWS = [("a|b", 1), ("line\nend", "")]
STRAIGHT = """\
| x        | two words |
| -------- | --------- |
| a\\|b     | 1         |
| line end |           |"""


def test_tables_in_a_text_are_aligned_and_all_else_stays() -> None:
    table = markdown_table(("x", "two words"), ROWS)
    text = f"Before | not a table\n\n{table}\n\n{table}\nAfter"
    assert aligned(text) == f"Before | not a table\n\n{STRAIGHT}\n\n{STRAIGHT}\nAfter"
    assert aligned(STRAIGHT) == STRAIGHT


@pytest.mark.parametrize("text", ["", "| a |", "a\n| --- |", "| a |\n| --- |\n| b | c |"])
def test_what_is_no_table_of_ours_stays(text: str) -> None:
    assert aligned(text) == text
