"""Many requests answered together: the one way to run them, few or without end."""

from __future__ import annotations

import operator
from dataclasses import replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, SupportsIndex, TypeVar

from jupyter_llm.common.bars import TICK_S
from jupyter_llm.engine.completion import BatchError, PromptInterrupted
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import check_may_wait
from jupyter_llm.errors import JupyterLLMError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request

T = TypeVar("T")

_AHEAD = 256  # requests that the engine has at once: more than it works on, and few to hold


def in_bulk(requests: Iterable[Request]) -> Iterator[Request]:
    """The requests as rows of a batch: what a person waits for goes before, and a seed counts on.

    So equal prompts get different answers.
    """
    for number, request in enumerate(requests):
        params = request.params.counted_on(number)
        yield replace(request, params=params, priority=Priority.BULK)


def outcomes(
    engine: Engine,
    requests: Iterable[Request],
    *,
    ahead: int = _AHEAD,
    streams: dict[int, Stream] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, Completion | JupyterLLMError]]:
    """Yield what each request comes to, or why it failed, with its number; the first done first.

    A request is taken when there is room for it, so memory is flat however many there are. Whoever
    goes away cancels what is not done; in `streams` stands what was not taken. While nothing comes,
    `tick` is called every now and then.
    """
    check_may_wait()
    done: SimpleQueue[int] = SimpleQueue()
    streams = {} if streams is None else streams
    left = enumerate(requests)
    try:
        while True:
            for number, request in islice(left, ahead - len(streams)):
                try:
                    streams[number] = engine.submit(request)
                except JupyterLLMError as error:  # the model was unloaded
                    yield number, error
                else:  # called on the engine's thread, or here if it is over already
                    tell = lambda _future, number=number: done.put(number)  # noqa: E731
                    streams[number].future.add_done_callback(tell)
            if not streams:
                return
            try:
                number = done.get(timeout=TICK_S)
            except Empty:
                tick()
                continue
            yield number, _outcome(streams[number])
            del streams[number]
    finally:
        for stream in streams.values():
            stream.cancel()


def run_batch(
    engine: Engine, requests: Sequence[Request], read: Callable[[int, Completion], T]
) -> list[T]:
    """Answer requests in bulk; return what `read` makes of their completions, in their order.

    `BatchError` and `PromptInterrupted` hold what there is; an error that `read` raises is its
    prompt's.
    """
    results: list[T | None] = [None] * len(requests)
    errors: dict[int, JupyterLLMError] = {}
    streams: dict[int, Stream] = {}

    def take(number: int, outcome: Completion | JupyterLLMError) -> None:
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            results[number] = read(number, outcome)
        except JupyterLLMError as error:
            errors[number] = error

    try:
        for number, outcome in outcomes(engine, in_bulk(requests), streams=streams):
            take(number, outcome)
    except KeyboardInterrupt:
        for number, stream in streams.items():
            if stream.future.done():
                outcome = _outcome(stream)
                if getattr(outcome, "finish_reason", "") != "cancelled":
                    take(number, outcome)
        raise PromptInterrupted(completions=results) from None
    if errors:
        raise BatchError(results, dict(sorted(errors.items())))
    return [result for result in results if result is not None]


def repeated(prompt: T, n: object) -> list[T]:
    """The same prompt `n` times over; refuse what is no number of times."""
    if not isinstance(n, SupportsIndex) or operator.index(n) < 1:
        raise OptionError(f"n must be a whole number from 1 on, not {n!r}.")
    return [prompt] * operator.index(n)


def _outcome(stream: Stream) -> Completion | JupyterLLMError:
    """What a stream that is over came to."""
    error = stream.future.exception()
    if error is None:
        return stream.future.result()
    if isinstance(error, JupyterLLMError):
        return error
    raise error
