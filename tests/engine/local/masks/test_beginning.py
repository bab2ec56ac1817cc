"""Answers that begin with one of some texts: always, by any option, and free afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.engines import (
    ask,
    assert_nothing_leaks,
    closing,
    inside,
    load,
)

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.masks.beginning import BeginningMask
from jupyter_llm.engine.local.native.llama import Weights
from jupyter_llm.engine.local.native.vocabulary import Vocabulary
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.errors import OptionError

PROMPT = "the quick brown fox jumps over "
TEXTS = ("the lazy dog", "thermometer", "ein Übermut ✓", "👩‍🔬 in", "  \n\n")
SENTENCE = "the other hand and then the rain on the inner garden, ending there"
HOT = {"temperature": 1.5, "seed": 3}


def asked(engine: LocalEngine, *texts: str, prompt: str = PROMPT, **more: Any) -> Completion:
    return ask(engine, prompt, constraint=BeginsWith(texts), **more)


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(tiny_gguf, checkpoints=False)


@pytest.fixture(scope="module")
def exact_engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(tiny_gguf, checkpoints=False, exact=True)


# -- the value -------------------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [(), "text", ("a", ""), ("a", 1), None, (b"a",)])
def test_what_no_answer_begins_with_is_one_clear_line(texts: Any) -> None:
    with pytest.raises(OptionError, match="An answer begins with one of at least one"):
        BeginsWith(texts)


# -- the mask on its own ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2_vocabulary(smollm2: Path) -> Iterator[Vocabulary]:
    weights = Weights(smollm2, n_gpu_layers=0, on_progress=lambda _share: True)
    yield weights.vocabulary
    weights.close()


def walk(mask: BeginningMask, vocabulary: Vocabulary, rng: np.random.Generator) -> bytes:
    """Draw any tokens that may come, to the end of a text; tell what they write."""
    written = b""
    while not mask.is_complete:
        logits = rng.normal(size=len(vocabulary.pieces)).astype(np.float32)
        mask.apply(logits)
        token_id = (*mask.forced(), int(logits.argmax()))[0]
        assert np.isfinite(logits[token_id])
        written += vocabulary.pieces[token_id]
        mask.accept(token_id)
    return written


@settings(max_examples=60)
@given(
    texts=st.lists(
        st.text(st.characters(max_codepoint=0x1FFFF), min_size=1, max_size=12)
        | st.text("aé😀👩‍🔬 \n\0", min_size=1, max_size=6)
        | st.sampled_from(["", "a", "return ", "<|im_end|>", "\ud800"]).map(lambda s: s + "df['"),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 99),
)
def test_whatever_tokens_come_the_answer_begins_with_one_of_the_texts(
    smollm2_vocabulary: Vocabulary, texts: list[str], seed: int
) -> None:
    vocabulary = smollm2_vocabulary
    wanted = tuple(text.encode("utf-8", "replace") for text in texts)
    assume(any(map(vocabulary.single_bytes.issuperset, wanted)))
    mask = BeginningMask(BeginsWith(tuple(texts)), vocabulary)
    assert walk(mask, vocabulary, np.random.default_rng(seed)).startswith(wanted)


def test_a_token_may_heal_the_cursor_and_go_on_after_the_text(
    smollm2_vocabulary: Vocabulary,
) -> None:
    mask = BeginningMask(BeginsWith((" prin",)), smollm2_vocabulary)
    logits = np.random.default_rng(1).normal(size=len(smollm2_vocabulary.pieces)).astype("f4")
    before = logits.copy()
    mask.apply(logits)
    (places,) = np.nonzero(logits == before)
    assert np.isneginf(np.delete(logits, places)).all()
    allowed = {smollm2_vocabulary.pieces[token] for token in places.tolist()}
    assert {b" ", b" p", b" pr", b" print", b" prince"} <= allowed
    assert all(b" prin".startswith(one) or one.startswith(b" prin") for one in allowed)


def test_texts_that_the_tokens_cannot_write_are_left_out() -> None:
    vocabulary = Vocabulary([b"a", b"b", b"\xc3\xa9"], lambda _text: [])
    mask = BeginningMask(BeginsWith(("ab", "é", "aé")), vocabulary)
    assert walk(mask, vocabulary, np.random.default_rng(0)) == b"ab"
    with pytest.raises(OptionError, match="has no tokens for what the answer is to begin with"):
        BeginningMask(BeginsWith(("é",)), vocabulary)


# -- answers ---------------------------------------------------------------------------------------


BANS = tuple((token, -math.inf) for token in range(200))
SAMPLING: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": HOT,
    "chain": {**HOT, "exact": False, "top_k": 2, "min_p": 0.3, "repeat_penalty": 1.7},
    "penalty": {"repeat_penalty": 1.7},
    "exact": {"exact": True},
    "no drafts": {"lookup": False},
    "logprobs": {"logprobs": 2},
    "bulk": {"priority": Priority.BULK},
    "another token wanted": {"logit_bias": ((ord("Q"), 1e30),)},
    "bytes banned": {"logit_bias": BANS},
    "bytes banned, drawn": {**HOT, "logit_bias": BANS},
    "end wanted": {"logit_bias": ((270, 1e30),), "ignore_eos": False},
}


@pytest.mark.parametrize("name", SAMPLING)
def test_an_answer_begins_with_one_of_the_texts(engine: LocalEngine, name: str) -> None:
    sampling = SAMPLING[name]
    for texts in (TEXTS, TEXTS[:1], TEXTS[2:3], (SENTENCE, SENTENCE[:5] + "!")):
        for seed in range(6 if "seed" in sampling else 1):
            more = {**sampling, "seed": seed} if "seed" in sampling else sampling
            completion = asked(engine, *texts, max_tokens=80, **more)
            assert completion.text.startswith(texts)
    assert_nothing_leaks(engine)


def test_what_follows_is_as_if_the_text_had_been_given(exact_engine: LocalEngine) -> None:
    params = SamplingParams(max_tokens=12, temperature=0, ignore_eos=True)
    num_agreeing = 0
    for end in range(3, len(SENTENCE), 4):
        text = SENTENCE[:end]
        begun = tuple(exact_engine._model.weights.tokenize(text, is_special=False))
        token_ids = asked(exact_engine, text, max_tokens=len(begun) + 12).token_ids or ()
        if token_ids[: len(begun)] == begun:
            given = Request(prompt=PROMPT, params=params, answer_prefix=text)
            assert exact_engine.submit(given).result(60).token_ids == token_ids[len(begun) :]
            num_agreeing += 1
    assert num_agreeing > 5


def test_what_was_asked_for_is_no_loop_that_it_fell_into(engine: LocalEngine) -> None:
    text = "and again the lazy fox " * 60
    ends = tuple((token, 1e30) for token in engine._model.weights.end_ids)
    more: dict[str, Any] = {"ignore_eos": False, "logit_bias": ends, "max_tokens": None}
    completion = asked(engine, text, **more)
    assert completion.text.startswith(text)
    assert completion.finish_reason == "stop"


def test_a_text_that_cannot_be_written_fails_alone(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = inside(engine, lambda: engine._model.weights.vocabulary)
    monkeypatch.setattr(vocabulary, "single_bytes", frozenset(b"the"))
    with pytest.raises(OptionError, match="has no tokens for what"):
        asked(engine, SENTENCE)
    assert asked(engine, "thethe").text.startswith("thethe")
    assert_nothing_leaks(engine)
