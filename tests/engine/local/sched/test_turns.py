"""Engines compute one after the other, the most urgent work first."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.engines import ask, closing, inside, load, submit
from support.waiting import until

from jupyter_llm.engine.local import loop
from jupyter_llm.engine.local.sched.scheduler import Scheduler, Step
from jupyter_llm.engine.local.sched.turns import Seat, Turns
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.engine.stream import Stream

LONG_S = 60.0


def place() -> Seat:
    return Seat(lambda _priority: None)


def test_the_most_urgent_work_comes_first_and_of_equals_what_has_waited_longest() -> None:
    turns = Turns()
    done: list[str] = []
    bulk, chat, ghost = Priority.BULK, Priority.CHAT, Priority.GHOST
    wanted = {"map": (bulk, 1), "chat": (chat, 2), "other": (chat, 3), "ghost": (ghost, 4)}

    def take(name: str, priority: Priority, last: int) -> None:
        with turns.take(Seat(lambda _priority: None, last), priority, LONG_S):
            done.append(name)

    threads = [threading.Thread(target=take, args=(name, *how)) for name, how in wanted.items()]
    with turns.take(place(), chat, 0):
        for thread in threads:
            thread.start()
        until(lambda: len(turns._waiting) == len(threads))
        assert not done
    for thread in threads:
        thread.join(LONG_S)
    assert done == ["ghost", "chat", "other", "map"]


def test_two_engines_write_at_once_and_no_two_steps_overlap(
    tiny_gguf: Path, touchy_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing: set[int] = set()
    most = 0
    step = Scheduler.step

    def watched(scheduler: Scheduler, *, is_guest: bool = False) -> Step:
        nonlocal most
        computing.add(threading.get_ident())
        most = max(most, len(computing))
        try:
            return step(scheduler, is_guest=is_guest)
        finally:
            computing.discard(threading.get_ident())

    monkeypatch.setattr(Scheduler, "step", watched)
    params = SamplingParams(max_tokens=50, ignore_eos=True)
    with closing():
        engines = [load(path) for path in (tiny_gguf, touchy_gguf)]
        streams = [engine.submit(Request(prompt="Hello", params=params)) for engine in engines]
        assert [len(stream.result(60).token_ids or ()) for stream in streams] == [50, 50]
    assert most == 1


def test_a_lane_that_was_freed_is_referenced_nowhere(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, checkpoints=False)
    engine.embed(["Hello"])
    lane = weakref.ref(inside(engine, lambda: engine._model.lanes.all[-1]))
    ask(engine, "Hello", 1)  # the exact lane is made in its place
    gc.collect()
    assert lane() is None


def test_a_prompt_that_comes_while_a_turn_is_waited_for_has_the_next_step(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(tiny_gguf, checkpoints=False)
    chats: list[Stream] = []
    classes: list[Priority | None] = []
    step = Scheduler.step

    class Late(Turns):
        """Turns that come at the moment when a chat asks."""

        @contextmanager
        def take(self, seat: Seat, priority: Priority, timeout_s: float) -> Iterator[bool]:
            with super().take(seat, priority, timeout_s) as is_ours:
                if not chats:
                    chats.append(submit(engine, "Hello", 2))
                yield is_ours

    def watched(scheduler: Scheduler, *, is_guest: bool = False) -> Step:
        done = step(scheduler, is_guest=is_guest)
        classes.append(done.priority)
        return done

    monkeypatch.setattr(loop, "TURNS", Late())
    monkeypatch.setattr(Scheduler, "step", watched)
    submit(engine, "the quick brown fox " * 20, 2, priority=Priority.BULK).result(timeout=60)
    chats[0].result(timeout=60)
    assert classes[0] is Priority.CHAT
