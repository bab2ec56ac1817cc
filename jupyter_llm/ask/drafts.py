"""Drafts: texts that are drawn at once, since they share what is read."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.common.bars import TICK_S, Step
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request

_VARIED = 0.7  # the least temperature of drafts that are to differ


def drawn(
    engine: Engine,
    requests: Sequence[Request],
    *,
    show: Callable[[Stream], object] | None = None,
    show_progress: ShowProgress | None = None,
    first: int = 1,
    end_s: float | None = None,
) -> Generator[tuple[Request, Completion]]:
    """Yield what requests come to, in their order, with the requests.

    `show` is given the stream of the first, to read it to its end; where that one fails, it raises.
    Others that fail, or are not finished at `end_s` by the monotonic clock, are left out. What is
    shown to go on counts from `first`.
    """
    last = first + len(requests) - 1
    streams: list[Stream] = []
    try:
        streams += [engine.submit(request) for request in requests]
        for number, (request, stream) in enumerate(zip(requests, streams, strict=True), first):
            if show is not None and number == first:
                show(stream)
                yield request, stream.result()
                continue
            with suppress(JupyterLLMError):
                for _ in stream.chunks(TICK_S):
                    if show_progress is not None:
                        show_progress(Step(f"Draft {number} of {last}"))
                    is_over = end_s is not None and time.monotonic() > end_s
                    if is_over and not stream.future.done():
                        break
                else:
                    yield request, stream.result()
    finally:
        for stream in streams:
            stream.cancel()


def varied(request: Request, number: int, *, is_exact: bool = True) -> Request:
    """A request for another draft, which is to be unlike the first one.

    What was to be the likeliest text comes out the same again, too, if the first one does.
    """
    params = request.params.counted_on(number)
    if params.temperature == 0 and params.seed is None:
        params = replace(params, seed=number, exact=params.exact if is_exact else False)
    temperature = max(params.temperature or 0, _VARIED)
    return replace(request, params=replace(params, temperature=temperature))
