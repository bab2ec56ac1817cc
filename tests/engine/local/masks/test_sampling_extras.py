"""What can be asked of the logits: log-probabilities, scores, vectors, biases, stops, guesses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engines import ask, assert_nothing_leaks, closing, inside, load, num_read, submit

from jupyter_llm import llm
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.errors import ContextOverflowError, EmptyPromptError, OptionError

PROMPT = "the quick brown fox jumps over "
WORDS = ["the lazy dog", "a cat", "and", " ", "ein Übermut ✓"]


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(tiny_gguf, checkpoints=False)


def logprobs_by_hand(
    engine: LocalEngine, prompt: str, token_ids: tuple[int, ...], *, is_exact: bool = True
) -> list[np.ndarray]:
    """Evaluate a text on the bare context and return the log-softmax before each token after."""

    def evaluate() -> list[np.ndarray]:
        lane = engine._model.lanes.exact if is_exact else engine._model.lanes.all[0]
        while (slot := lane.slots.evict()) is not None:
            lane.context.trim(slot.seq_id, 0)
        given = [*engine._model.tokenizer.tokenize(prompt), *token_ids]
        num_prompt = len(given) - len(token_ids)
        wants = [number >= num_prompt - 1 for number in range(len(given))]
        batch = Batch(given, list(range(len(given))), [0] * len(given), wants)
        assert lane.context.decode(batch) is Decoded.OK
        rows = []
        for number in range(num_prompt - 1, len(given) - 1):
            logits = lane.context.logits(number).astype(np.float64)
            rows.append(logits - math.log(math.fsum(np.exp(logits))))
        lane.context.trim(0, 0)
        return rows

    return inside(engine, evaluate)


# -- log-probabilities -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 1.3, "seed": 3, "top_k": 5, "min_p": 0.2, "repeat_penalty": 1.4},
        {"logit_bias": ((65, 80.0),)},
    ],
    ids=["greedy", "sampled", "biased"],
)
def test_logprobs_are_the_log_softmax_whatever_the_options(
    engine: LocalEngine, sampling: dict[str, Any]
) -> None:
    completion = ask(engine, PROMPT, 12, logprobs=100, **sampling)
    assert completion.logprobs is not None
    assert completion.token_ids is not None
    assert [one.token_id for one in completion.logprobs] == list(completion.token_ids)
    assert "".join(one.text for one in completion.logprobs) == completion.text
    by_hand = logprobs_by_hand(engine, PROMPT, completion.token_ids)
    for one, row in zip(completion.logprobs, by_hand, strict=True):
        assert one.logprob == pytest.approx(row[one.token_id], abs=1e-9)
        assert [logprob for _, logprob in one.top] == pytest.approx(sorted(row)[: -100 - 1 : -1])
        assert sampling or one.top[0] == (one.text, one.logprob)


@pytest.mark.parametrize("logprobs", [-1, 101, 1.5, "many"])
def test_a_wrong_number_of_logprobs_is_one_clear_line(logprobs: Any) -> None:
    with pytest.raises(OptionError, match="logprobs must be"):
        SamplingParams(logprobs=logprobs)


# -- scores ----------------------------------------------------------------------------------------


def test_a_score_is_the_sum_of_its_tokens_log_softmax(engine: LocalEngine) -> None:
    for text, score in zip(WORDS, engine.score(PROMPT, WORDS), strict=True):
        assert score.text == text
        token_ids = engine._model.weights.tokenize(text, is_special=False)
        rows = logprobs_by_hand(engine, PROMPT, tuple(token_ids), is_exact=False)
        by_hand = [float(row[token]) for row, token in zip(rows, token_ids, strict=True)]
        # Flash attention, and other texts beside it.
        assert score.logprobs == pytest.approx(by_hand, abs=0.05)
        assert score.logprob == pytest.approx(sum(score.logprobs))
        assert score.mean_logprob == pytest.approx(score.logprob / len(token_ids))


def test_scores_depend_on_neither_order_nor_company(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, exact=True, checkpoints=False)
    together = engine.score(PROMPT, WORDS)
    backwards = engine.score(PROMPT, WORDS[::-1])[::-1]
    alone = [engine.score(PROMPT, [word])[0] for word in WORDS]
    assert together == backwards == alone


def test_scores_read_the_prompt_once(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = PROMPT * 20
    lane = engine._model.lanes.all[0]
    evaluated = 0
    decode = lane.context.decode

    def counting(batch: Batch) -> Decoded:
        nonlocal evaluated
        evaluated += len(batch)
        return decode(batch)

    with monkeypatch.context() as patch:
        patch.setattr(lane.context, "decode", counting)
        engine.score(prompt, [f"answer {number}" for number in range(20)])
    assert evaluated < engine.count_tokens(prompt) + 20 * 12
    assert_nothing_leaks(engine)


@pytest.mark.parametrize(
    ("texts", "error"),
    [([""], EmptyPromptError), ([7], OptionError), (["ok", "word " * 9000], ContextOverflowError)],
    ids=["no text", "a number", "too long"],
)
def test_what_cannot_be_scored_or_embedded_is_refused_and_nothing_stays_behind(
    engine: LocalEngine, texts: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        engine.score(PROMPT, texts)
    with pytest.raises(error):
        engine.embed(texts)
    with pytest.raises(EmptyPromptError):
        engine.score("", ["a"])
    assert_nothing_leaks(engine)
    assert engine.embed(["fine"]).shape[0] == 1


def test_one_text_instead_of_several_is_told(tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1)
    for ask_for in (lambda: llm.score("a", "b"), lambda: llm.embed("a"), lambda: llm.batch("a")):
        with pytest.raises(OptionError, match=r"Put it into a list: \[text\]"):
            ask_for()
    assert [score.text for score in llm.score("a or b?", ["a", "b"])] == ["a", "b"]
    assert [score.text for score in llm.score("a or b?", ["a", "b"], raw=True)] == ["a", "b"]


# -- vectors ---------------------------------------------------------------------------------------

TEXTS = ["a fox", "the lazy dog jumps", "7 * 8", "x " * 200, "a fox"]


def test_vectors_have_length_one_a_row_for_each_text(engine: LocalEngine) -> None:
    vectors = engine.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), engine._model.weights.n_embd)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(vectors).all()
    assert engine.embed([]).shape == (0, engine._model.weights.n_embd)


def test_more_texts_than_fit_at_once_come_in_their_order(engine: LocalEngine) -> None:
    texts = [f"{number} " * (1 + number % 40) for number in range(100)]
    vectors = engine.embed(texts)
    assert vectors.shape[0] == 100
    for number in (0, 31, 32, 33, 64, 99):
        assert vectors[number] == pytest.approx(engine.embed([texts[number]])[0], abs=0.01)


# -- biases and stops ------------------------------------------------------------------------------


def test_a_banned_token_is_never_written_and_a_forced_one_always(engine: LocalEngine) -> None:
    for sampling in ({}, {"temperature": 1.5, "seed": 1}):
        free = ask(engine, PROMPT, 20, **sampling)
        assert free.token_ids is not None
        banned = tuple((token, float("-inf")) for token in set(free.token_ids))
        other = ask(engine, PROMPT, 20, logit_bias=banned, **sampling)
        assert other.token_ids is not None
        assert not set(other.token_ids) & set(free.token_ids)
        forced = ask(engine, PROMPT, 5, logit_bias=((90, 1e9),), **sampling)
        assert forced.token_ids == (90,) * 5


def test_a_token_the_model_does_not_have_is_one_clear_line(engine: LocalEngine) -> None:
    last = engine.info.n_vocab - 1
    with pytest.raises(OptionError, match=rf"^logit_bias names token {last + 1}, .* is {last}\.$"):
        ask(engine, PROMPT, 5, logit_bias=((last + 1, 1.0),))
    assert ask(engine, PROMPT, 1, logit_bias=((last, 1.0),)).text is not None
    assert_nothing_leaks(engine)


@pytest.mark.parametrize(
    "bias", [{-1: 1.0}, {1: float("nan")}, {1: float("inf")}, {"a": 1}, {1: "b"}, 5, [1]], ids=repr
)
def test_a_bias_that_is_none_is_one_clear_line(bias: Any) -> None:
    with pytest.raises(OptionError, match=r"^logit_bias must map token ids") as caught:
        sampling_params({"logit_bias": bias})
    assert "\n" not in str(caught.value)


def test_the_first_of_several_stops_ends_the_text(engine: LocalEngine) -> None:
    whole = ask(engine, PROMPT, 60).text
    late, early = whole[30:33], whole[10:12]
    ends = [whole.index(stop) for stop in (late, early)]
    completion = ask(engine, PROMPT, 60, stop=(late, early, "never there"))
    assert completion.finish_reason == "stop"
    assert completion.text == whole[: min(ends)]
    assert completion.token_ids is None
    assert ask(engine, PROMPT, 60, stop=("never there",)).text == whole


# -- several samples of one prompt -----------------------------------------------------------------


def test_samples_share_the_prefill_and_differ(tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    prompt = PROMPT * 20
    samples = llm.samples(prompt, 8, raw=True, max_tokens=16, temperature=1.5, ignore_eos=True)
    assert len({sample.text for sample in samples}) == 8
    assert sorted(map(num_read, samples))[:7] == [1] * 7


# -- guesses from what the text repeats ------------------------------------------------------------

REPEATING = "one two three four five six seven eight nine ten. " * 8


def guesses(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> tuple[Completion, int]:
    """Ask while a whole draft is made in each step; return how many tokens were guessed."""
    lane = engine._model.lanes.exact
    guessed = 0
    really = lane.scheduler.step

    def counting(*, is_guest: bool = False) -> object:
        nonlocal guessed
        step = really(is_guest=is_guest)
        guessed += step.guesses[0] if step.guesses else 0
        return step

    with monkeypatch.context() as patch:
        patch.setattr(lane.scheduler, "step", counting)
        patch.setattr(lane._payoff, "num_draft", lambda chances: min(7, len(chances)))
        completion = submit(engine, REPEATING, 80, **more).result(timeout=60)
    return completion, guessed


@pytest.mark.parametrize(
    "sampling",
    [{}, {"temperature": 0.9, "seed": 11}, {"repeat_penalty": 0.9}, {"logprobs": 2}],
    ids=["greedy", "sampled", "penalized", "with logprobs"],
)
def test_guesses_change_the_speed_and_not_the_text(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, sampling: dict[str, Any]
) -> None:
    with_guesses, num_guessed = guesses(engine, monkeypatch, **sampling)
    without, num_without = guesses(engine, monkeypatch, lookup=False, **sampling)
    assert num_guessed > 20
    assert num_without == 0
    assert with_guesses.token_ids == without.token_ids
    assert with_guesses.logprobs == without.logprobs
    assert_nothing_leaks(engine)
