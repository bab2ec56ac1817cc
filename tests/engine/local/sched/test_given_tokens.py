"""Tokens that are given by their numbers: as a prompt, and as the answer that is only read."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engines import ask, assert_nothing_leaks, load, submit

from jupyter_llm.engine.constraint import Exactly
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, RawPrompt, Request, Special
from jupyter_llm.errors import OptionError

TEXT = "the quick brown fox"


def raw(*token_ids: int) -> RawPrompt:
    return RawPrompt.of_tokens(token_ids)


def test_tokens_are_read_as_they_are_and_have_the_text_that_they_had(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf)
    token_ids = engine.tokenize(TEXT)
    assert engine.tokenize(raw(*token_ids)) == token_ids
    assert engine.format(raw(*token_ids)) == TEXT
    turned = token_ids[::-1]  # which no tokenizer makes
    assert engine.tokenize(raw(*turned)) == turned
    (control,) = engine.tokenize(RawPrompt((Special("<|im_end|>"),)))
    assert engine.format(raw(control)) == "<|im_end|>"
    assert ask(engine, raw(*token_ids)).text == ask(engine, TEXT).text


def test_marked_text_has_control_tokens_by_their_names(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf)
    marked = RawPrompt(("<|im_start|>user\nHi<|im_end|>",), is_marked=True)
    plain = engine.tokenize(RawPrompt((Special("<|im_start|>"), "user\nHi", Special("<|im_end|>"))))
    assert engine.tokenize(marked) == plain
    assert engine.format(marked) == "<|im_start|>user\nHi<|im_end|>"
    assert engine.tokenize(engine.format(marked)) != plain


def test_reading_tells_how_likely_each_token_was_and_what_else(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf)
    written = ask(engine, TEXT, 8, logprobs=3, exact=False)
    assert written.token_ids is not None
    assert written.logprobs is not None
    read = ask(engine, TEXT, constraint=Exactly(written.token_ids), logprobs=3, exact=False)
    assert read.text == written.text
    assert read.logprobs is not None
    assert read.choice is None
    for one, other in zip(read.logprobs, written.logprobs, strict=True):
        assert (one.token_id, one.text) == (other.token_id, other.text)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-2)
        assert [text for text, _ in one.top] == [text for text, _ in other.top]
        assert one.logprob == one.top[0][1]  # to the last bit, since it is the likeliest
    assert read.usage.completion_tokens == 8
    without = ask(engine, TEXT, constraint=Exactly(written.token_ids), exact=False)
    assert (without.text, without.logprobs) == (written.text, None)
    assert_nothing_leaks(engine)


def test_what_ended_an_answer_is_told_with_how_likely_it_was(smollm2: Path) -> None:
    engine = load(smollm2)
    params = SamplingParams(temperature=0, max_tokens=60, logprobs=2, exact=False)
    asked = (Message("user", "Say hello in one word."),)
    answer = engine.submit(Request(prompt=asked, params=params)).result(60)
    assert answer.finish_reason == "stop"
    assert answer.logprobs is not None
    assert answer.ending is not None
    assert answer.ending.logprob == answer.ending.top[0][1]
    assert "".join(token.text for token in answer.logprobs) == answer.text
    assert ask(engine, asked, 3, logprobs=2, exact=False).ending is None


def test_reading_can_be_cancelled_and_needs_room(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, n_ctx=512)
    stream = submit(engine, TEXT, constraint=Exactly((5,) * 400), logprobs=1)
    stream.cancel()
    assert stream.result(30).finish_reason in ("cancelled", "stop")
    with pytest.raises(OptionError, match="no token 1000000"):
        ask(engine, TEXT, constraint=Exactly((10**6,)))
    with pytest.raises(OptionError, match="no token 1000000"):
        engine.tokenize(raw(10**6))


@pytest.mark.parametrize("given", [(), (-1,), (1.5,), (True,), "5", None])
def test_what_are_no_numbers_of_tokens_is_refused(given: object) -> None:
    for make in (RawPrompt.of_tokens, Exactly):
        with pytest.raises(OptionError, match="numbers from 0 on"):
            make(given)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no text where their model is not"):
        _ = raw(1).text
