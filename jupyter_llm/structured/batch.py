"""Many requests answered together: the one way to run them, few or without end."""

from __future__ import annotations

import operator
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex, TypeVar

from jupyter_llm.common.bars import TICK_S
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import check_may_wait
from jupyter_llm.errors import JupyterLLMError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.request import Request

T = TypeVar("T")

_HANDOVER_S = 0.5  # that an interrupt waits for answers which are done, but not here yet


def in_bulk(requests: Iterable[Request]) -> Iterator[Request]:
    """The requests as rows of a batch: what a person waits for goes before, and a seed counts on.

    So equal prompts get different answers.
    """
    for number, request in enumerate(requests):
        params = request.params.counted_on(number)
        yield replace(request, params=params, priority=Priority.BULK)


def answered(
    engine: Engine,
    requests: Iterable[tuple[int, Request]],
    take: Callable[[int, Completion | JupyterLLMError], None],
    *,
    tick: Callable[[], None] = lambda: None,
    ahead: int | None = None,
) -> None:
    """Let `take` have what each request comes to, or why it failed, under its number.

    The first done comes first. A request is taken when there is room for it, so memory is flat
    however many there are. After an interrupt what is done is taken still, one of these perhaps
    once more, and the rest cancelled. `tick` is called every now and then, and may interrupt.
    """
    check_may_wait()
    done: SimpleQueue[int] = SimpleQueue()
    streams: dict[int, Stream] = {}
    left = iter(requests)
    try:
        while True:
            room = (ahead or engine.info.num_at_once) - len(streams)
            for number, request in islice(left, max(room, 0)):
                try:
                    streams[number] = engine.submit(request)
                except JupyterLLMError as error:  # the model was unloaded
                    take(number, error)
                else:  # called on the engine's thread, or here if it is over already
                    tell = lambda _future, number=number: done.put(number)  # noqa: E731
                    streams[number].future.add_done_callback(tell)
            if not streams:
                return
            with suppress(Empty):
                number = done.get(timeout=TICK_S)
                take(number, _outcome(streams[number]))
                del streams[number]
            tick()
    except KeyboardInterrupt:
        for stream in streams.values():  # first, since taking takes time in which more is done
            stream.cancel()
        with suppress(KeyboardInterrupt):  # who is impatient has what is here
            wait([stream.future for stream in streams.values()], _HANDOVER_S)
        for number, stream in streams.items():
            if stream.future.done() and not _is_cancelled(outcome := _outcome(stream)):
                take(number, outcome)
        raise
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

    def take(number: int, outcome: Completion | JupyterLLMError) -> None:
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            results[number] = read(number, outcome)
        except JupyterLLMError as error:
            errors[number] = error

    try:
        answered(engine, enumerate(in_bulk(requests)), take)
    except KeyboardInterrupt:
        raise PromptInterrupted(completions=results) from None
    if errors:
        raise BatchError(results, dict(sorted(errors.items())))
    return [result for result in results if result is not None]


def check_count(name: str, count: object) -> int:
    """Refuse what is no number of prompts or rows."""
    if not isinstance(count, SupportsIndex) or operator.index(count) < 1:
        raise OptionError(f"{name} must be a whole number from 1 on, not {count!r}.")
    return operator.index(count)


def check_share(name: str, share: object) -> float:
    """Refuse what is no share of one."""
    if not isinstance(share, SupportsFloat) or not 0 <= float(share) <= 1:
        raise OptionError(f"{name} must be a number from 0 to 1, not {share!r}.")
    return float(share)


def _is_cancelled(outcome: Completion | JupyterLLMError) -> bool:
    return isinstance(outcome, Completion) and outcome.finish_reason == "cancelled"


def _outcome(stream: Stream) -> Completion | JupyterLLMError:
    """What a stream that is over came to."""
    error = stream.future.exception()
    if error is None:
        return stream.future.result()
    if isinstance(error, JupyterLLMError):
        return error
    raise error
