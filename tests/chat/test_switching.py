"""A chat goes on with another model: what the first one wrote is text to the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.engines import closing, load

from jupyter_llm.chat.context import Context, Turn
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request

LETTERS = tuple((ord(letter), 100.0) for letter in "in")  # of which text makes one token


def written(engine: LocalEngine) -> Completion:
    """An answer letter by letter, which is not how the text would be read."""
    params = SamplingParams(seed=1, max_tokens=24, ignore_eos=True, logit_bias=LETTERS)
    prompt = (Message("user", "Hello"),)
    return engine.submit(Request(prompt=prompt, params=params)).result(60)


def follow_up(answer: Completion) -> tuple[Message, ...]:
    return Context(prompt="Go on.", turns=(Turn("Hello", answer, number=1),)).messages


def as_text(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(Message(message.role, message.content) for message in messages)


def test_a_turn_of_another_model_is_read_as_text(tiny_gguf: Path, touchy_gguf: Path) -> None:
    with closing():
        one, other = load(tiny_gguf), load(touchy_gguf)
        messages = follow_up(written(one))
        plain = as_text(messages)
        assert one.tokenize(messages) != one.tokenize(plain)
        assert other.tokenize(messages) == other.tokenize(plain)
        assert other.format(messages) == one.format(messages)


@pytest.mark.parametrize("token_ids", [(-1,), (1, 2**31 - 1), (10_000,)])
def test_tokens_that_no_vocabulary_has_are_not_read(
    tiny_gguf: Path, token_ids: tuple[int, ...]
) -> None:
    with closing():
        engine = load(tiny_gguf)
        messages = follow_up(replace(written(engine), token_ids=token_ids))
        assert engine.tokenize(messages) == engine.tokenize(as_text(messages))
        assert engine.submit(Request(prompt=messages)).result(60).text
