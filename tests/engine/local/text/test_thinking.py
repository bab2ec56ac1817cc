"""A model that thinks, on real tokens: its template opens the thoughts, or it does so itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines import ask, load, prefill, submit, wait_until_idle
from support.tiny_model import write_tiny_model

from jupyter_llm.engine import thinking
from jupyter_llm.engine.constraint import BeginsWith, OneOf
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import OptionError

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}"
    "{{ keeps }}{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
OPEN = TURNS + "{{ '<think>\n' }}"
CHOICE = TURNS + (
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}"
)
KEEPS = TURNS.replace("{{ keeps }}", "<think>{{ m.reasoning_content }}</think>")
CHAT = (Message("user", "Hello"),)


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], LocalEngine]:
    def engine(template: str) -> LocalEngine:
        path = write_tiny_model(tmp_path / "tiny.gguf", chat_template=template)
        return load(path, checkpoints=False, flash_attention=False)

    return engine


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a text end thoughts: the tiny model has no words to choose from."""

    def close(text: str) -> None:
        monkeypatch.setattr(thinking, "MARKS", (("<think>", text),))

    return close


def test_an_answer_that_begins_in_thoughts_is_told_from_them(
    made: Callable[[str], LocalEngine], closing: Callable[[str], None]
) -> None:
    engine = made(OPEN)
    whole = ask(engine, CHAT)
    assert (whole.text, whole.finish_reason) == ("", "length")  # it never came to an answer
    assert whole.usage.reasoning_tokens == whole.usage.completion_tokens == 24
    close = whole.reasoning[8:12]
    closing(close)
    stream = submit(engine, CHAT)
    chunks = list(stream)
    answer = stream.result()
    thought, _, text = whole.reasoning.partition(close)
    assert (answer.reasoning, answer.text) == (thought.rstrip(), text.lstrip())
    assert "".join(chunk.reasoning for chunk in chunks) == stream.reasoning == answer.reasoning
    assert "".join(chunk.text for chunk in chunks) == stream.written == answer.text
    assert 0 < answer.usage.reasoning_tokens < 24
    assert answer.provenance is not None
    assert answer.provenance.reasoning_sha256 is not None


def test_stop_texts_end_the_answer_and_no_thoughts(
    made: Callable[[str], LocalEngine], closing: Callable[[str], None]
) -> None:
    engine = made(OPEN)
    whole = ask(engine, CHAT).reasoning
    closing(whole[8:12])
    stop = whole[2:4]
    answer = ask(engine, CHAT, stop=(stop,))
    assert stop in answer.reasoning
    assert stop not in answer.text


def test_what_an_answer_must_begin_with_comes_after_no_thought(
    made: Callable[[str], LocalEngine],
) -> None:
    engine = made(OPEN)
    params = SamplingParams(temperature=0, max_tokens=5)
    request = Request(prompt=CHAT, params=params, answer_prefix="```python\n")
    begun = engine.submit(request).result(60)
    bound = ask(engine, CHAT, constraint=BeginsWith(("Yes", "No")))
    assert begun.reasoning == bound.reasoning == ""
    assert begun.text
    assert bound.text.startswith(("Yes", "No"))
    plain = engine.count_tokens(CHAT)
    assert begun.usage.prompt_tokens > bound.usage.prompt_tokens > plain  # the mark that ends them


@pytest.mark.parametrize("template", [OPEN, CHOICE])
def test_thinking_is_switched_off(template: str, made: Callable[[str], LocalEngine]) -> None:
    engine = made(template)
    for think in (None, True):
        assert ask(engine, CHAT, think=think).reasoning
    answer = ask(engine, CHAT, think=False)
    assert (answer.reasoning, bool(answer.text)) == ("", True)
    tokens = engine._model.tokenizer.tokenize(CHAT, think=False)
    assert engine.count_tokens(CHAT, think=False) == len(tokens)
    assert engine.format(CHAT, think=False).endswith("<think>\n\n</think>\n\n")
    bytes_of = engine._model.weights.bytes_of
    assert b"".join(map(bytes_of, tokens)).endswith(b"<think>\n\n</think>\n\n")
    with pytest.raises(OptionError, match="think must be"):
        ask(engine, CHAT, think="a little")


