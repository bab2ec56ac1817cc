"""Chats as Markdown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markdown_readers import commonmark, problems_in_commonmark, problems_in_jupyterlab
from support.saved_turns import chat_of, turn

from jupyter_llm.chat.question import code_prompt
from jupyter_llm.chat.store import SavedChat
from jupyter_llm.chat.transcript import chat_markdown, to_markdown

CHATS = {"default": chat_of(turn("Who?", "Me."), system="Be brief.")}


def test_a_transcript_says_who_said_what_when() -> None:
    chats = {"default": chat_of(turn("Who?\nYou?", "Me."), turn("Why?", "So."), system="Be brief.")}
    text = to_markdown(chats, title="Chats of a.ipynb")
    pieces = ["# Chats of a.ipynb", "## default", "> Be brief.", "**1. You:**"]
    pieces += ["> Who?\n> You?", "**tiny**, 2023-11-1", "seed 7:", "Me."]
    pieces += ["**2. You:**", "> Why?", "**tiny**", "So."]
    position = 0
    for piece in pieces:
        position = text.index(piece, position)


def test_a_transcript_says_who_asked_where_several_people_may() -> None:
    assert "**1. Ada:**" in to_markdown({"default": chat_of(turn(by="Ada"))})


def test_a_request_for_code_is_written_as_it_was_typed() -> None:
    assert "Answer with Python" not in to_markdown({"a": chat_of(turn(code_prompt("Add.")))})


def test_a_chat_that_lost_turns_counts_on_and_says_so() -> None:
    text = chat_markdown(SavedChat(name="a", turns=(turn("Who?"),), num_dropped=2))
    assert text.index("2 older turns") < text.index("**3. You:**") < text.index("> Who?")


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, None), (1, "(1 other branch of this"), (2, "(2 other branches of this")],
)
def test_it_is_said_how_many_branches_are_not_shown(number: int, words: str | None) -> None:
    chat = replace(CHATS["default"], num_other_branches=number)
    for text in (chat_markdown(chat), to_markdown({"default": chat})):
        assert (words is None) == ("other branch" not in text)
        assert words is None or text.index("Me.") < text.index(words)


@pytest.mark.parametrize(
    ("reason", "word"), [("cancelled", "interrupted"), ("length", "cut off"), ("error", "failed")]
)
def test_an_answer_that_did_not_end_says_so(reason: Any, word: str) -> None:
    assert f"({word})" in to_markdown({"default": chat_of(turn(finish_reason=reason))})
    assert f"({word})" not in to_markdown({"default": chat_of(turn())})


def test_an_open_code_block_does_not_swallow_the_turns_after_it() -> None:
    chat = chat_of(turn("Code?", "```python\nx = 1"), turn("Second?", "*Yes.*"))
    for text in (to_markdown({"default": chat}), chat_markdown(chat)):
        tokens = commonmark().parse(text)
        (fence,) = [token for token in tokens if token.type == "fence"]
        assert fence.content == "x = 1\n"


HOSTILE = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](https://e.x/x.png)"),
    *("[x](javascript:alert(1))", "[x]: https://e.x", "$$", "$", "`", "```", "~~~", "\n", "\n\n"),
    *("\\begin{a}", "\\end{a}", "# ", "> ", "- ", "@@0@@", "https://e.x/$a$"),
    *("x", " ", "\r", "\u2028"),
)
HOSTILE_TEXTS = st.lists(st.sampled_from(HOSTILE), max_size=6).map("".join)


@settings(max_examples=200)
@given(texts=st.lists(HOSTILE_TEXTS, min_size=6, max_size=6))
def test_no_chat_becomes_more_than_text(texts: list[str]) -> None:
    prompt, text, other, system, name, model = texts
    first = turn(prompt, text)
    first = replace(first, completion=replace(first.completion, model=model))
    chat = chat_of(first, turn(other, prompt), name=name, system=system)
    for shown in (to_markdown({name: chat}, title=name), chat_markdown(chat)):
        assert not problems_in_commonmark(shown)
        assert not problems_in_jupyterlab(shown)
