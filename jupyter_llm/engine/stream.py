"""The stream of one request: chunks from the engine's thread to the reader."""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Self

from jupyter_llm.engine.completion import Chunk, Completion, Progress, PromptInterrupted
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import EngineError, JupyterLLMError

# Seconds that an interrupt waits for the engine's last text. The engine stops a batch within
# milliseconds; the user must get the kernel back in any case.
_HANDOVER_S = 0.1

_this_thread = threading.local()


def run_the_model_here() -> None:
    """Mark this thread as one that runs a model: waiting on it for an answer would never end."""
    _this_thread.runs_a_model = True


def check_may_wait() -> None:
    """Raise `EngineError` on a thread that runs a model.

    The user's code may run there, for example in a `__del__` or a logging handler.
    """
    if getattr(_this_thread, "runs_a_model", False):
        raise EngineError(
            "This thread runs the model, so whoever waits for it here waits for ever. "
            "Ask from a thread of your own."
        )


class StreamFeed:
    """The engine's end of a stream: call `put`, and then once `finish` or `fail`."""

    def __init__(self) -> None:
        self.chunks: SimpleQueue[Chunk | None] = SimpleQueue()
        self.texts: list[str] = []  # of all chunks, read or not
        self.thoughts: list[str] = []
        self.future: Future[Completion] = Future()
        self.future.set_running_or_notify_cancel()
        self.wake: Callable[[], None] = lambda: None  # for readers that cannot block

    def put(self, chunk: Chunk) -> None:
        """Add a chunk."""
        self.texts.append(chunk.text)
        self.thoughts.append(chunk.reasoning)
        self.chunks.put(chunk)
        self.wake()

    def finish(self, completion: Completion) -> None:
        """End with a result, unless the stream has ended."""
        with suppress(InvalidStateError, SystemExit):  # callbacks run here
            self.future.set_result(completion)
        self.chunks.put(None)
        self.wake()

    def fail(self, error: BaseException) -> None:
        """End with an error, which the reader raises, unless the stream has ended."""
        with suppress(InvalidStateError, SystemExit):
            self.future.set_exception(error)
        self.chunks.put(None)
        self.wake()


class Stream:
    """The completion of one request while it is written.

    Iterate over its chunks, or wait for `result()`. Both raise the engine's errors, and
    `PromptInterrupted` when the user interrupts. `future` is the result, for code that waits in
    another way. When the last reference to the stream is dropped, the request is cancelled.

    `cancel` must return at once, `snapshot` must return a completion of the present text, and
    `progress` the progress. They may be called from any thread, and must not keep a reference to
    this object.
    """

    def __init__(
        self,
        feed: StreamFeed,
        cancel: Callable[[], object],
        snapshot: Callable[[], Completion],
        progress: Callable[[], Progress],
    ) -> None:
        self.future = feed.future
        self._feed = feed
        self._cancel = cancel
        self._snapshot = snapshot
        self._progress = progress
        weakref.finalize(self, _cancel_running, feed, cancel).atexit = False

    @property
    def written(self) -> str:
        """Return the text so far, for code that watches while another reads the chunks."""
        return "".join(self._feed.texts)

    @property
    def reasoning(self) -> str:
        """Return the thoughts so far; from any thread, like `written`."""
        return "".join(self._feed.thoughts)

    @property
    def progress(self) -> Progress:
        """Return the progress of the request; from any thread, like `written`."""
        return self._progress()

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    def chunks(self, tick_s: float | None = None) -> Iterator[Chunk]:
        """Yield the chunks, and an empty one after every `tick_s` seconds without one."""
        if not self.future.done():
            check_may_wait()
        try:
            while (chunk := self._next(tick_s)) is not None:
                yield chunk
        except KeyboardInterrupt:
            raise self.interrupt() from None
        finally:  # a reader that leaves needs no more
            self.cancel()
        self._feed.chunks.put(None)  # a later read finds the end again
        self.future.result()

    async def achunks(self) -> AsyncGenerator[Chunk]:
        """Yield the chunks without blocking the event loop.

        Leaving cancels. For one reader only.
        """
        import asyncio

        loop, has_more = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:  # mostly on the engine's thread
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(has_more.set)

        self._feed.wake = wake
        try:
            while True:
                has_more.clear()
                while not self._feed.chunks.empty():
                    if (chunk := self._feed.chunks.get()) is None:
                        self.future.result()
                        return
                    yield chunk
                await has_more.wait()
        finally:
            self.cancel()

    def _next(self, tick_s: float | None) -> Chunk | None:
        try:
            return self._feed.chunks.get(timeout=tick_s)
        except Empty:
            return Chunk("")

    def cancel(self) -> None:
        """Stop writing; the text so far becomes the result. Returns at once."""
        _cancel_running(self._feed, self._cancel)

    def interrupt(self) -> PromptInterrupted:
        """Cancel, and return the exception with the text so far."""
        self.cancel()
        try:
            return PromptInterrupted(self.future.result(_HANDOVER_S))
        except (TimeoutError, JupyterLLMError):
            completion = self._snapshot()
        self._feed.finish(completion)  # the result is the text that the user saw
        return PromptInterrupted(completion)

    def result(self, timeout: float | None = None) -> Completion:
        """Wait for the end and return the whole completion; `timeout` in seconds."""
        if not self.future.done():
            check_may_wait()
        try:
            return self.future.result(timeout)
        except KeyboardInterrupt:
            raise self.interrupt() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()


