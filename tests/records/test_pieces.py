"""Fingerprints of the lines that a model wrote are found as long as a line begins with one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.paths import ROOT

from jupyter_llm.records.records import are_in, pieces_of

# What the page is held by as well.
TABLE = json.loads((ROOT / "tests/data/records/pieces.json").read_text("utf-8"))


@pytest.mark.parametrize("row", TABLE, ids=[row["what"] for row in TABLE])
def test_a_line_is_found_wherever_one_begins_with_it(row: dict[str, Any]) -> None:
    assert pieces_of(row["text"]) == row["pieces"]
    for is_there in ("stands", "gone"):
        for what, source in row[is_there].items():
            found = are_in(row["pieces"], source)
            assert found == (is_there == "stands"), what


def test_what_stood_there_before_is_not_the_models() -> None:
    before = "values = [1, 2]\nfor n in values:\n    total = n"
    after = before.replace("total = n", "total += n")
    assert not are_in(pieces_of(after, before), before)
    assert are_in(pieces_of(after, before), after)
    assert pieces_of("values = [1, 2]\nfor n", before) == ""  # mere deletions


@pytest.mark.parametrize(
    "pieces", ["", "x", "-3:1", f"{'9' * 5000}:1", "²:1", "0:1", "1:g", "z " * 10**6]
)
def test_what_is_no_piece_is_nowhere(pieces: str) -> None:
    assert not are_in(pieces, "x = 1\n" * 10**4)
