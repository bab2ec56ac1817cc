"""Thoughts are told from the answer, however the text comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.engine.thinking import (
    MARKS,
    Thinking,
    marks_among,
    marks_of,
    opened_at_end,
)

PAIRS = [pair for pair in MARKS if pair[1]]
PLAIN = st.text("ab<>/|[]TKink \n")


def split(text: str, sizes: list[int], thinking: Thinking) -> tuple[str, str]:
    """The thoughts and the answer of a text that comes in pieces of these sizes."""
    thought = answer = ""
    for size in [*sizes, len(text)]:
        piece, text = text[:size], text[size:]
        more = thinking.feed(piece)
        thought, answer = thought + more[0], answer + more[1]
    more = thinking.flush()
    return thought + more[0], answer + more[1]


SIZES = st.lists(st.integers(1, 5), max_size=40)


@given(st.sampled_from(PAIRS), PLAIN, PLAIN, SIZES, st.booleans())
def test_what_stands_between_the_marks_is_thought_and_what_follows_is_the_answer(
    pair: tuple[str, str],
    thought: str,
    answer: str,
    sizes: list[int],
    is_open: bool,  # noqa: FBT001
) -> None:
    mark, close = pair
    text = ("" if is_open else f"\n{mark}") + f"\n{thought}\n{close}\n\n{answer}"
    found = split(text, sizes, Thinking(close if is_open else None))
    if close not in thought:
        assert found == (thought.strip(), answer.lstrip())


@given(PLAIN, SIZES)
def test_an_answer_without_thoughts_is_the_text_as_it_is(text: str, sizes: list[int]) -> None:
    thinking = Thinking()
    if not text.lstrip().startswith(tuple(mark for mark, _ in MARKS)):
        assert split(text, sizes, thinking) == ("", text)
        assert thinking.is_whole


@given(SIZES)
def test_thoughts_without_an_end_are_all_there_is(sizes: list[int]) -> None:
    thinking = Thinking()
    assert split("<think>\nHm. </thin", sizes, thinking) == ("Hm. </thin", "")
    assert thinking.is_on


@given(SIZES)
def test_gpt_oss_may_answer_at_once(sizes: list[int]) -> None:
    assert split("<|channel|>final<|message|>Yes.", sizes, Thinking()) == ("", "Yes.")


def test_thoughts_come_out_as_soon_as_they_are_certain() -> None:
    thinking = Thinking()
    pieces = ["<thin", "k>\n", "One", "\n\n", "two </", "b", "</think>", "\n\n", "Yes", " <think>"]
    assert [thinking.feed(piece) for piece in pieces] == [
        ("", ""),
        ("", ""),
        ("One", ""),
        ("", ""),
        ("\n\ntwo", ""),
        (" </b", ""),
        ("", ""),
        ("", ""),
        ("", "Yes"),
        ("", " <think>"),
    ]


@pytest.mark.parametrize(("mark", "close"), PAIRS)
def test_a_prompt_that_ends_with_a_mark_has_the_answer_begin_in_thoughts(
    mark: str, close: str
) -> None:
    assert opened_at_end(f"<|assistant|>{mark}\n") == close
    assert opened_at_end(f"<|assistant|>{mark}\n\n{close}\n\n") is None


def test_only_the_control_texts_of_marks_are_read_as_such() -> None:
    texts = ("<|im_end|>", "[THINK]", "<|channel|>", "<|end|>", "")
    assert marks_among(texts) == {"[THINK]", "<|channel|>", "<|end|>"}


def test_only_the_marks_of_a_model_are_read_as_such() -> None:
    assert marks_of("{{ messages }}", ()) == []
    found = [mark for mark, _ in marks_of("… '<think>\n'", {"[THINK]", "<|channel|>"})]
    assert found[:2] == ["<think>", "[THINK]"]
    assert all(mark.startswith("<|channel|>") for mark in found[2:])
    assert split("<think> is a tag.", [3], Thinking(marks=())) == ("", "<think> is a tag.")
