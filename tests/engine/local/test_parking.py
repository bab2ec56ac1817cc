"""Idle conversations leave the cache for plain memory, and come back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engines import ask, assert_nothing_leaks, forget_all, load, num_read, paused, submit

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.info import ResidentPrefix
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.parking import ParkedPrefix, Parking

# -- bookkeeping -----------------------------------------------------------------------------------


def prefix(
    token_ids: list[int], num_bytes: int = 10, conversation: str | None = "a"
) -> ParkedPrefix:
    return ParkedPrefix(
        token_ids=tuple(token_ids),
        is_private=False,
        state=memoryview(bytes(num_bytes)),
        conversation=conversation,
        num_prompt=len(token_ids),
        num_saved=0,
    )


def tokens(parking: Parking) -> list[tuple[int, ...]]:
    return [one.token_ids for one in parking.prefixes]


def test_the_latest_is_first_and_the_oldest_go_when_room_is_short() -> None:
    parking = Parking(35)
    for number in range(5):
        parking.park(prefix([number, 1]))
    assert tokens(parking) == [(4, 1), (3, 1), (2, 1)]
    assert parking.num_bytes == 30


def test_what_a_prefix_continues_need_not_be_kept() -> None:
    parking = Parking(100)
    for token_ids in ([1, 2], [5], [1, 2, 3], [1, 2, 3], [1]):
        parking.park(prefix(token_ids))
    assert tokens(parking) == [(1,), (1, 2, 3), (5,)]


def test_one_that_is_too_large_is_not_kept() -> None:
    parking = Parking(5)
    parking.park(prefix([1, 2]))
    assert tokens(parking) == []


def test_the_longest_common_start_is_found() -> None:
    parking = Parking(100)
    for token_ids in ([1, 2, 3, 4], [1, 2, 9], [7]):
        parking.park(prefix(token_ids))
    found, length = parking.find([1, 2, 3, 5], whole=False)
    assert found is not None
    assert (found.token_ids, length) == ((1, 2, 3, 4), 3)
    assert parking.find([1, 2, 3, 5], whole=True) == (None, 0)
    assert parking.find([8], whole=False) == (None, 0)
    whole, length = parking.find([1, 2, 9, 9], whole=True)
    assert whole is not None
    assert length == 3


def test_the_owner_takes_a_prefix_away_and_others_make_it_the_latest() -> None:
    parking = Parking(100)
    first, second = prefix([1]), prefix([2])
    parking.park(first)
    parking.park(second)
    parking.take(first, is_owner=False)
    assert tokens(parking) == [(1,), (2,)]
    parking.take(first, is_owner=True)
    assert tokens(parking) == [(2,)]


# -- a lane that parks -----------------------------------------------------------------------------

LONG = "the quick brown fox jumps over the lazy dog and "
OPTIONS: dict[str, Any] = {"exact": False, "flash_attention": False, "checkpoints": False}


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, **OPTIONS)


def parking_of(engine: LocalEngine) -> Parking:
    parking = engine._model.lanes[0]._parking
    assert parking is not None
    return parking


class Talks:
    """Conversations that are begun, or gone on with."""

    def __init__(self, engine: LocalEngine, names: str = "") -> None:
        self.engine = engine
        self._told: dict[str, str] = {}
        for name in names:
            self.go_on(name)

    def prompt(self, name: str) -> str:
        return f"{name}: {LONG * 9}{self._told.get(name, '')}"

    def go_on(self, name: str) -> Completion:
        completion = ask(self.engine, self.prompt(name), 8, conversation=name)
        self._told[name] = self._told.get(name, "") + completion.text + " and then "
        return completion


def states(engine: LocalEngine) -> dict[str | None, str]:
    def state(one: ResidentPrefix) -> str:
        return "parked" if one.is_parked else "resident"

    return {one.conversation: state(one) for one in engine.status().prefixes}


def test_the_conversation_that_is_asked_is_alone_in_the_cache(engine: LocalEngine) -> None:
    talks = Talks(engine, "abc")
    assert states(engine) == {"a": "parked", "b": "parked", "c": "resident"}
    talks.go_on("a")
    assert states(engine) == {"a": "resident", "b": "parked", "c": "parked"}
    assert_nothing_leaks(engine)


def test_a_parked_conversation_reads_only_what_is_new_and_gets_the_same_tokens(
    engine: LocalEngine, tiny_gguf: Path
) -> None:
    talks, reference = Talks(engine), Talks(load(tiny_gguf, **OPTIONS))
    for number, name in enumerate("abc" * 4):
        forget_all(reference.engine)
        got, fresh = talks.go_on(name), reference.go_on(name)
        assert number < 3 or num_read(got) < 20
        assert fresh.usage.cached_tokens == 0
        assert got.token_ids == fresh.token_ids


def test_short_conversations_stay_where_they_are(engine: LocalEngine) -> None:
    for name in "abc":
        ask(engine, f"{name}: short", 4, conversation=name)
    assert set(states(engine).values()) == {"resident"}


def test_two_that_come_back_at_once_both_find_theirs(engine: LocalEngine) -> None:
    talks = Talks(engine, "abc")
    with paused(engine):
        streams = [submit(engine, talks.prompt(name), 8, conversation=name) for name in "ab"]
    for stream in streams:
        assert num_read(stream.result(timeout=60)) < 20


def test_nothing_is_parked_under_those_that_run(engine: LocalEngine) -> None:
    talks = Talks(engine, "a")
    stream = submit(engine, talks.prompt("b"), None, conversation="b")
    chunks = iter(stream)
    next(chunks)
    talks.go_on("c")
    assert states(engine)["a"] == "parked"
    assert states(engine)["b"] == "resident"
    stream.cancel()


def test_one_too_large_to_be_parked_stays_in_the_cache(engine: LocalEngine) -> None:
    talks = Talks(engine, "a")
    parking_of(engine).max_bytes = 1000
    talks.go_on("b")
    assert states(engine) == {"a": "resident", "b": "resident"}
    assert num_read(talks.go_on("a")) < 20


def test_the_longest_parked_go_first_when_the_parking_is_full(engine: LocalEngine) -> None:
    talks = Talks(engine, "ab")
    parking_of(engine).max_bytes = 5 * parking_of(engine).num_bytes // 2
    for name in "cd":
        talks.go_on(name)
    assert set(states(engine)) == {"b", "c", "d"}


def test_a_prompt_of_somebody_else_borrows_the_start_and_brings_in_nothing_more(
    engine: LocalEngine,
) -> None:
    ask(engine, LONG * 20 + "for ann", 8, conversation="ann")
    ask(engine, "something else " * 30, 8, conversation="other")
    assert states(engine)["ann"] == "parked"
    bob = ask(engine, LONG * 4 + "for bob", 8, conversation="bob")
    assert bob.usage.cached_tokens >= engine.count_tokens(LONG * 4) - 1
    assert max(engine.status().resident_tokens) < engine.count_tokens(LONG * 5) + 20
    assert states(engine)["ann"] == "parked"
    ann = ask(engine, LONG * 20 + "for ann, again", 8, conversation="ann")
    assert ann.usage.cached_tokens >= engine.count_tokens(LONG * 20)


def test_a_replaced_turn_takes_its_own_parked_prefix_over(engine: LocalEngine) -> None:
    ask(engine, LONG * 20 + "one way to go on from here", 8, conversation="a")
    ask(engine, "something else " * 30, 8, conversation="b")
    replaced = ask(engine, LONG * 20 + "another", 8, conversation="a")
    assert replaced.usage.cached_tokens >= engine.count_tokens(LONG * 20) - 1
    assert list(states(engine)) == ["a", "b"]  # no copy of the old turn stays behind
    assert_nothing_leaks(engine)


def test_a_parked_prefix_is_not_lost_while_every_slot_is_busy(engine: LocalEngine) -> None:
    talks = Talks(engine, "ab")
    num_slots = engine._model.lanes[0].context.num_slots
    with paused(engine):
        rows = [
            submit(engine, f"row {row}", 120, conversation=str(row)) for row in range(num_slots)
        ]
    chunks = iter(rows[0])
    next(chunks)
    waiting = submit(engine, talks.prompt("a"), 8, conversation="a")
    for row in rows:
        row.cancel()
    assert waiting.result(timeout=60).finish_reason == "length"
    assert num_read(talks.go_on("a")) < 20


def test_coming_back_makes_idle_conversations_give_way_if_room_is_short(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, n_ctx=1024, **OPTIONS)
    talks = Talks(engine, "ab")
    running = submit(engine, "c: " + "x " * 20, 200, conversation="c")  # so nothing is parked
    chunks = iter(running)
    next(chunks)
    for name in ("d", "e"):
        ask(engine, f"{name}: {'y ' * 90}", 2, conversation=name)
    assert num_read(talks.go_on("a")) < 20


def test_the_exact_context_parks_nothing_since_streams_do_not_slow_one_another(
    tiny_gguf: Path,
) -> None:
    engine = load(tiny_gguf, exact=True, checkpoints=False)
    talks = Talks(engine, "abc")
    assert set(states(engine).values()) == {"resident"}
    for name in "abc":
        assert num_read(talks.go_on(name)) < 20
