"""Streams are read on any thread but where the model runs, and while an event loop goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing
from pathlib import Path

import pytest
from support.engines import paused, submit
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import ContextOverflowError, EngineError


@pytest.fixture
def engine(tiny_gguf: Path, fresh_llm: None) -> LocalEngine:
    llm.use(tiny_gguf, n_threads=1)
    engine = llm.current.resident
    assert isinstance(engine, LocalEngine)
    return engine


def on_its_thread(engine: LocalEngine, call: Callable[[], object]) -> BaseException | None:
    """What a call raises on the engine's thread."""
    raised: Future[object] = Future()

    def run() -> None:
        try:
            raised.set_result(call())
        except Exception as error:  # noqa: BLE001  it is what we want to know
            raised.set_exception(error)

    engine._put(run)
    return raised.exception(timeout=30)


CALLS: dict[str, Callable[[LocalEngine], object]] = {
    "asking": lambda _: llm("Hello"),
    "a chat": lambda _: llm.chat()("Hello"),
    "a batch": lambda _: llm.batch(["Hello"]),
    "counting": lambda engine: engine.count_tokens("Hello"),
    "scoring": lambda engine: engine.score("Hello", ["a"]),
    "embedding": lambda engine: engine.embed(["Hello"]),
    "the result": lambda engine: submit(engine, "Hello").result(),
    "the chunks": lambda engine: list(submit(engine, "Hello")),
    "the status": lambda _: llm.status(),
    "another model": lambda _: llm.use("no such model"),
    "unloading": lambda _: llm.unload(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_wait_on_the_engine_s_own_thread_raises(
    engine: LocalEngine, call: Callable[[LocalEngine], object]
) -> None:
    error = on_its_thread(engine, lambda: call(engine))
    assert isinstance(error, EngineError)
    assert "waits for ever" in str(error)
    assert llm("And now?", max_tokens=2).usage.completion_tokens == 2


def test_a_callback_that_ends_its_thread_does_not_end_the_engine_s(engine: LocalEngine) -> None:
    with paused(engine):
        stream = submit(engine, "Hello")
        stream.future.add_done_callback(lambda _: sys.exit())
    said = stream.result(timeout=30).text
    engine._thread.join(0.3)
    assert engine._thread.is_alive()
    assert "".join(chunk.text for chunk in stream) == said
    assert llm("And now?", max_tokens=2).usage.completion_tokens == 2


def test_chunks_come_while_the_event_loop_goes_on(engine: LocalEngine) -> None:
    async def read() -> tuple[str, str, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        stream = submit(engine, "Hello")
        text = "".join([chunk.text async for chunk in stream.achunks()])
        ticking.cancel()
        return text, stream.result().text, ticks

    text, whole, ticks = asyncio.run(read())
    assert text == whole
    assert ticks > 1


def test_leaving_the_event_loop_s_chunks_stops_the_engine(engine: LocalEngine) -> None:
    async def leave() -> Stream:
        stream = submit(engine, "Hello", None)
        async with aclosing(stream.achunks()) as chunks:
            await anext(chunks)
        return stream

    async def be_cancelled() -> Stream:
        stream = submit(engine, "Hello", None)

        async def read() -> None:
            async for _ in stream.achunks():
                pass

        reading = asyncio.create_task(read())
        await asyncio.to_thread(until, lambda: stream.written)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return stream

    for way in (leave, be_cancelled):
        assert asyncio.run(way()).result(30).finish_reason == "cancelled"


def test_the_event_loop_s_chunks_raise_what_went_wrong(engine: LocalEngine) -> None:
    async def read() -> None:
        async for _ in submit(engine, "word " * 20_000).achunks():
            pass

    with pytest.raises(ContextOverflowError):
        asyncio.run(read())
