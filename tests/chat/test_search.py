"""Words in chats: which turns have them, and what is shown of these."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.saved_turns import chat_of, turn

from jupyter_llm.chat.search import search

LONG = "word " * 100


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("who", [2, 1]),
        ("Who ME", [2, 1]),
        ("me who", [2, 1]),
        ("caf\u00e9", [2]),
        ("cafe\u0301", [2]),
        (".", [2, 1]),
        ("w.o", []),
        ("nobody", []),
        (" \n", []),
    ],
)
def test_a_turn_is_found_that_has_all_the_words_the_newest_first(
    words: str, places: list[int]
) -> None:
    first = turn("Who?", "Me.")
    second = turn("Who else?", "Me, in the cafe\u0301.", number=2, finished_at=1_800_000_000.0)
    found = search([chat_of(first, second)], words)
    assert [one.place for one in found] == places


def test_what_is_shown_is_one_line_around_the_words_where_they_stand_side_by_side() -> None:
    (found,) = search([chat_of(turn(f"two {LONG}", f"one\n\u202etwo {LONG}"))], "one TWO")
    assert found.words == "one two"
    assert found.before == "…" + (LONG[:-1] + " ")[-40:]
    assert found.after == (" " + LONG)[:79] + "…"


def test_a_chat_has_the_first_kept_prompt_for_its_title_and_the_rest_is_not_found() -> None:
    chat = chat_of(turn("rosebud"), turn("Who\nare  you?", "rosebud", number=2), turn(number=3))
    chat = replace(chat, num_dropped=4, passing=frozenset({1, 3}))
    assert chat.title == "Who are you?"
    assert [one.place for one in search([chat], "rosebud")] == [6]
    assert (chat.num_turns, chat.when) == (7, 1_700_000_000.0)
    assert (chat_of().title, chat_of().when) == ("", None)
