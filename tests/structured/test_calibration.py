"""Choices of a column without what the model prefers."""

from __future__ import annotations

import numpy as np
import pytest

from jupyter_llm.structured.calibration import calibrated


def test_what_a_model_prefers_whatever_it_is_asked_is_taken_from_its_choices() -> None:
    first, second = calibrated(np.log([[0.8, 0.1], [0.5, 0.4]]).tolist())  # the first each time
    assert first[0] > first[1]
    assert second[0] < second[1]


def test_labels_that_get_the_same_on_average_keep_their_probabilities() -> None:
    rows = calibrated(np.log([[0.6, 0.2], [0.2, 0.6]]).tolist())
    assert np.array(rows) == pytest.approx(np.array([[0.75, 0.25], [0.25, 0.75]]))


def test_very_unlikely_labels_are_calibrated_too() -> None:
    rows = calibrated([[-901.0, -900.0], [-2000.0, -2001.0]])
    assert [sum(row) for row in rows] == pytest.approx([1, 1])


def test_a_column_without_rows_has_nothing_to_calibrate() -> None:
    assert calibrated([]) == []
