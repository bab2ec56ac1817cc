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
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.engine.stream import check_may_wait
from jupyter_llm.errors import JupyterLLMError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from jupyter_llm.engine.base import BulkEngine, Stream

T = TypeVar("T")
K = TypeVar("K", bound="Hashable")

_HANDOVER_S = 0.5  # that an interrupt waits for answers which are done, but not here yet


def answered(
    engine: BulkEngine,
    requests: Iterable[tuple[K, Request | Stream]],
    take: Callable[[K, Completion | JupyterLLMError], Stream | None],
    *,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Let `take` have what each request comes to, or why it failed, under its key.

    The first done comes first; what `take` returns is waited for in its place. A request is taken
    when there is room for it, so memory is flat however many there are. After an interrupt what is
    done is taken still, one of these perhaps once more, and the rest cancelled. `tick` is called
    every now and then, and may interrupt.
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
                    wait_for(key, engine.submit(asked) if isinstance(asked, Request) else asked)
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
    engine: BulkEngine, requests: Sequence[Request], read: Callable[[int, Completion], T]
) -> list[T]:
    """Answer requests in bulk; return what `read` makes of their completions, in their order.

    What a person waits for goes before. A seed counts on, so equal prompts get different answers.
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

    rows = (
        replace(request, params=request.params.counted_on(number), priority=Priority.BULK)
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
    """Refuse what is no number of prompts or rows."""
    if not isinstance(count, SupportsIndex) or operator.index(count) < 1:
        raise OptionError(f"{name} must be a whole number from 1 on, not {count!r}.")
    return operator.index(count)


def check_share(name: str, share: object) -> None:
    """Refuse what is no share of one."""
    if not isinstance(share, SupportsFloat) or not 0 <= float(share) <= 1:
        raise OptionError(f"{name} must be a number from 0 to 1, not {share!r}.")


def _outcome(stream: Stream) -> Completion | JupyterLLMError:
    """What a stream that is over came to."""
    try:
        return stream.future.result()
    except JupyterLLMError as error:
        return error
