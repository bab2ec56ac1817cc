"""The stream of one request: chunks from the engine's thread to whoever reads them."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

from jupyter_llm.engine.completion import Chunk, Completion, PromptInterrupted
from jupyter_llm.errors import EngineError, JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from jupyter_llm.engine.completion import Progress

# How long an interrupt waits for the engine to hand over what it wrote, in seconds. The engine
# gives up a batch within milliseconds; the user must have the kernel back in any case.
_HANDOVER_S = 0.1

_this_thread = threading.local()


def run_the_model_here() -> None:
    """Note that this thread runs a model: whoever waits for an answer on it waits for himself."""
    _this_thread.runs_a_model = True


def check_may_wait() -> None:
    """Refuse to wait on a thread that runs a model.

    Code of the user's may come to run there, in a `__del__` or a logging handler for example.
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
        self.texts: list[str] = []  # of all chunks, whoever took them
        self.thoughts: list[str] = []
        self.future: Future[Completion] = Future()
        self.future.set_running_or_notify_cancel()
        self.wake: Callable[[], None] = lambda: None  # whoever cannot wait for the queue

    def put(self, chunk: Chunk) -> None:
        """Add a chunk."""
        self.texts.append(chunk.text)
        self.thoughts.append(chunk.reasoning)
        self.chunks.put(chunk)
        self.wake()

    def finish(self, completion: Completion) -> None:
        """End with a result; does nothing if it ended before."""
        with suppress(InvalidStateError, SystemExit):  # by a callback, which runs here
            self.future.set_result(completion)
        self.chunks.put(None)
        self.wake()

    def fail(self, error: BaseException) -> None:
        """End with an error, which the reader's side raises; nothing if it ended before."""
        with suppress(InvalidStateError, SystemExit):
            self.future.set_exception(error)
        self.chunks.put(None)
        self.wake()


class Stream:
    """The completion of one request while it is written.

    Iterate over its chunks, or wait for `result()`. Both raise what went wrong in the engine, and
    `PromptInterrupted` when the user interrupts. `future` is the result, for code that waits by
    other means. When nobody holds the stream any more, the request is cancelled.

    `cancel` must return at once, `snapshot` make a completion of what there is and `progress` say
    how far the request is, all from any thread and without holding on to this object.
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
        """The text so far, for code that looks on while somebody else reads the chunks."""
        return "".join(self._feed.texts)

    @property
    def reasoning(self) -> str:
        """What was thought before the text, so far; from any thread, like `written`."""
        return "".join(self._feed.thoughts)

    @property
    def progress(self) -> Progress:
        """How far the request is; from any thread, like `written`."""
        return self._progress()

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    def chunks(self, tick_s: float | None = None) -> Iterator[Chunk]:
        """The chunks, and an empty one whenever none has come for `tick_s` seconds."""
        if not self.future.done():
            check_may_wait()
        try:
            while (chunk := self._next(tick_s)) is not None:
                yield chunk
        except KeyboardInterrupt:
            raise self.interrupt() from None
        finally:  # a reader that goes away takes nothing more
            self.cancel()
        self._feed.chunks.put(None)  # whoever reads on finds the end again
        self.future.result()

    async def achunks(self) -> AsyncGenerator[Chunk]:
        """The chunks, while the event loop goes on; who leaves cancels. For one reader alone."""
        import asyncio

        loop, has_more = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:  # mostly on the engine's thread
            with suppress(RuntimeError):  # the loop is closed, and nobody reads on
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
        """Stop writing; what there is becomes the result. Returns at once."""
        _cancel_running(self._feed, self._cancel)

    def interrupt(self) -> PromptInterrupted:
        """Cancel, and return the exception that carries what was written."""
        self.cancel()
        try:
            return PromptInterrupted(self.future.result(_HANDOVER_S))
        except (TimeoutError, JupyterLLMError):
            completion = self._snapshot()
        self._feed.finish(completion)  # what the user was told is the result, whatever comes after
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


def _cancel_running(feed: StreamFeed, cancel: Callable[[], object]) -> None:
    if not feed.future.done():
        cancel()


def finished(completion: Completion) -> Future[Completion]:
    """The future of what is there already."""
    future: Future[Completion] = Future()
    future.set_result(completion)
    return future
