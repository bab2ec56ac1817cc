"""Choices of a column without what the model prefers."""

from __future__ import annotations

import math

import pytest

from jupyter_llm.engine.completion import Choice, Score
from jupyter_llm.structured.calibration import calibrated


def choice_of(**probabilities: float) -> Choice:
    return Choice(tuple(Score(text, (math.log(p),)) for text, p in probabilities.items()))


def test_what_a_model_prefers_whatever_it_is_asked_is_taken_from_its_choices() -> None:
    rows = [choice_of(good=0.8, bad=0.1), choice_of(good=0.5, bad=0.4)]  # good each time
    first, second = (
        max(c.probabilities, key=c.probabilities.__getitem__) for c in calibrated(rows)
    )
    assert (first, second) == ("good", "bad")


def test_labels_that_get_the_same_on_average_keep_their_probabilities() -> None:
    rows = [choice_of(good=0.7, bad=0.2), choice_of(good=0.2, bad=0.7)]
    for before, after in zip(rows, calibrated(rows), strict=True):
        assert after.probabilities == pytest.approx(before.probabilities)


def test_what_lies_outside_the_labels_stays_as_it_was() -> None:
    rows = [choice_of(good=0.5, bad=0.2), choice_of(good=0.1, bad=0.01)]
    elsewhere = [choice.elsewhere for choice in calibrated(rows)]
    assert elsewhere == pytest.approx([choice.elsewhere for choice in rows])


def test_very_unlikely_labels_are_calibrated_too() -> None:
    rows = [
        Choice((Score("good", (-900.0, -1.0)), Score("bad", (-900.0,)))),
        Choice((Score("good", (-2000.0,)), Score("bad", (-2001.0,)))),
    ]
    assert [round(sum(choice.probabilities.values()), 9) for choice in calibrated(rows)] == [1, 1]


def test_a_column_without_rows_has_nothing_to_calibrate() -> None:
    assert calibrated([]) == []
