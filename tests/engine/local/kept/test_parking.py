"""Idle conversations leave the cache for plain memory, and come back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engines import (
    ask,
    assert_nothing_leaks,
    forget_all,
    load,
    num_read,
    paused,
    resident_tokens,
    submit,
)

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.info import ResidentPrefix
from jupyter_llm.engine.local.engine import LocalEngine

# -- bookkeeping -----------------------------------------------------------------------------------


# -- a lane that parks -----------------------------------------------------------------------------

LONG = "the quick brown fox jumps over the lazy dog and "
OPTIONS: dict[str, Any] = {"exact": False, "flash_attention": False, "checkpoints": False}


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, **OPTIONS)


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


def test_a_prompt_of_somebody_else_borrows_the_start_and_brings_in_nothing_more(
    engine: LocalEngine,
) -> None:
    ask(engine, LONG * 20 + "for ann", 8, conversation="ann")
    ask(engine, "something else " * 30, 8, conversation="other")
    assert states(engine)["ann"] == "parked"
    bob = ask(engine, LONG * 4 + "for bob", 8, conversation="bob")
    assert bob.usage.cached_tokens >= engine.count_tokens(LONG * 4) - 1
    assert max(resident_tokens(engine.status())) < engine.count_tokens(LONG * 5) + 20
    assert states(engine)["ann"] == "parked"
    ann = ask(engine, LONG * 20 + "for ann, again", 8, conversation="ann")
    assert ann.usage.cached_tokens >= engine.count_tokens(LONG * 20)


def test_a_parked_prefix_is_not_lost_while_every_slot_is_busy(engine: LocalEngine) -> None:
    talks = Talks(engine, "ab")
    num_slots = engine._model.lanes.all[0].context.num_slots
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


def test_the_exact_context_parks_nothing_since_streams_do_not_slow_one_another(
    tiny_gguf: Path,
) -> None:
    engine = load(tiny_gguf, exact=True, checkpoints=False)
    talks = Talks(engine, "abc")
    assert set(states(engine).values()) == {"resident"}
    for name in "abc":
        assert num_read(talks.go_on(name)) < 20
