"""Pieces of text that a model wrote are there as long as the text is."""

from __future__ import annotations

import pytest

from jupyter_llm.records.pieces import pieces_of, stands_in

LINE = 'rows = df.groupby("ä🎉")'
PIECES = "23:f1cab77a"  # as the page counts them


@pytest.mark.parametrize(
    ("source", "found"),
    [(LINE, [PIECES]), (f"x = 1\n  {LINE}.sum()\ny", [PIECES]), (LINE[1:], []), ("", [])],
)
def test_a_piece_is_found_wherever_it_stands(source: str, found: list[str]) -> None:
    assert pieces_of(LINE) == PIECES
    assert [one for one in (PIECES, "3:0") if stands_in(one, source)] == found


def test_what_stood_there_before_is_not_the_models() -> None:
    before = "values = [1, 2]\nfor n in values:\n    total = n"
    after = before.replace("total = n", "total += n")
    assert not stands_in(pieces_of(after, before), before)
    assert stands_in(pieces_of(after, before), after)


@pytest.mark.parametrize("pieces", ["", "x", "0:0", "-3:1", "9" * 5000 + ":1", "3", "²:1"])
def test_what_is_no_piece_is_nowhere(pieces: str) -> None:
    assert not stands_in(pieces, "x = 1")
