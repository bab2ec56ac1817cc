"""Many prompts answered together."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, SupportsIndex, TypeVar

from jupyter_llm.engine.completion import BatchError, PromptInterrupted
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.errors import JupyterLLMError, OptionError
from jupyter_llm.tasks.drafts import counted_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.options import SamplingParams
    from jupyter_llm.engine.request import Prompt

T = TypeVar("T")


def run_batch(
    engine: Engine, prompts: Sequence[Prompt], params: SamplingParams
) -> list[Completion]:
    """Answer prompts at bulk priority; return the completions in their order.

    `BatchError` and `PromptInterrupted` hold the completions there are.
    """
    streams: list[Stream] = []
    try:
        for index, prompt in enumerate(prompts):
            request = Request(
                prompt=prompt, params=counted_on(params, index), priority=Priority.BULK
            )
            streams.append(engine.submit(request))
        ended = [stream.future.exception() for stream in streams]
    except KeyboardInterrupt:
        done = [_finished(stream) for stream in streams]
        done += [None] * (len(prompts) - len(done))
        raise PromptInterrupted(completions=done) from None
    finally:
        for stream in streams:
            stream.cancel()
    completions = [_finished(stream) for stream in streams]
    errors = {n: error for n, error in enumerate(ended) if isinstance(error, JupyterLLMError)}
    if errors:
        raise BatchError(completions, errors)
    return [completion for completion in completions if completion is not None]


def repeated(prompt: T, n: object) -> list[T]:
    """The same prompt `n` times over; refuse what is no number of times."""
    if not isinstance(n, SupportsIndex) or operator.index(n) < 1:
        raise OptionError(f"n must be a whole number from 1 on, not {n!r}.")
    return [prompt] * operator.index(n)


def _finished(stream: Stream) -> Completion | None:
    """The completion of a stream that ended by itself."""
    future = stream.future
    if not future.done() or future.exception() is not None:
        return None
    return future.result()
