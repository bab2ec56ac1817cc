"""What a log of entries adds up to."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from support.saved_turns import chat_of, entries, saved_turns, turn

from jupyter_llm.chat.saved import (
    ChatChanged,
    ChatCleared,
    Entry,
    SavedChat,
    SavedTurn,
    TurnForgotten,
    TurnRemoved,
    TurnsDropped,
    fold,
    within,
)

ONE, TWO, THREE = (turn(word, origin=(word, 1)) for word in ("one", "two", "three"))


def test_turns_stand_in_the_order_they_came() -> None:
    assert fold([ONE, TWO, THREE]) == {"default": chat_of(ONE, TWO, THREE)}


def test_a_turn_of_the_same_origin_takes_the_place_of_the_earlier_one() -> None:
    again = replace(ONE, prompt="again")
    assert fold([ONE, TWO, again]) == {"default": chat_of(again, TWO)}


def test_turns_without_an_origin_replace_none() -> None:
    plain = turn()
    assert fold([plain, plain]) == {"default": chat_of(plain, plain)}


def test_chats_do_not_replace_each_others_turns() -> None:
    other = replace(ONE, chat="other")
    assert fold([ONE, other]) == {"default": chat_of(ONE), "other": chat_of(other, name="other")}


def test_a_forgotten_turn_is_gone_and_may_come_again_at_the_end() -> None:
    forgotten = TurnForgotten("default", ("one", 1))
    assert fold([ONE, TWO, forgotten]) == {"default": chat_of(TWO)}
    assert fold([ONE, TWO, forgotten, ONE]) == {"default": chat_of(TWO, ONE)}
    assert fold([forgotten]) == {}


def line(count: int) -> list[SavedTurn]:
    """Return turns that follow one another, each of a cell of its own."""
    return [
        turn(f"{n}", origin=(f"{n}", 1), number=n, parent=n - 1, finished_at=float(n))
        for n in range(1, count + 1)
    ]


def parents(log: list[Entry]) -> dict[int, int | None]:
    return {one.number: one.parent for one in fold(log)["default"].turns}


def test_what_followed_a_removed_turn_follows_the_one_before_it() -> None:
    other = turn("two again", number=4, parent=2, finished_at=4.0)
    log: list[Entry] = [*line(3), other, TurnRemoved("default", 2, 1, 2.0)]
    assert parents(log) == {1: 0, 3: 1, 4: 1}
    assert parents([*line(3), other, TurnForgotten("default", ("2", 1))]) == {1: 0, 3: 1, 4: 1}


def test_a_prompt_that_never_had_an_answer_takes_nothing_along() -> None:
    log: list[Entry] = [*line(2), turn("four", number=4, parent=3, finished_at=4.0)]
    assert parents([*log, TurnRemoved("default", 3, 2, 0.0)]) == {1: 0, 2: 1, 4: 2}


def test_the_turn_of_another_kernel_with_the_same_number_is_not_removed() -> None:
    there = turn("there", number=2, parent=1, finished_at=2.5)
    log: list[Entry] = [*line(3), there, TurnRemoved("default", 2, 1, 2.0)]
    assert [one.prompt for one in fold(log)["default"].turns] == ["1", "3", "there"]
    assert parents(log)[3] == 2  # it is not known whose it was


def test_a_turn_from_before_there_were_branches_can_be_removed() -> None:
    old = [replace(one, parent=None) for one in line(2)]
    new = turn("three", number=3, parent=2, finished_at=3.0)
    assert parents([*old, new, TurnRemoved("default", 2, 1, 2.0)]) == {1: None, 3: 1}


def test_what_is_removed_from_no_chat_changes_nothing() -> None:
    assert fold([TurnRemoved("default", 1, 0, 1.0)]) == {}


def test_a_cleared_chat_is_gone_and_others_are_not() -> None:
    other = replace(ONE, chat="other")
    state = ChatChanged("default", "Be brief.", {"cut": 1})
    assert fold([state, ONE, other, ChatCleared("default")]).keys() == {"other"}
    assert fold([ONE, other, ChatCleared(None), TWO]) == {"default": chat_of(TWO)}


def test_the_last_system_text_counts() -> None:
    log: list[Entry] = [
        ChatChanged("default", "Be brief."),
        ONE,
        ChatChanged("default", "Be kind."),
    ]
    assert fold(log) == {"default": chat_of(ONE, system="Be kind.")}
    assert fold([*log, ChatChanged("default", None)]) == {"default": chat_of(ONE)}


@settings(max_examples=150)
@given(log=st.lists(entries(), max_size=12))
def test_a_chat_that_is_written_anew_adds_up_to_itself(log: list[Entry]) -> None:
    chats = fold(log)
    assert fold([entry for chat in chats.values() for entry in chat.entries()]) == chats


@settings(max_examples=100)
@given(log=st.lists(entries(), max_size=12), more=st.lists(entries(), max_size=5))
def test_what_comes_later_adds_up_the_same_after_writing_anew(
    log: list[Entry], more: list[Entry]
) -> None:
    anew = [entry for chat in fold(log).values() for entry in chat.entries()]
    assert fold([*anew, *more]) == fold([*log, *more])


def size_of(one: SavedTurn) -> int:
    return len(one.prompt)


def test_the_oldest_turns_go_first_whatever_their_chat() -> None:
    turns = [
        turn("x" * 10, chat=name, finished_at=float(number))
        for number, name in enumerate(["a", "b", "b", "a", "b", "a"])
    ]
    kept = within(fold(turns), 50, size_of)
    assert kept["a"].turns == (turns[3], turns[5])
    assert kept["b"].turns == (turns[4],)
    assert (kept["a"].num_dropped, kept["b"].num_dropped) == (1, 2)


@settings(max_examples=100)
@given(turns=st.lists(saved_turns(), max_size=10), max_bytes=st.integers(0, 200))
def test_turns_are_dropped_only_for_want_of_room_and_counted(
    turns: list[SavedTurn], max_bytes: int
) -> None:
    chats = fold(turns)
    kept = within(chats, max_bytes, size_of)
    assert kept.keys() == chats.keys()
    sizes = [size_of(one) for chat in chats.values() for one in chat.turns]
    if sum(sizes) <= max_bytes:
        assert kept == chats
    for name, chat in chats.items():
        assert chat.turns[kept[name].num_dropped :] == kept[name].turns
    rest = sum(size_of(one) for chat in kept.values() for one in chat.turns)
    assert rest <= max_bytes


def test_an_empty_chat_is_no_chat() -> None:
    assert fold([ChatChanged("default", None)]) == {}
    assert fold([TurnsDropped("default", 2)]) == {
        "default": SavedChat(name="default", num_dropped=2)
    }
