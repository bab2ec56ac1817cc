"""Many requests answered together: rows without end, or a few drafts that share a prompt."""

from __future__ import annotations

import operator
import time
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex, TypeVar

from jupyter_llm.ask.asking import ask
from jupyter_llm.common.bars import TICK_S, Step
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted
from jupyter_llm.engine.request import Request
from jupyter_llm.engine.stream import Stream, check_may_wait
from jupyter_llm.errors import JupyterLLMError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterable, Sequence

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import BulkEngine, Engine

T = TypeVar("T")
K = TypeVar("K", bound="Hashable")

_VARIED = 0.7  # the least temperature of drafts that are to differ
_HANDOVER_S = 0.5  # that an interrupt waits for answers which are done, but not here yet


def answered(
    engine: BulkEngine,
    requests: Iterable[tuple[K, Request | Stream]],
    take: Callable[[K, Completion | JupyterLLMError], Stream | None],
    *,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Call `take` with the key of each request and its completion or error.

    The request that is done first comes first; a stream that `take` returns is waited for in its
    place. A request is submitted when there is room for it, so memory is flat however many there
    are. After an interrupt `take` gets the completions that are done, one of them perhaps twice,
    and the rest is cancelled. `tick` is called several times a second, and may interrupt.
    """
    check_may_wait()
    done: SimpleQueue[K] = SimpleQueue()
    streams: dict[K, Stream] = {}
    left = iter(requests)

    def wait_for(key: K, stream: Stream) -> None:
        streams[key] = stream  # called on the engine's thread, or here if it is over already
        stream.future.add_done_callback(lambda _future: done.put(key))

    try:
        while True:
            for key, asked in islice(left, max(0, engine.info.num_at_once - len(streams))):
                try:
                    stream = ask(engine, asked, "row") if isinstance(asked, Request) else asked
                    wait_for(key, stream)
                except JupyterLLMError as error:  # the model was unloaded
                    take(key, error)
            if not streams:
                return
            with suppress(Empty):
                key = done.get(timeout=TICK_S)
                if (more := take(key, _outcome(streams[key]))) is None:
                    del streams[key]
                else:
                    wait_for(key, more)
            tick()
    except KeyboardInterrupt:
        for stream in streams.values():  # first, since taking takes time in which more is done
            stream.cancel()
        with suppress(KeyboardInterrupt):  # who is impatient has what is here
            wait([stream.future for stream in streams.values()], _HANDOVER_S)
        for key, stream in streams.items():
            outcome = _outcome(stream) if stream.future.done() else None
            if outcome is not None and getattr(outcome, "finish_reason", "") != "cancelled":
                take(key, outcome)
        raise
    finally:
        for stream in streams.values():
            stream.cancel()


def run_batch(
    engine: BulkEngine, requests: Sequence[Request], read: Callable[[int, Completion], T | Stream]
) -> list[T]:
    """Answer requests in bulk, and return their completions as `read` returns them, in order.

    If `read` returns a stream, it reads the completion of that stream instead.
    Prompts that a person waits for run first. A seed counts on, so equal prompts get different
    answers. `BatchError` and `PromptInterrupted` hold the results so far; an error that `read`
    raises counts as the error of its prompt.
    """
    results: list[T | None] = [None] * len(requests)
    errors: dict[int, JupyterLLMError] = {}

    def take(number: int, outcome: Completion | JupyterLLMError) -> Stream | None:
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            result = read(number, outcome)
            if isinstance(result, Stream):
                return result
            results[number] = result
        except JupyterLLMError as error:
            errors[number] = error
        return None

    rows = (
        replace(request, params=request.params.counted_on(number))
        for number, request in enumerate(requests)
    )
    try:
        answered(engine, enumerate(rows), take)
    except KeyboardInterrupt:
        raise PromptInterrupted(completions=results) from None
    if errors:
        raise BatchError(results, dict(sorted(errors.items())))
    return [result for result in results if result is not None]


def check_count(name: str, count: object) -> int:
    """Return a number of prompts or rows; `OptionError` if it is none."""
    if not isinstance(count, SupportsIndex) or operator.index(count) < 1:
        raise OptionError(f"{name} must be a whole number from 1 on, not {count!r}.")
    return operator.index(count)


def check_share(name: str, share: object) -> None:
    """Raise `OptionError` for a number that is not between 0 and 1."""
    if not isinstance(share, SupportsFloat) or not 0 <= float(share) <= 1:
        raise OptionError(f"{name} must be a number from 0 to 1, not {share!r}.")


def _outcome(stream: Stream) -> Completion | JupyterLLMError:
    """Return the completion of a stream that is over, or its error."""
    try:
        return stream.future.result()
    except JupyterLLMError as error:
        return error


def drawn(
    engine: Engine,
    requests: Sequence[Request],
    *,
    show: Callable[[Stream], object] | None = None,
    show_progress: ShowProgress | None = None,
    first: int = 1,
    end_s: float | None = None,
) -> Generator[tuple[Request, Completion]]:
    """Submit drafts at once, and yield each request with its completion, in order.

    `show` reads the stream of the first draft to its end; an error of that draft is raised. Other
    drafts are left out if they fail, or are not finished at `end_s` of the monotonic clock. The
    progress counts drafts from `first`.
    """
    streams: list[Stream] = []
    try:
        streams += [ask(engine, request, "draft") for request in requests]
        for number, (request, stream) in enumerate(zip(requests, streams, strict=True), first):
            if show is not None and number == first:
                show(stream)
                yield request, stream.result()
                continue
            with suppress(JupyterLLMError):
                for _ in stream.chunks(TICK_S):
                    if show_progress is not None:
                        show_progress(Step(f"Draft {number}"))
                    is_over = end_s is not None and time.monotonic() > end_s
                    if is_over and not stream.future.done():
                        break
                else:
                    yield request, stream.result()
    finally:
        for stream in streams:
            stream.cancel()


def varied(request: Request, number: int, *, is_exact: bool = True) -> Request:
    """Return a request for another draft, which differs from the first one.

    At temperature 0 without a seed it gets one, so another run writes the same draft.
    """
    params = request.params.counted_on(number)
    if params.temperature == 0 and params.seed is None:
        params = replace(params, seed=number, exact=params.exact if is_exact else False)
    temperature = max(params.temperature or 0, _VARIED)
    return replace(request, params=replace(params, temperature=temperature))
