"""Free text before an answer that has a shape: one request, one stream, two parts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.engines import (
    ask,
    assert_nothing_leaks,
    exact_in_company,
    inside,
    load,
    paused,
    submit,
)
from support.tiny_model import write_tiny_model

from jupyter_llm.engine import thinking
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.engine.local import generation
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.text import plain_template
from jupyter_llm.engine.local.text.tokenizer import LEAD_OVER
from jupyter_llm.engine.provenance import token_sha256
from jupyter_llm.engine.request import Message, Priority, Request
from jupyter_llm.errors import ContextOverflowError

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
OPEN = TURNS + "{{ '<think>\n' }}"
ITSELF = TURNS + "{# <think> #}"
CHAT = (Message("user", "Hello"),)
SHAPE = Grammar("regex", r" (dog|cat)s?!")
Made = Callable[..., LocalEngine]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def engine(template: str | None = TURNS, **options: Any) -> LocalEngine:
        path = write_tiny_model(tmp_path / "tiny.gguf", chat_template=template)
        return load(path, checkpoints=False, **{"flash_attention": False, **options})

    return engine


def asked(engine: LocalEngine, **more: Any) -> Completion:
    more = {"prompt": CHAT, "constraint": SHAPE, "ignore_eos": False, **more}
    return ask(engine, **more)


def assert_whole(completion: Completion) -> None:
    """The answer alone has the shape, and its tokens and log-probabilities are its own."""
    assert re.fullmatch(SHAPE.text, completion.text)
    assert completion.finish_reason == "stop"
    assert completion.token_ids is not None
    if completion.logprobs is not None:
        assert [one.token_id for one in completion.logprobs] == list(completion.token_ids)
        assert "".join(one.text for one in completion.logprobs) == completion.text


@pytest.mark.parametrize("prompt", [CHAT, "the quick brown"])
@pytest.mark.parametrize("priority", [Priority.CHAT, Priority.BULK])
@pytest.mark.parametrize("logprobs", [None, 1])
def test_so_many_tokens_are_written_freely_before_the_answer(
    made: Made, prompt: Any, priority: Priority, logprobs: int | None
) -> None:
    engine = made()
    free = ask(engine, prompt, 12)
    more: dict[str, Any] = {"prompt": prompt, "priority": priority, "logprobs": logprobs}
    stream = submit(engine, constraint=SHAPE, reason=12, max_tokens=20, ignore_eos=False, **more)
    chunks = list(stream)
    completion = stream.result()
    assert_whole(completion)
    assert completion.reasoning == free.text.strip()
    assert "".join(chunk.reasoning for chunk in chunks) == completion.reasoning
    assert "".join(chunk.text for chunk in chunks) == completion.text
    num_bridge = len(engine.tokenize_texts([LEAD_OVER])[0])
    assert completion.usage.reasoning_tokens == 12 + num_bridge
    assert_nothing_leaks(engine)
    assert asked(engine, prompt=prompt).reasoning == ""


def test_a_model_that_has_no_more_to_say_comes_to_its_answer(made: Made) -> None:
    engine = made()
    ends = tuple((token, 1e30) for token in engine._model.weights.end_ids)
    completion = asked(engine, reason=50, logit_bias=ends)
    assert completion.reasoning == ""
    assert_whole(completion)


def test_reasons_leave_room_for_the_answer_whatever_was_asked(made: Made) -> None:
    engine = made(n_ctx=256)
    for more in ({"max_tokens": 1000}, {"max_tokens": None}, {"max_tokens": 8}):
        completion = asked(engine, reason=100_000, logprobs=1, **more)
        assert_whole(completion)
        assert 150 < completion.usage.reasoning_tokens < 200


@pytest.mark.parametrize("template", [OPEN, ITSELF])
def test_a_model_that_thinks_does_so_first_if_it_is_told_to(made: Made, template: str) -> None:
    engine = made(template)
    assert asked(engine).reasoning == ""
    whole = asked(engine, think=True, max_tokens=80)
    assert_whole(whole)
    assert 40 < whole.usage.reasoning_tokens <= 80
    assert "think" not in whole.reasoning  # the marks are no thought
    short = asked(engine, reason=10, logprobs=0)
    assert_whole(short)
    assert whole.reasoning.startswith(short.reasoning)


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [(OPEN, "", "\n</think>\n\n"), (ITSELF, "<think>", "\n</think>\n\n"), (TURNS, "", LEAD_OVER)],
)
def test_what_was_thought_before_is_read_as_thoughts(
    made: Made, template: str, before: str, after: str
) -> None:
    engine = made(template)
    request = Request(prompt=CHAT, reasoning="the quick", constraint=LABELS)
    completion = engine.submit(request).result(60)
    mark = partial(engine._model.weights.tokenize, is_special=True, goes_on=True)
    thoughts = (*mark(before), *engine.tokenize_texts(["the quick"])[0], *mark(after))
    assert completion.provenance is not None
    read = token_sha256((*engine.tokenize(CHAT), *thoughts))
    assert completion.provenance.prompt_sha256 == read


@pytest.mark.parametrize("template", [OPEN, ITSELF])
def test_the_mark_that_a_model_sets_ends_its_thoughts(
    made: Made, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made(template)
    whole = asked(engine, think=True, max_tokens=80).reasoning
    close = whole[8:12]  # the tiny model has no words to choose from
    monkeypatch.setattr(thinking, "MARKS", (("<think>", close),))
    engine._model.tokenizer.__dict__.pop("_marks", None)
    completion = asked(engine, think=True, max_tokens=80)
    assert_whole(completion)
    assert completion.reasoning == whole[: whole.index(close)].rstrip()


@pytest.mark.parametrize("more", [{"think": True, "max_tokens": 400}, {"reason": 32}])
def test_thoughts_that_go_round_in_a_loop_end_there(
    made: Made, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    engine = made(OPEN)
    is_loop = iter([None, 3, None, None, None])
    monkeypatch.setattr(generation, "loop_start", lambda _text: next(is_loop, None))
    completion = asked(engine, **more)
    assert_whole(completion)
    assert 32 <= completion.usage.reasoning_tokens < 60


def test_a_base_model_does_not_write_the_next_turn_before_its_answer(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made(None)
    whole = asked(engine, reason=40).reasoning
    stop = whole[8:12]
    monkeypatch.setattr(plain_template, "STOPS", (stop,))
    stream = submit(engine, CHAT, constraint=SHAPE, reason=40, ignore_eos=False)
    told = "".join(chunk.reasoning for chunk in stream)
    assert_whole(stream.result())
    assert told == stream.result().reasoning == whole[: whole.index(stop)].rstrip()


@pytest.mark.parametrize("logprobs", [None, 1])
def test_company_and_drafts_change_neither_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logprobs: int | None
) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf", chat_template=TURNS)
    more = {"prompt": CHAT, "constraint": SHAPE, "reason": 20, "ignore_eos": False}
    more |= {"temperature": 1.2, "logprobs": logprobs}
    for one in exact_in_company(path, lambda _: more, monkeypatch, is_exact=True):
        assert_whole(one)


def test_the_answer_is_cut_where_it_is_too_long(made: Made) -> None:
    endless = Grammar("regex", "x+")
    more: dict[str, Any] = {"constraint": endless, "logit_bias": ((ord("y"), -math.inf),)}
    completion = asked(made(), reason=5, max_tokens=7, ignore_eos=True, **{
        key: value for key, value in more.items() if key != "ignore_eos"
    })  # fmt: skip
    assert set(completion.text) == {"x"}
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens - completion.usage.reasoning_tokens >= 7


@pytest.mark.parametrize("shape", ["[xy]{30,}", "(yz){30}"])
@pytest.mark.parametrize("logprobs", [None, 1])
def test_an_answer_has_no_more_tokens_where_little_came_before_it(
    made: Made, shape: str, logprobs: int | None
) -> None:
    engine = made()
    ends = tuple((token, 1e30) for token in engine._model.weights.end_ids)
    more: dict[str, Any] = {"constraint": Grammar("regex", shape), "logprobs": logprobs}
    completion = asked(engine, reason=50, max_tokens=7, logit_bias=ends, **more)
    assert (completion.finish_reason, len(completion.text)) == ("length", 7)


LABELS = OneOf(("the dog", "the cat", "thermometer", "x"))


@pytest.mark.parametrize("priority", [Priority.CHAT, Priority.BULK])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("banned", [False, True])
def test_a_choice_is_made_after_what_was_written_and_all_of_it_counts(
    made: Made,
    priority: Priority,
    exact: bool,  # noqa: FBT001
    banned: bool,  # noqa: FBT001
) -> None:
    engine = made(None, exact=exact)
    prompt = "the quick brown"
    ends = tuple((token, 1e30) for token in engine._model.weights.end_ids) if banned else ()
    more: dict[str, Any] = {"constraint": LABELS, "priority": priority, "ignore_eos": False}
    with paused(engine):
        streams = [
            submit(engine, prompt + "!" * n, reason=9 + n, logit_bias=ends, **more)
            for n in range(5)
        ]
    for n, stream in enumerate(streams):
        completion = stream.result(60)
        usage = completion.usage
        assert usage.prompt_tokens == len(engine.tokenize(prompt + "!" * n))
        num_answer = len(completion.token_ids or ())
        assert num_answer == len(engine.tokenize_texts([completion.text])[0])
        assert usage.reasoning_tokens + num_answer == usage.completion_tokens
        num_bridge = len(engine.tokenize_texts([LEAD_OVER])[0])
        assert usage.reasoning_tokens == (0 if banned else 9 + n) + num_bridge
        assert usage.cached_tokens <= usage.prompt_tokens
        assert completion.finish_reason == "stop"
        assert completion.choice is not None
        assert completion.provenance is not None
        sequence = tuple(engine.tokenize(prompt + "!" * n))
        free = () if banned else ask(engine, prompt + "!" * n, 9 + n).token_ids or ()
        bridge = engine.tokenize_texts([LEAD_OVER])[0]
        given = b"".join(map(engine._model.weights.bytes_of, sequence + free + bridge)).decode()
        assert engine.tokenize(given) == sequence + free + bridge
        plain = ask(engine, given, constraint=LABELS)
        assert plain.text == completion.text
        assert plain.choice is not None
        probabilities = completion.choice.probabilities
        assert probabilities == pytest.approx(plain.choice.probabilities, abs=0 if exact else 1e-3)
    assert_nothing_leaks(engine)


@pytest.mark.parametrize("template", [OPEN, ITSELF])
@pytest.mark.parametrize("more", [{"max_tokens": n} for n in (1, 2, 8)] + [{"logprobs": 0}])
def test_a_choice_is_made_however_few_tokens_there_are_for_thoughts(
    made: Made, template: str, more: dict[str, Any]
) -> None:
    completion = asked(made(template), constraint=LABELS, think=True, **more)
    assert completion.text in LABELS.texts
    assert completion.choice is not None
    if completion.logprobs is not None:
        assert [one.token_id for one in completion.logprobs] == list(completion.token_ids or ())


def test_a_choice_that_is_cancelled_keeps_what_was_written_before_it(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made()
    go_on = engine._answering.preparing.go_on

    def go_on_and_end(one: generation.Generation) -> None:
        go_on(one)
        engine._answering.end(one, "cancelled")

    monkeypatch.setattr(engine._answering.preparing, "go_on", go_on_and_end)
    completion = asked(engine, constraint=LABELS, reason=9)
    assert (completion.finish_reason, completion.text) == ("cancelled", "")
    assert completion.reasoning == ask(engine, CHAT, 9).text.strip()
    assert completion.usage.prompt_tokens == len(engine.tokenize(CHAT))
    num_free = 9 + len(engine.tokenize_texts([LEAD_OVER])[0])
    assert completion.usage.completion_tokens == completion.usage.reasoning_tokens == num_free
    assert_nothing_leaks(engine)


def test_a_choice_has_room_wherever_its_free_text_has(made: Made) -> None:
    engine = made(None, exact=True)
    size = inside(engine, lambda: engine._model.lanes.get(is_exact=True).context.n_ctx)
    completion = asked(
        engine, prompt="!" * (size - 40), constraint=OneOf(("?" * 80, "x")), reason=9, exact=True
    )
    assert completion.choice is not None


def test_a_choice_that_has_no_room_after_it_fails_alone(made: Made) -> None:
    engine = made(n_ctx=128)
    long = OneOf(("the dog " * 60, "x"))
    with pytest.raises(ContextOverflowError):
        asked(engine, constraint=long, reason=100)
    assert_whole(asked(engine, reason=10))
    assert_nothing_leaks(engine)
