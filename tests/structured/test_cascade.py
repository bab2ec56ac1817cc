"""A second model for rows of which the first is not sure; choices without what a model prefers."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from fractions import Fraction
from math import comb

import pytest

from jupyter_llm.structured.cascade import Cell, calibrate_all, cascade, most_disagreements
from jupyter_llm.structured.shape import shape_of


def said(value: str, confidence: float = 1.0) -> Cell:
    return Cell(value, confidence)


class World:
    """Rows that two models answer; the first is the wronger the less it is sure."""

    def __init__(self, num_rows: int, *, wrongness: float, steps: int = 1000) -> None:
        drawn = random.Random(1)  # noqa: S311
        self.firsts: list[Cell | None] = []
        self.seconds = [said(drawn.choice("abc")) for _ in range(num_rows)]
        for second in self.seconds:
            sure = round(drawn.uniform(0.34, 1) * steps) / steps
            is_wrong = drawn.random() < wrongness * (1 - sure)
            self.firsts.append(said("wrong" if is_wrong else str(second.value), sure))
        self.asked: list[int] = []

    def ask(self, rows: Sequence[int]) -> list[Cell | None]:
        self.asked += rows
        return [self.seconds[row] for row in rows]

    def cascade(self, agreement: float = 0.95, seed: int = 0) -> tuple[list[Cell | None], str]:
        self.asked.clear()
        answers = list(self.firsts)
        said = cascade(answers, range(len(answers)), self.ask, agreement, seed)
        assert len(set(self.asked)) == len(self.asked)
        return answers, said

    def agreement(self, answers: Sequence[Cell | None]) -> float:
        same = [a and a.value == b.value for a, b in zip(answers, self.seconds, strict=True)]
        return same.count(True) / len(same)


@pytest.mark.parametrize("steps", [1000, 5])  # also where many rows are equally sure
def test_the_agreement_is_kept_in_95_of_100_resamplings(steps: int) -> None:
    world = World(600, wrongness=0.5, steps=steps)
    assert world.agreement(world.firsts) < 0.9
    kept = []
    for seed in range(100):
        answers, said = world.cascade(seed=seed)
        kept.append(world.agreement(answers) >= 0.95)
        assert len(world.asked) < 600
        assert said.startswith(f"answered {len(world.asked)} of 600 rows: a sample of 196, and")
    assert kept.count(True) >= 95


def test_the_bound_is_the_chance_of_so_few_sampled_before_too_many_others() -> None:
    num_rows, num_sampled, num_allowed = 300, 100, 15

    def at_most(k: int) -> Fraction:  # sampled of the first so many that k others are among
        marked = num_allowed + 1 + k
        ways = [comb(marked, j) * comb(num_rows - marked, num_sampled - j) for j in range(k + 1)]
        return Fraction(sum(ways), comb(num_rows, num_sampled))

    most = most_disagreements(num_rows, num_sampled, num_allowed)
    assert most >= 0
    assert at_most(most) <= Fraction(2, 100) < at_most(most + 1)


def test_the_more_is_sampled_the_more_disagreements_are_allowed() -> None:
    allowed = [most_disagreements(1000, size, 50) for size in (20, 100, 200, 400, 950)]
    assert allowed == sorted(allowed)
    assert allowed[0] == -1
    assert allowed[-1] == 950  # no more than 50 are left, so all of them may be trusted


def test_a_first_model_that_is_never_right_is_hardly_trusted() -> None:
    world = World(400, wrongness=1e9)
    answers, said = world.cascade()
    assert world.agreement(answers) >= 0.95
    assert len(world.asked) >= 380
    assert re.fullmatch(
        r"answered 3[89]\d of 400 rows: a sample of 160, and those with a confidence below 0.9\d",
        said,
    )


def test_a_first_model_that_is_always_right_is_asked_about_a_sample_only() -> None:
    world = World(400, wrongness=0)
    answers, said = world.cascade()
    assert world.agreement(answers) == 1
    assert len(world.asked) == 160
    assert said.startswith("answered 160 of 400 rows: a sample of 160,")


def test_rows_that_the_first_model_could_not_answer_go_to_the_second() -> None:
    world = World(400, wrongness=0.1)
    world.firsts[::20] = [None] * 20
    answers, _ = world.cascade()
    assert None not in answers


@pytest.mark.parametrize("num_rows", [0, 1, 30])
def test_of_few_rows_the_second_model_answers_all(num_rows: int) -> None:
    world = World(num_rows, wrongness=0.5)
    answers, said = world.cascade()
    assert answers == world.seconds
    assert len(world.asked) == num_rows
    assert f"of {num_rows} rows" in said


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