class PartedStream(Stream):
    """An answer in several parts, each a request: whoever reads the answer sends them.

    `request` is that of the last part. The result is the last part, with the tokens of all. If the
    last reference is dropped before the end, `future` has `PromptInterrupted`.
    """

    def __init__(self, request: Request) -> None:
        self.future: Future[Completion] = Future()
        self.request = self._first = request
        self._texts: list[str] = []
        self._num_tokens = 0
        self._is_over = False
        self._stream: Stream | None = None
        self._completion: Completion | None = None
        weakref.finalize(self, _abandon, self.future).atexit = False

    def _parts(self, tick_s: float | None) -> Iterator[Chunk]:
        """Write the parts: yield their chunks, and note the texts, tokens and last completion."""
        raise NotImplementedError

    @property
    def written(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """The thoughts before the text of the present part."""
        return self._stream.reasoning if self._stream is not None else ""

    @property
    def progress(self) -> Progress:
        """The progress of the part that is written now."""
        return self._stream.progress if self._stream is not None else Progress(state="waiting")

    def chunks(self, tick_s: float | None = None) -> Iterator[Chunk]:
        """Yield the chunks, and an empty one after every `tick_s` seconds without one."""
        try:
            yield from self._parts(tick_s)
        except KeyboardInterrupt:
            raise self.interrupt() from None
        except GeneratorExit:
            self.interrupt()
            raise
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._close()
        self._finish()

    def result(self, timeout: float | None = None) -> Completion:  # noqa: ARG002
        """Write to the end, and return the last part."""
        if not self.future.done():
            for _ in self.chunks():
                pass
        return self.future.result()

    def cancel(self) -> None:
        """Stop writing."""
        self._is_over = True
        self._close()

    def interrupt(self) -> PromptInterrupted:
        """Cancel, and return the exception that carries the text so far."""
        last = self._stream.interrupt().completion if self._stream is not None else None
        self.cancel()
        if last is not None and not self.future.done():
            self.request = self._first
            self._num_tokens += last.usage.completion_tokens
            self._completion = replace(last, text=self.written, finish_reason="cancelled")
        if self._completion is None:
            self._fail(PromptInterrupted())
            return PromptInterrupted()
        return PromptInterrupted(self._finish())

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def _finish(self) -> Completion:
        """Return the result, which ends `future` unless it has ended."""
        if self.future.done() and self.future.exception() is None:
            return self.future.result()
        assert self._completion is not None
        last = self._completion
        usage = replace(last.usage, completion_tokens=self._num_tokens)
        reason = "cancelled" if self._is_over else last.finish_reason
        completion = replace(last, usage=usage, finish_reason=reason, token_ids=None)
        if not self.future.done():
            self.future.set_result(completion)
        return completion


def _abandon(future: Future[Completion]) -> None:
    with suppress(InvalidStateError):
        future.set_exception(PromptInterrupted())


def _cancel_running(feed: StreamFeed, cancel: Callable[[], object]) -> None:
    if not feed.future.done():
        cancel()


def finished(completion: Completion) -> Future[Completion]:
    """Return the future of a finished completion."""
    future: Future[Completion] = Future()
    future.set_result(completion)
    return future
