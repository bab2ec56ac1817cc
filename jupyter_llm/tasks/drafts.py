"""Drafts: texts that all answer one prompt, drawn at once, since they share what is read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.common.bars import TICK_S, Step
from jupyter_llm.engine.options import MAX_SEED
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.options import SamplingParams
    from jupyter_llm.engine.request import Request

VARIED_TEMPERATURE = 0.7


def drawn(
    engine: Engine,
    request: Request,
    count: int,
    *,
    show: Callable[[Stream], Completion],
    show_progress: ShowProgress | None = None,
) -> Iterator[tuple[Request, Completion]]:
    """Yield drafts with the requests they answer: the first as it is asked for, others more varied.

    `show` is given the stream of the first, to read it to its end. At temperature 0 all would be
    the same, so there is one. Of the others those that fail are left out.
    """
    count = 1 if request.params.temperature == 0 else count
    requests = [request, *(_varied(request, number) for number in range(1, count))]
    streams: list[Stream] = []
    try:
        streams += [engine.submit(one) for one in requests]
        show(streams[0])
        yield request, streams[0].result()
        for number, (again, stream) in enumerate(zip(requests[1:], streams[1:], strict=True), 2):
            with suppress(JupyterLLMError):
                for _ in stream.chunks(TICK_S):
                    if show_progress is not None:
                        show_progress(Step(f"Draft {number} of {count}"))
                yield again, stream.result()
    finally:
        for stream in streams:
            stream.cancel()


def counted_on(params: SamplingParams, number: int) -> SamplingParams:
    """Parameters for one of several drafts: a seed counts on from the first one's."""
    if params.seed is None:
        return params
    return replace(params, seed=(params.seed + number) % (MAX_SEED + 1))


def _varied(request: Request, number: int) -> Request:
    params = counted_on(request.params, number)
    temperature = max(params.temperature or 0, VARIED_TEMPERATURE)
    return replace(request, params=replace(params, temperature=temperature))
