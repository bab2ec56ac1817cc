"""How tokens are drawn where a prompt does not say, and what says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engines import load
from support.tiny_model import write_tiny_model

from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.models.inspect import inspect

HELLO = (Message("user", "Hello"),)
BILLION = 1_000_000_000


@pytest.mark.parametrize(
    ("num_parameters", "temperature"),
    [(135_000_000, 0.2), (BILLION - 1, 0.2), (BILLION, 0.7), (7 * BILLION, 0.7), (0, 0.7)],
)
def test_a_model_below_1b_draws_what_is_likely(num_parameters: int, temperature: float) -> None:
    assert Recommended.of((), num_parameters).params.temperature == temperature


def test_what_the_makers_recommend_comes_first_and_nonsense_is_passed_over() -> None:
    pairs = (("temperature", 0.6), ("top_k", 20), ("top_p", -3.0), ("min_p", float("nan")))
    recommended = Recommended.of(pairs, 135_000_000)
    params = recommended.params
    assert (params.temperature, params.top_k, params.top_p, params.min_p) == (0.6, 20, 0.95, 0.05)
    assert recommended.by_file == {"temperature", "top_k"}


def test_code_is_drawn_at_a_low_temperature_unless_the_makers_say_otherwise() -> None:
    assert Recommended.of((), 7 * BILLION).for_code.temperature == 0.2
    assert Recommended.of((("temperature", 0.6),), 7 * BILLION).for_code.temperature == 0.6


def test_it_tells_who_says_what() -> None:
    recommended = Recommended.of((("top_k", 20), ("top_p", 0.8)), 135_000_000)
    assert recommended.described(SamplingParams(temperature=0)) == (
        "temperature 0 (set here), top_k 20 (by the model file), top_p 0.8 (by the model file), "
        "min_p 0.05, repeat_penalty 1"
    )


class TestOfAModelFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A model whose makers recommend something."""
        recommends = {"temp": 0.6, "top_k": 20, "top_p": 0.8, "penalty_repeat": 1.1, "mirostat": 2}
        return write_tiny_model(tmp_path / "tiny.gguf", recommends=recommends)

    def test_an_answer_is_drawn_and_recorded_as_its_makers_recommend(self, path: Path) -> None:
        engine = load(path)
        completion = engine.submit(Request(prompt=HELLO, params=SamplingParams(max_tokens=2)))
        made = completion.result().provenance
        assert made is not None
        params = made.params
        assert (params.temperature, params.top_k, params.top_p) == (0.6, 20, 0.8)
        assert (params.min_p, params.repeat_penalty) == (0.05, 1.1)

    def test_the_header_is_read_as_it_was_meant(self, path: Path) -> None:
        """Its numbers are stored with 32 bits: 0.6 as 0.60000002."""
        pairs = (("temperature", 0.6), ("top_k", 20), ("top_p", 0.8), ("repeat_penalty", 1.1))
        assert inspect(path).sampling == pairs
