"""Drives a LocalEngine in tests: loads it, asks, stops it between two steps, and looks inside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import llama_cpp
import pytest
from support.waiting import until

from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import Constraint
from jupyter_llm.engine.info import EngineStatus
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.lane import Lane
from jupyter_llm.engine.local.native.llama import Context, Weights
from jupyter_llm.engine.local.sched import drawing
from jupyter_llm.engine.local.sched.drawing import Drawing
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Priority, Prompt, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.models.discover import find_model

T = TypeVar("T")

_loaded: list[LocalEngine] = []


def load(
    path: Path, *, on_progress: Callable[[float], None] = lambda _share: None, **options: Any
) -> LocalEngine:
    """Load a model; for who closes it see `closing`."""
    chosen = EngineOptions(**{"n_threads": 1, **options})
    engine = LocalEngine(find_model(path), chosen, on_progress=on_progress)
    _loaded.append(engine)
    return engine


@contextmanager
def exact_context(path: Path, *, num_slots: int = 4, n_batch: int = 256) -> Iterator[Context]:
    """A context with a stream for each sequence, as exact answers need it, without an engine."""
    weights = Weights(path, n_gpu_layers=0, on_progress=lambda _share: True)
    context = Context(
        weights,
        n_ctx=512,
        n_batch=n_batch,
        num_slots=num_slots,
        n_threads=2,
        flash_attention=False,
        is_unified=False,
    )
    try:
        yield context
    finally:
        context.close()
        weights.close()


@contextmanager
def closing() -> Iterator[None]:
    """Close in the end what is loaded meanwhile."""
    num_before = len(_loaded)
    try:
        yield
    finally:
        while len(_loaded) > num_before:
            _loaded.pop().close()


def submit(
    engine: LocalEngine,
    prompt: Prompt,
    max_tokens: int | None = 24,
    *,
    conversation: str | None = None,
    priority: Priority = Priority.CHAT,
    is_pinned: bool = False,
    constraint: Constraint | None = None,
    **sampling: Any,
) -> Stream:
    """Queue a prompt that is answered to its full length; greedily, unless told otherwise."""
    sampling = {"temperature": 0, "ignore_eos": True, **sampling}
    return engine.submit(
        Request(
            prompt=prompt,
            params=SamplingParams(max_tokens=max_tokens, **sampling),
            conversation=conversation,
            priority=priority,
            is_pinned=is_pinned,
            constraint=constraint,
        )
    )


def ask(
    engine: LocalEngine, prompt: Prompt, max_tokens: int | None = 24, **more: Any
) -> Completion:
    """Answer a prompt; for the options see `submit`."""
    return submit(engine, prompt, max_tokens, **more).result(timeout=60)


def ask_together(
    engine: LocalEngine, prompts: Iterable[Prompt], max_tokens: int | None = 24, **more: Any
) -> list[Completion]:
    with paused(engine):
        streams = [submit(engine, prompt, max_tokens, **more) for prompt in prompts]
    return [stream.result(timeout=60) for stream in streams]


def exact_in_company(
    path: Path,
    options: Callable[[int], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_exact: bool,
) -> list[Completion]:
    """Twelve answers written at once; each comes out the same alone, and without forced tokens.

    `options` tells those of `submit` by the answer's number, which is its seed, too.
    """

    def together(engine: LocalEngine, seeds: Iterable[int]) -> list[Completion]:
        with paused(engine):
            streams = [submit(engine, seed=seed, **options(seed)) for seed in seeds]
        return [stream.result(timeout=60) for stream in streams]

    engine = load(path, checkpoints=False, exact=True)
    in_company = together(engine, range(12))
    assert_nothing_leaks(engine)
    monkeypatch.setattr(drawing, "MOST_CERTAIN", 0)
    monkeypatch.setattr(Drawing, "add_certain", lambda *_: None)
    plain = load(path, checkpoints=False, exact=True)
    for seed, one in enumerate(in_company):
        (alone,) = together(plain, [seed])
        assert alone.token_ids == one.token_ids
        assert (alone.text, alone.reasoning) == (one.text, one.reasoning)
        assert alone.exact == one.exact == is_exact
        assert not alone.exact or alone.logprobs == one.logprobs
    return in_company


def ask_afresh(
    path: Path,
    prompt: Prompt,
    max_tokens: int | None = 24,
    *,
    logprobs: int | None = None,
    **options: Any,
) -> Completion:
    """Answer a prompt in an engine that has read nothing else."""
    engine = load(path, **{"checkpoints": False, **options})
    completion = ask(engine, prompt, max_tokens, logprobs=logprobs)
    engine.close()
    assert completion.usage.cached_tokens == 0
    return completion


def prefill(engine: LocalEngine, prompt: Prompt, *, temperature: float = 0, **more: Any) -> None:
    """Let a prompt be read in the background; for a greedy answer, unless told otherwise."""
    params = SamplingParams(temperature=temperature)
    engine.prefill(Request(prompt=prompt, params=params, **more))


def num_read(completion: Completion) -> int:
    """How many tokens of a prompt had not been read before."""
    return completion.usage.prompt_tokens - completion.usage.cached_tokens


@contextmanager
def paused(engine: LocalEngine) -> Iterator[None]:
    """Let the engine do nothing meanwhile, so that all that is queued comes at once."""
    is_reached, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_reached.set()
        assert may_go_on.wait(60)

    assert engine._grammars is not None  # of which it is asked
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
    step = engine._loop.step
    number = -1

    def counting() -> None:
        nonlocal number
        number += 1
        do(number)
        step()

    monkeypatch.setattr(engine._loop, "step", counting)


def inside(engine: LocalEngine, look: Callable[[], T]) -> T:
    """Look at what belongs to the engine's thread, on that thread."""
    return engine._call(look)


def wait_until_idle(engine: Engine) -> None:
    """Wait until nothing is running or waiting, background work included."""
    until(lambda: (status := engine.status()).num_running == status.num_waiting == 0)


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
        for lane in engine._model.lanes.all:
            forget_idle(lane)
            if lane._parking is not None:
                lane._parking._prefixes.clear()

    inside(engine, forget)


def assert_nothing_leaks(engine: LocalEngine) -> None:
    """Check that slots and llama.cpp's memory agree, none is busy, and all can be freed."""

    def check() -> None:
        for lane in engine._model.lanes.all:
            slots = lane.slots._slots
            assert not any(slot.is_busy for slot in slots)
            assert lane.scheduler.num_running == lane.scheduler.num_waiting == 0
            assert cells_of(lane) == [len(slot.token_ids) for slot in slots]
            forget_idle(lane)
            assert not any(cells_of(lane))
        assert not engine._answering.generations
        assert not engine._answering.embedder.running

    inside(engine, check)


def resident_tokens(status: EngineStatus | None) -> list[int]:
    """How many tokens each prefix in the KV cache has."""
    return [one.num_tokens for one in status.prefixes if not one.is_parked] if status else []
