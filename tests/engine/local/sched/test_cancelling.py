"""Whoever leaves, and when, the others keep their tokens and nothing stays behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.engines import (
    ask,
    assert_nothing_leaks,
    before_each_step,
    closing,
    forget_all,
    inside,
    load,
    paused,
    resident_tokens,
    submit,
)

from jupyter_llm.engine.info import EngineStatus
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import EngineError

pytestmark = pytest.mark.slow

LONG = "the quick brown fox jumps over the lazy dog and "
NUM_TOKENS = 12
# Some share a start, one is read in several batches, one is of a lower class.
PROMPTS = (LONG * 3 + "a", LONG * 3 + "b", LONG * 16, "short")
CLASSES = (Priority.CHAT, Priority.CHAT, Priority.CHAT, Priority.BULK)


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(tiny_gguf, n_batch=96, checkpoints=False)


@pytest.fixture(scope="module")
def alone(engine: LocalEngine) -> list[tuple[int, ...] | None]:
    return [ask(engine, prompt, NUM_TOKENS).token_ids for prompt in PROMPTS]


def submit_all(engine: LocalEngine) -> list[Stream]:
    return [
        submit(engine, prompt, NUM_TOKENS, priority=priority)
        for prompt, priority in zip(PROMPTS, CLASSES, strict=True)
    ]


@pytest.mark.parametrize("doomed", range(len(PROMPTS)))
def test_cancelling_any_request_at_any_step_leaves_the_others_theirs(
    engine: LocalEngine,
    alone: list[tuple[int, ...] | None],
    doomed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = []
    for at_step in range(30):
        streams: list[Stream] = []

        def cancel(number: int, at_step: int = at_step, to: list[Stream] = streams) -> None:
            if number == at_step:
                to[doomed].cancel()

        if at_step % 3 == 0:
            forget_all(engine)  # now all is cached, now nothing
        with monkeypatch.context() as patch:
            with paused(engine):
                before_each_step(engine, patch, cancel)
                streams += submit_all(engine)
            results = [stream.result(timeout=60) for stream in streams]
        reasons.append(results[doomed].finish_reason)
        for number, (result, tokens) in enumerate(zip(results, alone, strict=True)):
            assert result.token_ids is not None
            assert tokens is not None
            if number == doomed:
                assert result.token_ids == tokens[: len(result.token_ids)]
            else:
                assert result.token_ids == tokens
    assert reasons.count("cancelled") >= 10
    assert "length" in reasons  # the last ones came too late
    assert_nothing_leaks(engine)


@pytest.mark.parametrize("outcome", [Decoded.FAILED, Decoded.NO_ROOM])
def test_a_batch_that_fails_takes_one_request_and_leaves_the_others_running(
    engine: LocalEngine,
    alone: list[tuple[int, ...] | None],
    outcome: Decoded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = engine._model.lanes.all[-1].context
    decode = context.decode
    countdown = 6

    def failing(batch: Batch) -> Decoded:
        nonlocal countdown
        countdown -= 1
        if countdown == 0 or (outcome is Decoded.NO_ROOM and countdown < 0 < countdown + 4):
            return outcome
        return decode(batch)

    with monkeypatch.context() as patch:
        patch.setattr(context, "decode", failing)
        with paused(engine):
            streams = submit_all(engine)
        errors = [stream.future.exception(timeout=60) for stream in streams]
    for stream, error, tokens in zip(streams, errors, alone, strict=True):
        if error is None:
            assert stream.result().token_ids == tokens
        else:
            assert isinstance(error, EngineError)
            assert "could not go on" in str(error)
    assert [error is None for error in errors].count(False) == (outcome is Decoded.FAILED)
    assert [ask(engine, prompt, NUM_TOKENS).token_ids for prompt in PROMPTS] == alone
    assert_nothing_leaks(engine)


def stop_by_a_failure(engine: LocalEngine) -> None:
    def fail() -> None:
        raise RuntimeError("as a test wants it")

    engine._put(fail)


@pytest.mark.parametrize("stop", [stop_by_a_failure, LocalEngine.close], ids=["fails", "closes"])
@pytest.mark.parametrize("is_first", [True, False])
def test_whoever_waits_while_the_engine_stops_is_told(
    tiny_gguf: Path, stop: Callable[[LocalEngine], None], *, is_first: bool
) -> None:
    engine = load(tiny_gguf)
    with ThreadPoolExecutor(4) as pool:
        with paused(engine):
            stopping = pool.submit(stop, engine) if is_first else None
            waiting: list[Future[Any]] = [
                pool.submit(engine.score, LONG, ["a", "b"]),
                pool.submit(engine.embed, ["a"]),
                pool.submit(ask, engine, LONG),
            ]
            stopping = stopping or pool.submit(stop, engine)
        stopping.result(timeout=30)
        for future in waiting:
            assert isinstance(future.exception(timeout=30), EngineError | None)


def rounds(engine: LocalEngine, num_rounds: int) -> EngineStatus:
    """Ask all kinds of things over and over; return what the engine holds then."""
    for number in range(num_rounds):
        streams = [
            submit(engine, LONG + str(number), 8, conversation=f"talk {number % 5}"),
            submit(engine, LONG + f"row {number}", 8, priority=Priority.BULK),
            submit(engine, LONG * 3, 8, temperature=1, seed=None, exact=False, logprobs=2),
            submit(engine, f"{number}" * 20, 20, temperature=1, stop=("e",)),
        ]
        streams.pop(number % 3).cancel()
        for stream in streams:
            stream.result(timeout=60)
        if number % 10 == 0:
            engine.score(LONG, ["a", "b"])
            engine.embed([LONG])
    gc.collect()
    return engine.status()


def test_memory_after_500_requests_is_flat(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, n_ctx=1024, checkpoints=False)
    stretches = [rounds(engine, 60)]
    resident = inside(engine, lambda: [len(lane.slots.used) for lane in engine._model.lanes.all])
    # A leak grows in each stretch; an allocator that takes one more arena grows in one.
    while len(stretches) < 5:
        stretches.append(rounds(engine, 125))
        if stretches[-1].process_bytes - stretches[-2].process_bytes < 2 << 20:
            break
    else:
        raise AssertionError([status.process_bytes for status in stretches])
    end = stretches[-1]
    num_cells = end.room + end.exact_cells
    assert sum(resident_tokens(end)) <= num_cells * 2  # what is shared counts for each
    after = inside(engine, lambda: [len(lane.slots.used) for lane in engine._model.lanes.all])
    assert all(now <= max(then, 10) for now, then in zip(after, resident, strict=True))
    assert psutil.Process().num_threads() < 64
    assert_nothing_leaks(engine)
