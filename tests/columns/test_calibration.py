"""Choices without what a model prefers whatever it is asked."""

from __future__ import annotations

import math

import pytest

from jupyter_llm.ask.shape import shape_of
from jupyter_llm.columns.cells import Cell, calibrate_all


def calibrated(*logprobs: tuple[float, float]) -> list[tuple[str, float]]:
    """What each row chooses of good and bad, and how likely that is."""
    cells: list[Cell | None] = [Cell(logprobs=row) for row in logprobs]
    calibrate_all(cells, shape_of(choices=["good", "bad"]))
    return [(one.value, one.confidence) for one in cells if one]


def log(one: float, two: float) -> tuple[float, float]:
    return math.log(one), math.log(two)


def test_what_a_model_prefers_whatever_it_is_asked_is_taken_from_its_choices() -> None:
    chosen = calibrated(log(0.8, 0.1), log(0.5, 0.4))  # good each time
    assert [value for value, _ in chosen] == ["good", "bad"]


def test_choices_that_get_the_same_on_average_keep_their_probabilities() -> None:
    chosen = calibrated(log(0.6, 0.2), log(0.2, 0.6))
    assert [value for value, _ in chosen] == ["good", "bad"]
    assert [p for _, p in chosen] == pytest.approx([0.75, 0.75])


def test_very_unlikely_choices_are_calibrated_too() -> None:
    chosen = calibrated((-901.0, -900.0), (-2000.0, -2001.0))
    assert [value for value, _ in chosen] == ["bad", "good"]
    assert all(0.5 < p < 1 for _, p in chosen)


def test_a_column_without_rows_has_nothing_to_calibrate() -> None:
    assert calibrated() == []
