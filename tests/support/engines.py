"""Drives a LocalEngine in tests: loads it, asks, stops it between two steps, and looks inside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import llama_cpp
import pytest

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.lane import Lane
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Priority, Prompt, Request
from jupyter_llm.engine.stream import QueueStream
from jupyter_llm.models.discover import find_model

T = TypeVar("T")


def load(path: Path, **options: Any) -> LocalEngine:
    return LocalEngine(find_model(path), EngineOptions(**{"n_threads": 1, **options}))


def submit(
    engine: LocalEngine,
    prompt: Prompt,
    max_tokens: int | None = 24,
    *,
    conversation: str | None = None,
    priority: Priority = Priority.CHAT,
    is_pinned: bool = False,
    **sampling: Any,
) -> QueueStream:
    """Queue a prompt that is answered to its full length; greedily, unless told otherwise."""
    sampling = {"temperature": 0, "ignore_eos": True, **sampling}
    return engine.submit(
        Request(
            prompt=prompt,
            params=SamplingParams(max_tokens=max_tokens, **sampling),
            conversation=conversation,
            priority=priority,
            is_pinned=is_pinned,
        )
    )


def ask(
    engine: LocalEngine, prompt: Prompt, max_tokens: int | None = 24, **more: Any
) -> Completion:
    """Answer a prompt; for the options see `submit`."""
    return submit(engine, prompt, max_tokens, **more).result(timeout=60)


@contextmanager
def paused(engine: LocalEngine) -> Iterator[None]:
    """Let the engine do nothing meanwhile, so that all that is queued comes at once."""
    is_reached, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_reached.set()
        assert may_go_on.wait(60)

    engine._put(wait)
    assert is_reached.wait(60)
    try:
        yield
    finally:
        may_go_on.set()


def before_each_step(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, do: Callable[[int], None]
) -> None:
    """Call a function with the number of each step, from 0 on the engine's thread before it."""
    step = engine._step
    number = -1

    def counting() -> None:
        nonlocal number
        number += 1
        do(number)
        step()

    monkeypatch.setattr(engine, "_step", counting)


def inside(engine: LocalEngine, look: Callable[[], T]) -> T:
    """Look at what belongs to the engine's thread, on that thread."""
    return engine._call(look)


def wait_until_idle(engine: LocalEngine) -> None:
    """Wait until nothing is running or waiting, background work included."""
    is_idle = threading.Event()
    for _ in range(60_000):
        status = engine.status()
        if status.num_running == status.num_waiting == 0:
            return
        is_idle.wait(0.001)
    raise AssertionError("the engine does not come to rest")


def cells_of(lane: Lane) -> list[int]:
    """Return how many tokens each sequence of a lane's memory reaches to, by llama.cpp itself."""
    context = lane.context
    return [
        llama_cpp.llama_memory_seq_pos_max(context._memory, seq_id) + 1
        for seq_id in range(context.num_slots)
    ]


def forget_idle(lane: Lane) -> None:
    while (slot := lane.slots.evict()) is not None:
        lane.context.trim(slot.seq_id, 0)


def forget_all(engine: LocalEngine) -> None:
    """Let all that is resident or parked go, as if the room were needed."""

    def forget() -> None:
        for lane in engine._model.lanes:
            forget_idle(lane)
            if lane._parking is not None:
                lane._parking._prefixes.clear()

    inside(engine, forget)


def assert_nothing_leaks(engine: LocalEngine) -> None:
    """Check that slots and llama.cpp's memory agree, none is busy, and all can be freed."""

    def check() -> None:
        for lane in engine._model.lanes:
            slots = lane.slots._slots
            assert not any(slot.is_busy for slot in slots)
            assert lane.scheduler.num_running == lane.scheduler.num_waiting == 0
            assert cells_of(lane) == [len(slot.token_ids) for slot in slots]
            forget_idle(lane)
            assert not any(cells_of(lane))
        assert not engine._generations
        assert not engine._scorings

    inside(engine, check)