@pytest.mark.parametrize(
    ("template", "options", "most"),
    [
        (OPEN, {}, 2048),
        (OPEN, {"think": True, "reason": 50}, 2048),  # which is for answers with a shape
        (OPEN, {"max_tokens": 512}, 512),
        (OPEN, {"think": False}, 512),
        (TURNS, {}, 512),
    ],
)
def test_who_can_think_has_more_tokens_where_nobody_said_how_many(
    template: str, options: dict[str, Any], most: int, made: Callable[[str], LocalEngine]
) -> None:
    engine = made(template)
    end = min(engine._model.weights.end_ids)
    params = SamplingParams(temperature=0, logit_bias=((end, 1e9),), **options)
    record = engine.submit(Request(prompt=CHAT, params=params)).result(60).provenance
    assert record is not None
    assert record.params.max_tokens == most


def test_thoughts_are_read_again_only_where_the_template_asks_for_them(
    made: Callable[[str], LocalEngine],
) -> None:
    said = Message("assistant", "Hi.", reasoning="Be polite. <|im_end|>")
    chat = (*CHAT, said, Message("user", "And now?"))
    assert "polite" not in made(TURNS).format(chat)
    engine = made(KEEPS)
    assert "<think>Be polite." in engine.format(chat)
    end = engine._model.weights.control_id("<|im_end|>")
    assert engine.tokenize(chat).count(end) == 3  # the template's own, and no thought of one


def test_an_interrupt_keeps_what_was_thought(made: Callable[[str], LocalEngine]) -> None:
    stream = submit(made(OPEN), CHAT, 4000, may_repeat=True)
    next(iter(stream))
    completion = stream.interrupt().completion
    assert completion is not None
    assert (bool(completion.reasoning), completion.text) == (True, "")
    assert completion.finish_reason == "cancelled"


def test_raw_text_is_never_taken_for_thoughts(made: Callable[[str], LocalEngine]) -> None:
    assert ask(made(OPEN), "Now <think>\n").reasoning == ""


def test_control_tokens_that_mark_thoughts_are_seen(
    tmp_path: Path, closing: Callable[[str], None]
) -> None:
    marks = ("<|START_THINKING|>", "<|END_THINKING|>")
    path = write_tiny_model(
        tmp_path / "tiny.gguf", chat_template=TURNS + marks[0], control_texts=marks
    )
    engine = load(path, checkpoints=False)
    assert ask(engine, CHAT).reasoning
    end = engine._model.weights.control_id(marks[1])
    assert ask(engine, CHAT, think=False).text
    bound = ask(engine, CHAT, 6, logit_bias=((end, 1e9),))
    assert (bound.reasoning, bound.text) == ("", "")


def test_a_draft_that_was_read_ahead_is_read_as_it_is_asked(
    made: Callable[[str], LocalEngine],
) -> None:
    engine = made(CHOICE)
    prefill(engine, CHAT, conversation="c")
    wait_until_idle(engine)
    assert ask(engine, CHAT, think=False, conversation="c").usage.cached_tokens > 0


def test_a_draft_with_a_shape_is_read_ahead_as_it_is_asked(
    made: Callable[[str], LocalEngine],
) -> None:
    told = "{% if enable_thinking is defined and not enable_thinking %}/no_think{% endif %}"
    engine = made(told + OPEN)
    shaped = Request(prompt=CHAT, conversation="c", constraint=OneOf(("Yes", "No")))
    engine.prefill(shaped, is_draft=True)
    wait_until_idle(engine)
    usage = engine.submit(shaped).result(60).usage
    assert usage.cached_tokens >= usage.prompt_tokens - 1
    assert usage.prompt_tokens == engine.count_tokens(CHAT, think=shaped.think)
