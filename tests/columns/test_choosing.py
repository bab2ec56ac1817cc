"""Columns that are kept, ranked, joined and summed up by what a model chooses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest
from support.row_engine import RowEngine

from jupyter_llm import llm
from jupyter_llm.engine.completion import BatchError, Choice, Completion, Score, Usage
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import OptionError


class Chooser(RowEngine):
    """Chooses the first text as likely as `chance` says of the number at a prompt's end."""

    def __init__(self, model: Path, chance: Callable[[int], float]) -> None:
        model.write_text(model.name)  # another one
        super().__init__(model)
        self.chance = chance

    def _completion_of(self, request: Request, prompt: str) -> Completion:
        assert isinstance(request.constraint, OneOf)
        first, second = request.constraint.texts
        chance = self.chance(int(prompt.rsplit(maxsplit=1)[-1]))
        scores = (Score(first, (math.log(chance),)), Score(second, (math.log(1 - chance),)))
        text = first if chance >= 0.5 else second
        completion = Completion(text=text, finish_reason="stop", usage=Usage(), model="rows")
        return replace(completion, choice=Choice(scores))


def small_chance(number: int) -> float:
    """Sure and right from 100 on, unsure and wrong below; high numbers are even or odd."""
    is_even = number % 2 == 0
    sure = 0.9 if number >= 100 else 0.6
    return sure if is_even == (number >= 100) else 1 - sure


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Chooser:
    small = Chooser(tmp_path / "small.gguf", small_chance)
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: small)
    return small


def test_filter_top_k_join_and_reduce_are_asked_as_map_is(small: Chooser) -> None:
    column = pd.Series(range(400), index=range(1000, 1400))
    kept = llm.filter(column, "is even")
    assert kept.tolist() == [*range(1, 100, 2), *range(100, 400, 2)]  # as the model says
    assert kept.index.tolist() == [1000 + number for number in kept]
    chances = llm.filter(column, "is even", probabilities=True, keep=False)
    assert chances.round(9).isin([0.1, 0.4, 0.6, 0.9]).all()
    small.chance = lambda number: 1 / (1 + math.exp((number - 100) / 50))  # of A against number
    assert llm.top_k(column[:30], "large", 3).tolist() == [29, 28, 27]
    small.chance = lambda number: 0.9 if number == 3 else 0.1
    pairs = llm.join(pd.Series([1, 2]), pd.Series([3, 4]), "a pair")
    assert pairs.left.tolist() == [1, 2]
    assert pairs.right.tolist() == [3, 3]
    with pytest.raises(BatchError, match="of 2 rows failed, the first one about row 0 and row"):
        llm.top_k(["x" * 5000 + " 1", None, "2"], "large", 1)
    rows = RowEngine(small.info.path)
    small._completion_of = rows._completion_of  # type: ignore[method-assign]
    column = pd.Series(["one", None, "two"])
    assert llm.reduce(column, "Sum up", max_tokens=20, on_error="null") == "owt"
    assert small.requests[-1].params.max_tokens == 20


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 3}, "'limit' is not an option of"),
        ({"confidence": True}, "'confidence' is not an option of"),
        ({"temprature": 1}, "Did you mean temperature"),
        ({"max_tokens": "x"}, "max_tokens must be"),
        ({"threshold": "x"}, "threshold must be a number from 0 to 1|not an option of"),
    ],
)
def test_no_model_is_loaded_for_options_that_make_no_sense(
    monkeypatch: pytest.MonkeyPatch, options: Any, reason: str
) -> None:
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: pytest.fail("loaded"))
    for call in (
        lambda: llm.filter(["a"], "b", **options),
        lambda: llm.top_k(["a", "b"], "b", 1, **options),
        lambda: llm.join(["a"], ["b"] * 20, "c", **options),
        lambda: llm.reduce(["a"], "b", **options),
    ):
        with pytest.raises(OptionError, match=reason):
            call()
