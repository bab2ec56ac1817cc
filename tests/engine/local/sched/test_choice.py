"""Answers that are one of some texts, compared by their exact log-probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engines import (
    ask,
    ask_together,
    assert_nothing_leaks,
    before_each_step,
    closing,
    exact_context,
    inside,
    load,
    num_read,
    paused,
    submit,
)
from support.tiny_model import write_tiny_model

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.native.llama import Context
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Priority, Prompt, Request
from jupyter_llm.errors import ContextOverflowError, OptionError

PROMPT = "the quick brown fox jumps over "
# Of one to eight tokens; some begin with another one, or with the same tokens.
TEXTS = ("a", "an", "and", "the", "then", "thermometer", "Übermut", "the lazy", "a?!@#$%^")
FAST: dict[str, Any] = {"temperature": 1, "exact": False}


def chosen(engine: LocalEngine, prompt: Prompt = PROMPT, **more: Any) -> Completion:
    return ask(engine, prompt, constraint=OneOf(more.pop("texts", TEXTS)), **more)


def test_many_texts_say_how_many_of_their_tokens_are_read(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, steps = load(tiny_gguf, checkpoints=False), []
    texts = tuple(f"{number:04d}" for number in range(1000))
    with paused(engine):
        stream = submit(engine, PROMPT, constraint=OneOf(texts))
        before_each_step(engine, monkeypatch, lambda _: steps.append(stream.progress))
    stream.result(60)
    shares = [step.num_read for step in steps if step.state == "reading"]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert steps[-1].num_prompt > 1000


def figures(completion: Completion) -> list[float]:
    assert completion.choice is not None
    return [score.logprob for score in completion.choice.scores]


def by_hand(
    context: Context, prompt: Sequence[int], text: Sequence[int], end_ids: Sequence[int]
) -> float:
    """What a text and its end come to in a context that has read nothing else."""
    token_ids = [*prompt, *text]
    batch = Batch()
    batch.add(0, token_ids, 0, wants_from=len(prompt) - 1)
    assert context.decode(batch) is Decoded.OK
    total = 0.0
    for place, wanted in enumerate([*([token_id] for token_id in text), end_ids]):
        logits = context.logits(len(prompt) - 1 + place).astype(np.float64)
        rest = np.logaddexp.reduce(logits[list(wanted)])
        total += float(rest - np.logaddexp.reduce(logits))
    context.trim(0, 0)
    return total


def all_by_hand(path: Path, engine: LocalEngine, prompts: Sequence[Prompt]) -> list[list[float]]:
    """The figures of `TEXTS` after each prompt, each text read alone and as a whole."""
    weights = engine._model.weights
    texts = engine.tokenize_texts(TEXTS)
    with exact_context(path) as context:
        # Of a quantized model's tokens those left over of a group come out otherwise.
        context.group_size = inside(engine, lambda: engine._model.lanes.exact.context.group_size)
        return [
            [by_hand(context, ids, text, sorted(weights.end_ids)) for text in texts]
            for ids in map(engine.tokenize, prompts)
        ]


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(tiny_gguf, checkpoints=False)


def rows(num_rows: int) -> list[str]:
    return [f"{PROMPT} of house {number * 37 % 101}, where " for number in range(num_rows)]


@pytest.mark.parametrize("texts", [(), "yes", ("a", ""), ("a", 1), None, ("a", "b", "a")], ids=str)
def test_what_is_no_choice_is_one_clear_line(texts: Any) -> None:
    with pytest.raises(OptionError, match="A choice is between") as caught:
        OneOf(texts)
    assert "\n" not in str(caught.value)


# -- the figures -----------------------------------------------------------------------------------


def agrees(path: Path, engine: LocalEngine, prompts: Sequence[Prompt], bound: float) -> None:
    expected = all_by_hand(path, engine, prompts)
    exact = ask_together(engine, prompts, constraint=OneOf(TEXTS), exact=True)
    fast = ask_together(engine, prompts, constraint=OneOf(TEXTS), priority=Priority.BULK, **FAST)
    for by_brute_force, one, other in zip(expected, exact, fast, strict=True):
        assert figures(one) == pytest.approx(by_brute_force, abs=1e-4)
        assert figures(other) == pytest.approx(by_brute_force, abs=bound)
        assert one.text == TEXTS[int(np.argmax(by_brute_force))]
        assert one.choice is not None
        total = float(np.exp(by_brute_force).sum())
        assert one.choice.elsewhere == pytest.approx(1 - total, abs=1e-4)
        shares = np.exp(by_brute_force) / total
        assert list(one.choice.probabilities.values()) == pytest.approx(shares, rel=1e-3)
    assert_nothing_leaks(engine)


def test_a_choice_agrees_with_reading_each_text_and_its_end_alone(
    tiny_gguf: Path, engine: LocalEngine
) -> None:
    sizes = set(map(len, engine.tokenize_texts(TEXTS)))
    assert {1, 2, 8} <= sizes
    agrees(tiny_gguf, engine, rows(6), 0.05)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_choice_agrees_with_brute_force_on_200_prompts(smollm2: Path) -> None:
    with closing():
        engine = load(smollm2, checkpoints=False, n_threads=2)
        asked = [(Message("user", f"Go on from here: {row}"),) for row in rows(200)]
        agrees(smollm2, engine, asked, 2.0)  # so far does the fast lane go with Q4_1


@pytest.mark.parametrize("kind", ["tiny_recurrent_gguf", "tiny_window_gguf"])
def test_a_choice_agrees_whatever_the_memory_can_forget(
    kind: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    with closing():
        agrees(path, load(path, checkpoints=False, n_ctx=512), rows(3), 0.1)


def test_a_figure_is_the_same_whatever_else_goes_on(engine: LocalEngine) -> None:
    asked = rows(9)
    together = ask_together(engine, asked, constraint=OneOf(TEXTS), exact=True)
    with paused(engine):
        others = [submit(engine, row, 40, priority=Priority.BULK, exact=True) for row in asked]
        beside = [submit(engine, row, constraint=OneOf(TEXTS[::-1]), exact=True) for row in asked]
    for one, stream, row in zip(together, beside, asked, strict=True):
        assert one.exact
        assert figures(one) == figures(stream.result(60))[::-1]
        assert figures(one) == figures(chosen(engine, row, exact=True))
    assert all(other.result(60).usage.completion_tokens == 40 for other in others)


def test_the_prompt_and_what_texts_begin_with_are_read_once(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [PROMPT * 8 + row for row in rows(3)]
    chosen(engine, prompts[0], **FAST)
    context = engine._model.lanes.all[0].context
    decode, batches = context.decode, list[Batch]()

    def counting(batch: Batch) -> Decoded:
        batches.append(batch)
        return decode(batch)

    tokenized = engine.tokenize_texts(TEXTS)
    num_parts = len({ids[:size] for ids in tokenized for size in range(1, len(ids) + 1)})
    monkeypatch.setattr(context, "decode", counting)
    completions = ask_together(
        engine, prompts, constraint=OneOf(TEXTS), priority=Priority.BULK, **FAST
    )
    assert sum(map(len, batches)) == sum(num_read(one) + num_parts for one in completions)
    assert sum(map(num_read, completions)) < 3 * 20
    assert len(batches) == 1


# -- the answer ------------------------------------------------------------------------------------


def test_a_choice_is_an_answer_like_any_other(engine: LocalEngine) -> None:
    stream = submit(engine, PROMPT, constraint=OneOf(TEXTS), exact=True)
    chunks = [chunk.text for chunk in stream]
    completion = stream.result(60)
    best = int(np.argmax(figures(completion)))
    assert chunks == [TEXTS[best]] == [completion.text] == [stream.written]
    assert completion.finish_reason == "stop"
    assert completion.token_ids == engine.tokenize_texts(TEXTS)[best]
    assert completion.usage.completion_tokens == len(completion.token_ids)
    assert completion.usage.prompt_tokens == engine.count_tokens(PROMPT)
    assert completion.exact
    assert completion.provenance is not None
    assert completion.provenance.is_constrained
    assert stream.progress.state == "finished"


@pytest.mark.parametrize("reason", [0, 5])
def test_a_choice_tells_how_likely_its_tokens_were(engine: LocalEngine, reason: int) -> None:
    completion = chosen(engine, exact=True, logprobs=3, reason=reason)
    assert completion.logprobs is not None
    assert [one.token_id for one in completion.logprobs] == list(completion.token_ids or ())
    best = TEXTS.index(completion.text)
    assert completion.choice is not None
    figures = completion.choice.scores[best].logprobs
    assert [one.logprob for one in completion.logprobs] == list(figures[:-1])
    assert "".join(piece.text for piece in completion.show_tokens().pieces) == completion.text


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.5, "seed": 3, "top_k": 2},
        {"max_tokens": 1},
        {"stop": ("a", "t")},
        {"logit_bias": ((97, -100.0),)},
        {"repeat_penalty": 1.8, "lookup": False},
        {"ignore_eos": False, "logprobs": 2},
    ],
    ids=str,
)
def test_no_sampling_option_changes_a_choice(engine: LocalEngine, options: dict[str, Any]) -> None:
    plain = chosen(engine, exact=True)
    other = chosen(engine, exact=True, **options)
    assert (figures(other), other.text) == (figures(plain), plain.text)


def test_the_end_of_a_text_that_goes_on_does_not_count(engine: LocalEngine) -> None:
    completion = ask(engine, PROMPT, constraint=OneOf(TEXTS, is_whole=False), exact=True)
    assert completion.choice is not None
    for one, other in zip(completion.choice.scores, engine.score(PROMPT, TEXTS), strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=0.05)
        assert len(one.logprobs) == len(engine.tokenize_texts([one.text])[0])


def test_of_equals_the_first_is_chosen(engine: LocalEngine) -> None:
    for texts in (("a\ud800", "a?"), ("a?", "a\ud800")):  # of the same tokens
        completion = chosen(engine, texts=texts)
        assert completion.text == texts[0]
        assert len(set(figures(completion))) == 1


@pytest.mark.parametrize("prefix", ["", "I say: "])
def test_a_text_follows_an_answer_prefix_and_the_last_word_of_a_chat(
    engine: LocalEngine, prefix: str
) -> None:
    prompt = (Message("user", "Which?"),)
    request = Request(
        prompt=prompt,
        params=SamplingParams(exact=True),
        answer_prefix=prefix,
        constraint=OneOf(TEXTS),
    )
    completion = engine.submit(request).result(60)
    ids = [*engine.tokenize(prompt), *engine.tokenize_texts([prefix])[0]]
    ends = sorted(engine._model.weights.end_ids)
    with exact_context(engine.info.path) as context:
        for text, figure in zip(TEXTS, figures(completion), strict=True):
            (token_ids,) = engine.tokenize_texts([text])
            assert figure == pytest.approx(by_hand(context, ids, token_ids, ends), abs=1e-4)


def test_a_text_has_a_space_of_the_vocabulary_s_before_it_where_none_is_written(
    tmp_path: Path,
) -> None:
    path = write_tiny_model(tmp_path / "spm.gguf", is_spm=True)
    engine = load(path, checkpoints=False)
    tokenizer = engine._model.tokenizer
    before = [engine.tokenize("Which? "), (engine._model.weights.control_ids["</s>"],)]
    after_text, after_control = inside(
        engine, lambda: [tokenizer.following(ids, ["an"])["an"] for ids in before]
    )
    assert after_text == inside(engine, lambda: tokenizer.plain("an", goes_on=True))
    assert after_control == inside(engine, lambda: tokenizer.plain("an"))
    assert after_text != after_control
    assert chosen(engine, texts=("an", "a"), exact=True).token_ids in (
        tokenizer.plain("an", goes_on=True),
        tokenizer.plain("a", goes_on=True),
    )


def test_a_base_model_s_answer_ends_where_its_turn_does(tiny_base_gguf: Path) -> None:
    engine = load(tiny_base_gguf, checkpoints=False)
    prompt = (Message("user", "Which?"),)
    completion = chosen(engine, prompt, exact=True)
    ids, newline = engine.tokenize(prompt), ord("\n")
    ends = sorted({newline, *engine._model.weights.end_ids})
    assert engine.tokenize_texts(["\n\nUser"])[0][:2] == (newline, newline)
    with exact_context(tiny_base_gguf) as context:
        for text, figure in zip(TEXTS, figures(completion), strict=True):
            (token_ids,) = engine.tokenize_texts([f" {text}"])
            assert figure == pytest.approx(by_hand(context, ids, token_ids, ends), abs=1e-4)
    assert completion.text in TEXTS


# -- among other requests --------------------------------------------------------------------------


def test_more_texts_than_a_batch_or_the_window_holds_are_judged_in_several(
    engine: LocalEngine, tiny_gguf: Path
) -> None:
    texts = tuple("".join(letters) + "!" for letters in itertools.product("abcdefghij", repeat=3))
    small = load(tiny_gguf, checkpoints=False, n_ctx=256, n_batch=32)
    completion, other = chosen(engine, texts=texts, **FAST), chosen(small, texts=texts, **FAST)
    assert figures(completion) == pytest.approx(figures(other), abs=0.05)
    assert len(figures(completion)) == 1000
    with pytest.raises(ContextOverflowError):
        chosen(small, "word " * 60, texts=("a", "b" * 200))
    assert_nothing_leaks(engine)
    assert_nothing_leaks(small)


@pytest.mark.parametrize("options", [{"exact": True}, FAST], ids=["exact", "fast"])
def test_a_choice_gives_way_and_goes_on(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Every other batch is torn off, as those of a lower class are when a prompt comes."""
    alone = [figures(chosen(engine, row, **options)) for row in rows(6)]
    lane = inside(
        engine, lambda: engine._model.lanes.get(is_exact="exact" in options and options["exact"])
    )
    evaluate: Callable[[Any], int] = lane.context._evaluate
    numbers = itertools.count()

    def torn(batch: Any) -> int:
        if next(numbers) % 2 == 0:
            lane.context.abort()
        return evaluate(batch)

    monkeypatch.setattr(lane.context, "_evaluate", torn)
    again = ask_together(
        engine, rows(6), constraint=OneOf(TEXTS), priority=Priority.BULK, **options
    )
    for before, after in zip(alone, again, strict=True):
        assert figures(after) == pytest.approx(before, abs=0 if options["exact"] else 0.05)
    assert_nothing_leaks(engine)


def test_a_choice_is_cancelled_like_any_other(engine: LocalEngine) -> None:
    with paused(engine):
        streams = [submit(engine, row * 9, constraint=OneOf(TEXTS), **FAST) for row in rows(8)]
        for stream in streams[::2]:
            stream.cancel()
    for number, stream in enumerate(streams):
        completion = stream.result(60)
        is_cancelled = completion.finish_reason == "cancelled"
        assert is_cancelled == (number % 2 == 0)
        assert (completion.choice is None) == (completion.text == "") == is_cancelled
    assert_nothing_leaks(engine)
