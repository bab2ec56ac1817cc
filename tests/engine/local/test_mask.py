"""Answers that begin with one of some texts: always, by any option, and free afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.engines import (
    ask,
    assert_nothing_leaks,
    before_each_step,
    closing,
    inside,
    load,
    paused,
    submit,
    wait_until_idle,
)
from support.fake_model import Engine as FakeEngine
from support.fake_model import FakeDrafter, fresh

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.llama import Weights
from jupyter_llm.engine.local.mask import BeginningMask
from jupyter_llm.engine.local.scheduler import Decoded
from jupyter_llm.engine.local.vocabulary import Vocabulary
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


def test_what_comes_after_the_shortest_text_is_free() -> None:
    constraint = BeginsWith(("ab", "abc", "x"))
    assert constraint.free_part("abcd") == "cd"
    assert constraint.free_part("x") == constraint.free_part("a") == ""


def test_texts_are_values_whatever_list_they_came_in() -> None:
    assert BeginsWith(["a", "b"]) == BeginsWith(("a", "b"))  # type: ignore[arg-type]


# -- the mask on its own ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2_vocabulary(smollm2: Path) -> Iterator[Vocabulary]:
    yield from _vocabulary(smollm2)


@pytest.fixture(scope="module")
def tiny_vocabulary(tiny_gguf: Path) -> Iterator[Vocabulary]:
    yield from _vocabulary(tiny_gguf)


def _vocabulary(path: Path) -> Iterator[Vocabulary]:
    weights = Weights(path, n_gpu_layers=0, on_progress=lambda _share: True)
    yield weights.vocabulary
    weights.close()


def walk(mask: BeginningMask, vocabulary: Vocabulary, rng: np.random.Generator) -> bytes:
    """Draw any tokens that may come, to the end of a text; tell what they write."""
    written = b""
    while not mask.is_complete:
        logits = rng.normal(size=len(vocabulary.pieces)).astype(np.float32)
        forced = list(mask.forced())
        mask.apply(logits)
        token_id = int(logits.argmax())
        assert not forced or forced[0] == token_id
        written += vocabulary.pieces[token_id]
        mask.accept(token_id)
    return written


@pytest.mark.parametrize("model", ["tiny", "smollm2"])
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
    request: pytest.FixtureRequest, model: str, texts: list[str], seed: int
) -> None:
    vocabulary = request.getfixturevalue(f"{model}_vocabulary")
    wanted = tuple(text.encode("utf-8", "replace") for text in texts)
    assume(any(map(vocabulary.single_bytes.issuperset, wanted)))
    mask = BeginningMask(BeginsWith(tuple(texts)), vocabulary)
    assert walk(mask, vocabulary, np.random.default_rng(seed)).startswith(wanted)


def test_of_thousands_of_texts_each_can_be_written(smollm2_vocabulary: Vocabulary) -> None:
    texts = tuple(f'{name}_{number:03}"]' for number in range(1000) for name in ("col", "größe"))
    for number in range(0, 2000, 333):
        mask = BeginningMask(BeginsWith(texts), smollm2_vocabulary)
        wanted = texts[number].encode()
        while wanted:
            assert not mask.is_complete
            while mask.forced():
                wanted = wanted.removeprefix(smollm2_vocabulary.pieces[mask.forced()[0]])
                mask.accept(mask.forced()[0])
            if not wanted:
                break
            logits = np.zeros(len(smollm2_vocabulary.pieces), np.float32)
            mask.apply(logits)
            single = smollm2_vocabulary.pieces.index(wanted[:1])
            assert logits[single] == 0
            mask.accept(single)
            wanted = wanted[1:]
        assert mask.is_complete


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


def test_one_text_is_forced_but_for_what_may_be_one_with_what_follows(
    smollm2_vocabulary: Vocabulary,
) -> None:
    mask = BeginningMask(BeginsWith((SENTENCE,)), smollm2_vocabulary)
    forced = b"".join(smollm2_vocabulary.pieces[token] for token in mask.forced())
    assert SENTENCE.encode().removeprefix(forced) == b" there"
    assert list(mask.forced()) == smollm2_vocabulary._tokenize(SENTENCE)[:-1]


def test_tokens_that_no_text_shows_never_come(smollm2: Path) -> None:
    for vocabulary in _vocabulary(smollm2):
        assert not any(vocabulary.pieces[0:17])  # <|endoftext|> and the like
        mask = BeginningMask(BeginsWith(("<|im_end|>",)), vocabulary)
        assert len(mask.forced()) > 1


def test_a_token_that_ends_the_text_never_comes_though_it_has_bytes(tiny_gguf: Path) -> None:
    weights = Weights(tiny_gguf, n_gpu_layers=0, on_progress=lambda _share: True)
    weights.end_ids |= {ord("q")}
    pieces = weights.vocabulary.pieces
    assert (pieces[ord("p")], pieces[ord("q")]) == (b"p", b"")
    weights.close()


def test_texts_that_the_tokens_cannot_write_are_left_out() -> None:
    vocabulary = Vocabulary([b"a", b"b", b"\xc3\xa9"], lambda _text: [])
    mask = BeginningMask(BeginsWith(("ab", "é", "aé")), vocabulary)
    assert walk(mask, vocabulary, np.random.default_rng(0)) == b"ab"
    with pytest.raises(OptionError, match="has no tokens for what the answer is to begin with"):
        BeginningMask(BeginsWith(("é",)), vocabulary)


# -- the scheduler on the fake model ---------------------------------------------------------------


BEGIN = [9, 8, 7, 6, 5]


def test_what_is_forced_is_evaluated_with_the_prompt() -> None:
    engine = FakeEngine(n_ctx=400, n_batch=20)
    sequence = engine.submit([1, 2, 3], 9, begin=BEGIN, ignore_eos=True)
    engine.run()
    assert sequence.completion_ids == BEGIN + fresh([1, 2, 3, *BEGIN], 4, ignore_eos=True)
    assert [len(batch) for batch in engine.model.batches] == [8, 1, 1, 1]


def test_in_company_too_and_room_is_left_for_it() -> None:
    engine = FakeEngine(n_ctx=400, n_batch=7)
    other = engine.submit([4], 9, ignore_eos=True)
    sequence = engine.submit([1, 2], 9, begin=BEGIN, ignore_eos=True)
    engine.run()
    assert sequence.completion_ids == BEGIN + fresh([1, 2, *BEGIN], 4, ignore_eos=True)
    assert other.completion_ids == fresh([4], 9, ignore_eos=True)
    assert [len(batch) for batch in engine.model.batches[:2]] == [1 + 2 + 3, 1 + 1 + 1]


def test_no_more_is_forced_than_is_wanted() -> None:
    engine = FakeEngine(n_ctx=400, n_batch=20)
    for num in range(1, 8):
        engine.submit([num], num, begin=BEGIN, ignore_eos=True)
    engine.run()
    assert [len(one.completion_ids) for one in engine.sequences] == [*range(1, 8)]
    assert engine.model.num_evaluated == sum(len(one.token_ids) - 1 for one in engine.sequences)


@pytest.mark.parametrize("can_trim", [True, False])
def test_torn_batches_change_nothing(*, can_trim: bool) -> None:
    begins = [BEGIN, [3], [2, 2]]
    for number in range(8):
        engine = FakeEngine(n_ctx=400, can_trim=can_trim)
        engine.model.outcomes = [*[Decoded.OK] * number, Decoded.ABORTED]
        sequences = [
            engine.submit(
                [first, 5], 9, begin=begin, ignore_eos=True, drafter=FakeDrafter([first, 5])
            )
            for first, begin in enumerate(begins)
        ]
        engine.run()
        for first, (sequence, begin) in enumerate(zip(sequences, begins, strict=True)):
            rest = fresh([first, 5, *begin], 9 - len(begin), ignore_eos=True)
            assert sequence.completion_ids == begin + rest


def test_whoever_waits_again_goes_on_where_the_mask_is() -> None:
    engine = FakeEngine(n_ctx=400, n_batch=4, num_slots=1)
    low = engine.submit([1, 2], 9, begin=BEGIN, ignore_eos=True, priority=Priority.BULK)
    engine.step()
    assert low.completion_ids == BEGIN[:3]
    engine.submit([7], 3, ignore_eos=True)
    engine.run()
    assert low.was_preempted
    assert low.completion_ids == BEGIN + fresh([1, 2, *BEGIN], 4, ignore_eos=True)


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


def test_an_end_token_ends_the_answer_only_after_a_text(engine: LocalEngine) -> None:
    ends = tuple((token, 1e30) for token in sorted(engine._model.weights.end_ids))
    assert ends
    assert ask(engine, PROMPT, logit_bias=ends, ignore_eos=False).text == ""
    for text in TEXTS:
        completion = asked(engine, text, logit_bias=ends, ignore_eos=False)
        assert completion.finish_reason == "stop"
        assert completion.text == text


def test_where_a_text_begins_another_the_shorter_one_is_enough(engine: LocalEngine) -> None:
    one = asked(engine, "the")
    assert asked(engine, "the", "there", "theatre").token_ids == one.token_ids


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


@pytest.fixture(scope="module")
def real_engine(smollm2: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(smollm2, n_ctx=512, checkpoints=False, exact=True)


@pytest.mark.slow
def test_which_text_it_is_the_model_chooses(real_engine: LocalEngine) -> None:
    names = (" apple\n", " banana\n", " cherry\n")
    for name in names:
        prompt = f"Repeat the word.\nfruit: fruit\nword: word\n{name[1:-1]}:"
        assert asked(real_engine, *names, prompt=prompt, max_tokens=5).text.startswith(name)


@pytest.mark.slow
def test_a_constraint_that_the_model_keeps_anyway_changes_nothing(
    real_engine: LocalEngine,
) -> None:
    prompt = "def mean(values):\n    "
    free = ask(real_engine, prompt, 16)
    for end in (1, 6, 13, 21):
        kept = asked(real_engine, free.text[:end], prompt=prompt, max_tokens=16)
        assert kept.token_ids == free.token_ids


def test_one_text_takes_few_steps(
    exact_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_steps = 0

    def count(_number: int) -> None:
        nonlocal num_steps
        num_steps += 1

    before_each_step(exact_engine, monkeypatch, count)
    text = SENTENCE.replace(" ", "_") * 3
    num_tokens = len(exact_engine._model.weights.tokenize(text, is_special=False))
    completion = asked(exact_engine, text, max_tokens=num_tokens + 4)
    assert completion.text.startswith(text)
    assert num_steps < num_tokens / 5


class Undrafted(BeginningMask):
    """Tells nobody beforehand what it will force."""

    _asks = 0

    def apply(self, logits: np.ndarray) -> None:
        self._asks += 1
        super().apply(logits)
        self._asks -= 1

    def accept(self, token_id: int) -> None:
        self._asks += 1
        super().accept(token_id)
        self._asks -= 1

    def forced(self) -> list[int]:
        return super().forced() if self._asks else []


def together(engine: LocalEngine, seeds: Sequence[int]) -> list[Completion]:
    """Let constrained and free answers, greedy and drawn ones, be written at once."""
    with paused(engine):
        streams = [
            submit(
                engine,
                PROMPT + str(seed % 3),
                40,
                constraint=None if seed % 3 == 2 else BeginsWith((TEXTS, (SENTENCE,))[seed % 2]),
                temperature=seed % 4 and 1.2,
                seed=seed,
                logprobs=1,
            )
            for seed in seeds
        ]
    return [stream.result(timeout=60) for stream in streams]


@pytest.mark.parametrize(
    "model",
    [
        *("touchy_gguf", "tiny_recurrent_gguf", "tiny_window_gguf"),
        pytest.param("smollm2", marks=pytest.mark.slow),
    ],
)
def test_company_drafts_and_forced_tokens_change_no_exact_answer(
    request: pytest.FixtureRequest, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = request.getfixturevalue(model)
    engine = load(path, checkpoints=False, exact=True)
    in_company = together(engine, range(12))
    assert_nothing_leaks(engine)
    monkeypatch.setattr("jupyter_llm.engine.local.mask.BeginningMask", Undrafted)
    plain = load(path, checkpoints=False, exact=True)
    for seed, one in enumerate(in_company):
        (alone,) = together(plain, [seed])
        assert alone.token_ids == one.token_ids
        assert alone.exact == one.exact == (model != "tiny_recurrent_gguf")
        assert not alone.exact or alone.logprobs == one.logprobs
        if seed % 3 != 2:
            assert one.text.startswith((*TEXTS, SENTENCE)) or SENTENCE.startswith(one.text)


def test_in_the_fast_lane_too_each_answer_of_a_batch_begins_right(engine: LocalEngine) -> None:
    with paused(engine):
        streams = [
            submit(
                engine,
                PROMPT * (1 + number % 3),
                60,
                constraint=BeginsWith(TEXTS[number % 5 :]) if number % 4 else None,
                temperature=number % 2,
                priority=Priority.BULK if number % 3 else Priority.CHAT,
            )
            for number in range(40)
        ]
    for number, stream in enumerate(streams):
        completion = stream.result(timeout=60)
        assert completion.usage.completion_tokens == 60
        assert not number % 4 or completion.text.startswith(TEXTS[number % 5 :])
    assert_nothing_leaks(engine)


def test_drafts_from_what_repeats_are_made_again_once_it_is_free(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = engine._model.lanes[0]
    drafted = []
    learn = lane.learn

    def note(step_s: float) -> None:
        drafted.append(lane.scheduler.drafted)
        learn(step_s)

    monkeypatch.setattr(lane, "learn", note)
    monkeypatch.setattr(lane._payoff, "num_draft", lambda chances: min(4, len(chances)))
    bias = ((ord("x"), 200.0),)  # then "xxxx…", whatever the text was
    completion = asked(engine, "axxb" * 6, max_tokens=90, logit_bias=bias, exact=False)
    assert completion.text.startswith("axxb" * 6 + "xxxx")
    assert max(num_right for _, num_right in filter(None, drafted)) == 4


def test_the_logprobs_are_those_of_the_model_not_of_the_mask(exact_engine: LocalEngine) -> None:
    completion = asked(exact_engine, SENTENCE, max_tokens=10, logprobs=3)
    assert completion.logprobs is not None
    assert all(math.isfinite(one.logprob) and one.logprob < 0 for one in completion.logprobs)
    assert any(one.top[0][0] != one.text for one in completion.logprobs)
    assert [one.token_id for one in completion.logprobs] == list(completion.token_ids or ())


def test_an_answer_may_be_cut_inside_a_text(engine: LocalEngine) -> None:
    for max_tokens in range(1, 12):
        completion = asked(engine, SENTENCE, max_tokens=max_tokens)
        assert completion.finish_reason == "length"
        assert completion.usage.completion_tokens == max_tokens
        assert SENTENCE.startswith(completion.text)
    completion = asked(engine, SENTENCE, stop=(" rain",), max_tokens=80)
    assert completion.finish_reason == "stop"
    assert completion.text == SENTENCE.partition(" rain")[0]
    assert_nothing_leaks(engine)


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


def test_cancelled_ones_leave_nothing_behind(engine: LocalEngine) -> None:
    for _ in range(5):
        stream = submit(engine, PROMPT, None, constraint=BeginsWith((SENTENCE * 20,)))
        text = next(iter(stream)).text
        stream.cancel()
        completion = stream.result(timeout=60)
        assert completion.text.startswith(text)
        assert (SENTENCE * 20).startswith(completion.text) or completion.text.startswith(SENTENCE)
    submit(engine, PROMPT, constraint=BeginsWith(("a",))).cancel()
    wait_until_idle(engine)
    assert_nothing_leaks(engine)
