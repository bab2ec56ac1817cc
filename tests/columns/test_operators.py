"""What is done with columns, by whoever answers."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from support.scripted import ScriptedEngine

from jupyter_llm.columns.map import Cell
from jupyter_llm.columns.operators import (
    alike,
    best_first,
    filter_rows,
    join_rows,
    reduce_rows,
    top_rows,
)
from jupyter_llm.columns.tables import Rows, rows_of
from jupyter_llm.errors import OptionError


class Judge:
    """Compares numbers, and is now and then wrong, always in the same way."""

    def __init__(self, values: Sequence[float], noise: float = 0) -> None:
        self.values = values
        self.noise = noise
        self.num_compared = 0

    def __call__(self, pairs: list[tuple[int, int]]) -> list[float]:
        self.num_compared += len(pairs)
        return [self.chance(one, two) for one, two in pairs]

    def chance(self, one: int, two: int) -> float:
        error = 0.0
        if self.noise:
            seed = min(one, two) * 10_007 + max(one, two)
            error = random.Random(seed).gauss(0, self.noise)  # noqa: S311
        margin = self.values[one] - self.values[two] + (error if one < two else -error)
        return 1 / (1 + math.exp(-margin))


@pytest.mark.parametrize("k", [1, 5, 30, 200, 300])
def test_the_best_are_found_in_their_order(k: int) -> None:
    values = random.Random(1).sample(range(1000), 200)  # noqa: S311
    judge = Judge([value / 100 for value in values])
    best = best_first(len(values), k, judge)
    assert [values[one] for one in best] == sorted(values, reverse=True)[:k]


def test_few_pairs_are_compared() -> None:
    for count in (100, 1000, 4000):
        judge = Judge([one / 1000 for one in range(count)])
        best_first(count, 5, judge)
        assert judge.num_compared <= 2 * count + 45


def test_many_best_ones_need_a_bounded_number_of_pairs_each() -> None:
    judge = Judge([one / 1000 for one in range(2000)])
    best_first(2000, 500, judge)
    assert judge.num_compared <= 2000 + 16 * 1000


def test_a_judge_that_errs_finds_most_of_the_best() -> None:
    drawn = random.Random(3)  # noqa: S311
    values = [drawn.gauss(0, 2) for _ in range(200)]
    best = best_first(200, 10, Judge(values, noise=0.5))
    ideal = sorted(range(200), key=lambda one: -values[one])[:10]
    assert len(set(best) & set(ideal)) >= 8
    assert best == best_first(200, 10, Judge(values, noise=0.5))


def test_of_none_the_best_are_none() -> None:
    assert best_first(0, 3, Judge([])) == []
    assert best_first(1, 3, Judge([1.0])) == [0]


def test_the_likest_rows_are_candidates_however_many_rows_there_are() -> None:
    angles = np.linspace(0, 3, 2500)
    left = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = list(alike(left, left[::100], 2))
    assert len(pairs) == 5000
    assert pairs[:4] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert pairs[-2:] == [(2499, 23), (2499, 24)]
    assert all(abs(row - 100 * one) <= 150 for row, one in pairs[200:-200])


def test_as_like_rows_are_taken_in_their_order() -> None:
    same = np.ones((1, 1))
    assert list(alike(same, np.ones((9, 1)), 3)) == [(0, 0), (0, 1), (0, 2)]
    assert list(alike(same, np.ones((2, 1)), 3)) == [(0, 0), (0, 1)]
    assert list(alike(same, np.ones((0, 1)), 3)) == []


class Asked:
    """Answers as `llm.map` does: yes as likely as `chance` says of a prompt."""

    def __init__(self, chance: Callable[[str], float]) -> None:
        self.chance = chance
        self.prompts: list[str | None] = []

    def __call__(
        self,
        items: Any,
        template: str,
        *,
        finish: Callable[[Rows, list[Cell]], Any],
        place: Callable[[int], str] = str,
        schema: type[bool] | None = None,
        choices: Sequence[str] = (),
    ) -> Any:
        assert (schema is bool) != (list(choices) == ["A", "B"])
        rows = rows_of(items)
        prompts = list(rows.prompts(template))
        assert all(place(number) for number in range(len(prompts)))
        self.prompts += prompts
        return finish(rows, [self.answer(prompt, choices or (True, False)) for prompt in prompts])

    def answer(self, prompt: str | None, values: Sequence[object]) -> Cell:
        if prompt is None:
            return Cell()
        chance = self.chance(prompt)
        return Cell(values[chance < 0.5], max(chance, 1 - chance))


def number_in(prompt: str) -> float:
    return int(prompt.rsplit(maxsplit=1)[-1]) / 10


def kept(items: Any, question: str = "is much", **options: Any) -> Any:
    return filter_rows(
        Asked(number_in), items, question, **{"threshold": 0.5, "probabilities": False, **options}
    )


FRAME: dict[str, list[Any]] = {"name": ["a", "b", "c", "d"], "n": [1, 9, 5, 7]}


def test_a_filter_keeps_rows_as_the_same_kind_with_their_index() -> None:
    frame = pd.DataFrame(FRAME, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]]))
    assert kept(frame).equals(frame[frame.n >= 5])
    assert kept(frame.n).equals(frame.n[frame.n >= 5])
    assert kept(pl.DataFrame(FRAME)).equals(pl.DataFrame(FRAME)[1:])
    assert kept(pl.Series("n", FRAME["n"])).equals(pl.Series("n", [9, 5, 7]))
    assert kept(pa.array(FRAME["n"])).equals(pa.chunked_array([[9, 5, 7]]))
    assert kept(FRAME["n"]) == [9, 5, 7]
    assert kept(iter(FRAME["n"])) == [9, 5, 7]
    assert kept([{"n": n} for n in FRAME["n"]]) == [{"n": 9}, {"n": 5}, {"n": 7}]


def test_a_filter_asks_about_the_columns_that_it_names_or_the_whole_row() -> None:
    asked = Asked(lambda _prompt: 1)
    frame = pd.DataFrame(FRAME)
    filter_rows(asked, frame, "{{name}} is late", threshold=0.5, probabilities=False)
    filter_rows(asked, frame, "is late", threshold=0.5, probabilities=False)
    assert str(asked.prompts[0]).endswith("a is late")
    assert str(asked.prompts[4]).endswith("is late\n\nname: a\nn: 1")
    with pytest.raises(OptionError, match="naame"):
        filter_rows(asked, frame, "{{naame}} is late", threshold=0.5, probabilities=False)


def test_a_filter_tells_how_likely_each_row_is_and_takes_another_threshold() -> None:
    series = pd.Series([1, 9, None, 7], index=list("abcd"), dtype="Int64")
    told = kept(series, probabilities=True)
    assert list(told.index) == list("abcd")
    assert told.round(9).tolist()[:2] == [0.1, 0.9]
    assert pd.isna(told["c"])
    assert kept(series, threshold=0.8).tolist() == [9]
    assert kept(series[:0]).equals(series[:0])
    assert kept(pd.DataFrame(FRAME)[:0]).equals(pd.DataFrame(FRAME)[:0])


def test_the_best_rows_come_best_first_whichever_of_two_stands_first() -> None:
    def chance(prompt: str) -> float:  # likes whatever stands first, beside being right
        one, two = map(int, re.findall(r"\d+$", prompt, re.MULTILINE))
        return 0.4 + 0.2 * (one > two) + (one - two) / 1000

    values = random.Random(2).sample(range(200), 40)  # noqa: S311
    frame = pd.DataFrame({"n": [*values, None]}, dtype="Int64", index=range(100, 141))
    best = top_rows(Asked(chance), frame.n, "large", 3)
    assert best.tolist() == [199, 196, 193] or best.tolist() == sorted(values, reverse=True)[:3]
    assert all(frame.n[index] == value for index, value in best.items())
    assert top_rows(Asked(chance), values, "large", 3) == sorted(values, reverse=True)[:3]
    assert top_rows(Asked(chance), [], "large", 3) == []
    with pytest.raises(OptionError, match="k must be"):
        top_rows(Asked(chance), values, "large", 0)


def embed(texts: Sequence[str]) -> np.ndarray:
    vectors = np.array([[ord(text[-1]), 1.0] for text in texts]) - [ord("n"), 0]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / lengths
    return unit


def joined(left: Any, right: Any, candidates: int = 3, threshold: float = 0.5) -> Any:
    def chance(prompt: str) -> float:
        one, two = re.findall(r"^[12]: (.*)", prompt, re.MULTILINE)
        return 0.9 if one.lower() == two.lower() else 0.2

    asked = Asked(chance)
    found = join_rows(asked, embed, (left, right), "same letter", candidates, threshold)
    return found, len(asked.prompts)


def test_a_join_asks_about_the_likest_rows_alone_and_has_the_columns_of_both() -> None:
    left = pd.Series(list("aex"), index=[7, 8, 9], name="letter")
    right = pd.DataFrame({"letter": list("abcdefx"), "n": range(7)})
    found, num_asked = joined(left, right.letter)
    assert num_asked == 9
    assert list(found.columns) == ["letter_left", "letter_right", "probability"]
    assert found.letter_right.tolist() == ["a", "e", "x"]
    assert found.probability.tolist() == [0.9] * 3
    assert joined(list("ae"), list("aeb"))[0] == [
        {"left": "a", "right": "a", "probability": 0.9},
        {"left": "e", "right": "e", "probability": 0.9},
    ]
    polars, _ = joined(pl.Series("one", ["a", None]), pl.Series("two", ["a", "b", "c", "d"]))
    assert polars.rows() == [("a", "a", 0.9)]


def test_a_join_without_partners_is_empty_and_of_the_same_kind() -> None:
    left, right = pd.Series(["a"], name="one"), pd.Series(["b"], name="two")
    found, _ = joined(left, right)
    assert list(found.columns) == ["one", "two", "probability"]
    assert len(found) == len(joined(left[:0], right)[0]) == len(joined(left, right[:0])[0]) == 0
    assert joined([], ["a"]) == ([], 0)
    with pytest.raises(OptionError, match="one kind"):
        joined(left, pl.Series(["a"]), threshold=0)


def test_what_is_known_so_far_makes_what_would_have_come() -> None:
    class Stopped(Asked):
        def answer(self, prompt: str | None, values: Sequence[object]) -> Cell:
            return (
                Cell()
                if len(self.prompts) == 4 and "7" in str(prompt)
                else super().answer(prompt, values)
            )

    ask = Stopped(number_in)
    right = pd.Series([1, 9, 8, 7], index=list("abcd"))
    kept = filter_rows(ask, right, "x", threshold=0.5, probabilities=False)
    assert kept.to_dict() == {"b": 9, "c": 8}
    ask = Stopped(number_in)
    pairs = join_rows(ask, embed, (pd.Series(["x"]), right), "x", 4, 0.5)
    assert pairs.right.tolist() == [9, 8]


def test_what_cannot_be_joined_is_refused_before_anything_is_asked() -> None:
    texts = list("abcd")
    frame = pd.DataFrame({"letter": texts})
    for right in (texts, pl.DataFrame({"letter": texts})):
        for both in ((frame, right), (right, frame)):
            with pytest.raises(OptionError, match="one kind"):
                join_rows(pytest.fail, pytest.fail, both, "same letter", 3, 0.5)  # type: ignore[arg-type]


def test_a_join_finds_names_for_columns_whatever_they_are_called() -> None:
    left = pd.DataFrame({"a": ["x"], "a_left": ["x"], "probability": ["x"]})
    right = pd.DataFrame({"a": ["x"]})
    for kind in (pd.DataFrame, pl.DataFrame):
        found, _ = joined(kind(left.to_dict("list")), kind(right.to_dict("list")), threshold=0)
        names = ["a_left_", "a_left", "probability", "a_right", "probability_"]
        assert list(found.columns) == names


class Summed:
    """Sums up by the first and last words of a prompt."""

    def __init__(self) -> None:
        self.prompts: list[list[str]] = []
        self.limits: list[int] = []

    def __call__(
        self, prompts: Iterable[str], template: str, *, max_tokens: int, on_error: str
    ) -> list[str]:
        assert (template, on_error) == ("{{item}}", "raise")
        self.prompts.append(list(prompts))
        self.limits.append(max_tokens)
        return [f"{prompt.split()[2]} to {prompt.split()[-1]}" for prompt in self.prompts[-1]]


def test_rows_are_reduced_in_a_tree_in_their_order_within_the_window() -> None:
    engine, ask = ScriptedEngine(), Summed()
    rows = [f"{n:03}" + "x" * 200 for n in range(100)]
    text = reduce_rows(ask, engine, pd.Series(rows), "Sum up", None)
    assert text == f"{rows[0]} to {rows[-1]}"
    assert len(ask.prompts) > 1
    assert len(ask.prompts[-1]) == 1
    assert max(map(len, ask.prompts[0])) + ask.limits[0] <= engine.info.n_ctx
    parts = [prompt.split("\n\n") for prompt in ask.prompts[0]]
    assert {part[0] for part in parts} == {"Sum up"}
    assert [row for part in parts for row in part[1:]] == rows


def test_a_row_that_is_too_long_is_named_and_none_is_missed() -> None:
    engine, ask = ScriptedEngine(), Summed()
    with pytest.raises(OptionError, match=r"Row 2 has 4,998 tokens"):
        reduce_rows(ask, engine, ["a", None, "long " * 999 + "x"], "Sum up", None)
    with pytest.raises(OptionError, match="beside the instruction there is room for 0"):
        reduce_rows(ask, engine, ["a"], "Sum up " * 999, None)
    assert ask.prompts == []
    assert reduce_rows(ask, engine, pd.Series([None, "a", None]), "Sum up", None) == "a to a"
    assert reduce_rows(ask, engine, [], "Sum up", None) == ""
