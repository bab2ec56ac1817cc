"""A text that goes round in circles ends; a table of zeros goes on."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engines import ask, load

from jupyter_llm.chat.context import Context, Turn
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.provenance import Provenance
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.records.verify import replay_params

SENTENCE = b"I do not know what to say. "
LOOP = "Well. " + SENTENCE.decode() * 40


def rows(row: str, count: int) -> str:
    return "\n".join([row] * count)


# What people ask for, and models write, that repeats itself and is as it should be.
SOUND = {
    "zeros in a line": "0 " * 400,
    "a list of zeros": f"x = [{', '.join(['0'] * 400)}]",
    "a matrix of zeros": rows("[" + ", ".join(["0.0"] * 12) + "],", 12),
    "an image of zeros": rows("0 " * 28, 28),
    "a board of None": rows("    [" + ", ".join(["None"] * 8) + "],", 8),
    "a board of False": rows("[" + ", ".join(["False"] * 8) + "],", 8),
    "a list of True": f"flags = [{', '.join(['True'] * 100)}]",
    "a list of numbers": ", ".join(map(str, range(1000))),
    "numbered lines": "\n".join(f"Line {number} of the list." for number in range(200)),
    "a ruler": "=" * 120,
    "rulers": rows("=" * 80 + "\n" + "-" * 80, 8),
    "the head of a wide table": "|" + " name |" * 12 + "\n|" + "---|" * 60,
    "an empty table": "| a | b | c |\n|---|---|---|\n" + rows("|  |  |  |", 60),
    "a table of one value": "| a | b |\n|---|---|\n" + rows("| yes | no |", 40),
    "an empty table in HTML": rows("<tr>" + "<td></td>" * 10 + "</tr>", 10),
    "a list in HTML": rows('<li class="item"><a href="#">Link</a></li>', 12),
    "lines for an answer": rows("_" * 60, 20),
    "blank lines": "\n" * 300,
    "a sentence written twenty times": rows("I must not talk in class.", 20),
    "a row of the same words": rows("row, row, row your boat", 12),
    "laughter": "ha " * 60,
    "a pattern": rows("*  " * 20 + "\n" + " * " * 20, 20),
    "a chessboard": rows(rows("# . " * 4, 1) + "\n" + ". # " * 4, 4),
    "bytes": "b'" + "\\x00" * 200 + "'",
    "base64": "A" * 1000,
    "a gene": "ATG" * 300,
    "prints": "\n".join(f"print('row {number}')" for number in range(100)),
    "the same filler three times": rows("<p>" + "Lorem ipsum dolor sit amet, " * 8 + "</p>", 1),
    "paragraphs of filler": "\n".join([f"<p>{string.ascii_letters * 3}</p>"] * 3),
    "Chinese counting": "".join(f"第{number}行。" for number in range(200)),
}

LOOPS = {
    "a sentence": "The answer is 4. ",
    "a short one": "I'm sorry, I can't. ",
    "a line of code": "print(df.head())\n",
    "a paragraph": "The capital of France is Paris. It is large, and many people live there.\n\n",
    "a question and its answer": "Q: What is the capital?\nA: It is the capital of the country.\n",
    "a list item": "- Use a list comprehension to make the list.\n",
    "Chinese": "我不知道答案是什么,请再问一次。",
    "Greek": "Δεν ξέρω την απάντηση. ",
    "one word": "the ",
    "a number": "0.",
    "a dot": ".",
    "code blocks": "```python\nx = compute(y)\n```\n",
}


def first_cut(text: str) -> int | None:
    """The length at which a text that grows by a few characters a time is seen to repeat."""
    sizes = range(1, len(text) + 1, 3)
    return next((size for size in sizes if loop_start(text[:size]) is not None), None)


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_what_repeats_as_it_should_is_not_cut_wherever_it_has_come_to(text: str) -> None:
    assert first_cut(f"Here it is:\n\n{text}") is None


@pytest.mark.parametrize("piece", LOOPS.values(), ids=LOOPS)
def test_a_loop_is_seen_and_told_once(piece: str) -> None:
    start = "Well, let me see. "
    text = start + piece * 4000
    size = first_cut(text[:4000])
    assert size is not None
    assert size <= len(start) + max(6 * len(piece), 3100)
    begins = loop_start(text[:size])
    assert begins is not None
    assert text[:begins].startswith(start)
    assert len(start) <= begins <= len(start) + 2 * len(piece)


WORDS = st.text("abcdefghij ", min_size=1, max_size=60)


@given(WORDS, WORDS.filter(lambda piece: len({*piece} - {" "}) >= 7), st.integers(0, 30))
def test_words_over_and_over_are_a_loop_whatever_stood_before(
    before: str, piece: str, torn: int
) -> None:
    text = before + piece * (700 // len(piece) + 5) + piece[:torn]
    begins = loop_start(text)
    assert begins is not None
    assert begins <= len(before) + 2 * len(piece)
    rest = text[begins:]
    assert text[begins - len(piece) :].startswith(rest[: len(piece)])


@given(
    st.lists(st.integers(0, 9), min_size=300, max_size=400),
    st.sampled_from(["", " ", ", ", "\n", " | "]),
)
def test_digits_are_not_cut_in_any_order(digits: list[int], between: str) -> None:
    assert loop_start(between.join(map(str, digits))[:2900]) is None


@pytest.mark.parametrize("piece", ["ab", "aaaaaaaaab", "0 ", "the "])
def test_a_loop_of_any_length_is_seen(piece: str) -> None:
    assert loop_start(piece * 20_000) is not None


# -- the engine ------------------------------------------------------------------------------------


@pytest.fixture
def stuck(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> LocalEngine:
    """An engine whose every token reads as the same sentence."""
    engine = load(tiny_gguf, checkpoints=False)
    monkeypatch.setattr(engine._model.weights, "bytes_of", lambda _token: SENTENCE)
    return engine


def test_a_text_that_has_begun_to_repeat_itself_ends_and_says_why(stuck: LocalEngine) -> None:
    completion = ask(stuck, "Hello", 400, ignore_eos=False)
    assert completion.finish_reason == "repetition"
    assert 600 <= len(completion.text) <= 1000
    assert completion.token_ids is not None
    assert len(completion.token_ids) == completion.usage.completion_tokens == 32
    made = completion.provenance
    assert made is not None
    assert made.finish_reason == "repetition"
    replayed = ask(stuck, "Hello", **replay(made))
    assert replayed.text == completion.text


def replay(made: Provenance) -> dict[str, Any]:
    params = replay_params(made)
    names = ("max_tokens", "temperature", "may_repeat", "ignore_eos")
    return {name: getattr(params, name) for name in names}


@pytest.mark.parametrize("option", ["may_repeat", "ignore_eos"])
def test_it_goes_on_where_that_is_wanted(stuck: LocalEngine, option: str) -> None:
    completion = ask(stuck, "Hello", 100, **{"ignore_eos": False, option: True})
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == 100


def made(text: str, **more: Any) -> Completion:
    return Completion(text=text, usage=Usage(), model="m", token_ids=(1, 2), **more)


def test_a_loop_is_told_once_to_the_model_however_it_was_ended() -> None:
    for reason in ("repetition", "length", "cancelled"):
        message = made(LOOP, finish_reason=reason).message
        assert message.content.count("I do not know") == 1
        assert message.token_ids is None
    for whole in (made(LOOP, finish_reason="stop"), made("Well.", finish_reason="length")):
        assert whole.message.content == whole.text  # the model meant it
        assert whole.message.token_ids == whole.token_ids


def test_a_chat_does_not_tell_the_loop_again() -> None:
    draft = Context(
        prompt="And?",
        turns=(Turn(prompt="Who?", completion=made(LOOP, finish_reason="repetition"), number=1),),
    )
    assert "".join(message.content for message in draft.messages).count("I do not know") == 1
