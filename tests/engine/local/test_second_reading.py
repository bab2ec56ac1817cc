"""A chat that has some answers with a seed and some without is not read twice while one waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engines import ask, ask_afresh, load, num_read, wait_until_idle

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Request

LONG = "the quick brown fox jumps over the lazy dog and " * 30
PLAIN: dict[str, Any] = {"temperature": 1.0}
GREEDY: dict[str, Any] = {"temperature": 0}
SEEDED: dict[str, Any] = {"temperature": 1.0, "seed": 7}


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, checkpoints=False)


class Talk:
    """A chat of raw text that goes on and on."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.text = LONG

    def ask(self, **options: Any) -> Completion:
        completion = ask(self.engine, self.text, 4, conversation="c", **options)
        self.text += f"{completion.text} and then "
        return completion

    def read_ahead(self, **options: Any) -> None:
        """Let what is known be read while nobody waits."""
        params = SamplingParams(**options)
        self.engine.prefill(Request(prompt=self.text, params=params, conversation="c"))
        wait_until_idle(self.engine)


def test_temperature_0_alone_reads_no_chat_a_second_time(engine: LocalEngine) -> None:
    talk = Talk(engine)
    talk.ask(**PLAIN)
    greedy = talk.ask(**GREEDY)
    assert num_read(greedy) < 40
    assert not greedy.exact  # and says so
    assert len(engine._model.lanes.all) == 1  # nor is a second context made for it


def test_temperature_0_is_exact_where_nothing_was_read_without(
    engine: LocalEngine, tiny_gguf: Path
) -> None:
    talk = Talk(engine)
    prompt = talk.text
    first, second = talk.ask(**GREEDY), talk.ask(**GREEDY)
    assert first.exact
    assert second.exact
    assert num_read(second) < 40
    assert first.token_ids == ask_afresh(tiny_gguf, prompt, 4).token_ids


def test_a_seed_is_kept_whatever_was_read_before(engine: LocalEngine, tiny_gguf: Path) -> None:
    talk = Talk(engine)
    talk.ask(**PLAIN)
    prompt = talk.text
    seeded = talk.ask(**SEEDED)
    assert seeded.exact
    fresh = load(tiny_gguf, checkpoints=False)
    assert seeded.token_ids == ask(fresh, prompt, 4, **SEEDED).token_ids


def test_what_needs_no_promise_goes_on_where_a_promised_answer_was_read(
    engine: LocalEngine,
) -> None:
    talk = Talk(engine)
    talk.ask(**SEEDED)
    assert num_read(talk.ask(**PLAIN)) < 40


def test_a_chat_with_both_is_read_ahead_in_both_so_nobody_waits(engine: LocalEngine) -> None:
    talk = Talk(engine)
    for options in (PLAIN, SEEDED):
        talk.ask(**options)
    talk.read_ahead(**PLAIN)
    for options in (SEEDED, PLAIN, SEEDED):
        answer = talk.ask(**options)
        assert num_read(answer) < 60
        assert answer.exact is ("seed" in options)
        talk.read_ahead(**options)
