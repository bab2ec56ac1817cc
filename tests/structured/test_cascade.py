"""A second model for the rows of which the first is not sure."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from fractions import Fraction
from math import comb

import pytest

from jupyter_llm.structured.cascade import Cell, cascaded, most_disagreements


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

    def agreement(self, answers: Sequence[Cell | None]) -> float:
        same = [a and a.value == b.value for a, b in zip(answers, self.seconds, strict=True)]
        return same.count(True) / len(same)


@pytest.mark.parametrize("steps", [1000, 5])  # also where many rows are equally sure
def test_the_agreement_is_kept_in_95_of_100_resamplings(steps: int) -> None:
    world = World(600, wrongness=0.5, steps=steps)
    assert world.agreement(world.firsts) < 0.9
    kept = []
    for seed in range(100):
        world.asked.clear()
        answers, report = cascaded(world.firsts, world.ask, 0.95, seed)
        kept.append(world.agreement(answers) >= 0.95)
        assert sorted(set(world.asked)) == sorted(world.asked)
        assert report.num_checked == len(world.asked) < 600
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
    answers, report = cascaded(world.firsts, world.ask, 0.95)
    assert world.agreement(answers) >= 0.95
    assert report.num_checked >= 380
    assert re.fullmatch(
        r"answered 3[89]\d of 400 rows: a sample of 160, and those with a confidence below 0.9\d",
        str(report),
    )


def test_a_first_model_that_is_always_right_is_asked_about_a_sample_only() -> None:
    world = World(400, wrongness=0)
    answers, report = cascaded(world.firsts, world.ask, 0.95)
    assert world.agreement(answers) == 1
    assert report.num_checked == report.num_sampled == 160


def test_rows_that_the_first_model_could_not_answer_go_to_the_second() -> None:
    world = World(400, wrongness=0.1)
    world.firsts[::20] = [None] * 20
    answers, _ = cascaded(world.firsts, world.ask, 0.95)
    assert None not in answers


@pytest.mark.parametrize("num_rows", [0, 1, 30])
def test_of_few_rows_the_second_model_answers_all(num_rows: int) -> None:
    world = World(num_rows, wrongness=0.5)
    answers, report = cascaded(world.firsts, world.ask, 0.95)
    assert answers == world.seconds
    assert report.num_checked == num_rows
