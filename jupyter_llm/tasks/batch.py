"""Many prompts answered together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.engine.base import MAX_SEED, Priority, Request
from jupyter_llm.errors import BatchError, JupyterLLMError, PromptInterrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.base import Completion, Engine, Prompt, SamplingParams, Stream


def run_batch(
    engine: Engine, prompts: Sequence[Prompt], params: SamplingParams
) -> list[Completion]:
    """Answer prompts at bulk priority; return the completions in their order.

    Raises
    ------
    BatchError, PromptInterrupted
        Both hold the completions there are.
    """
    streams: list[Stream] = []
    try:
        for index, prompt in enumerate(prompts):
            request = Request(
                prompt=prompt, params=_params_of(params, index), priority=Priority.BULK
            )
            streams.append(engine.submit(request))
        return _collect(streams)
    except KeyboardInterrupt:
        done = [_finished(stream) for stream in streams]
        done += [None] * (len(prompts) - len(done))
        raise PromptInterrupted(completions=done) from None
    finally:
        for stream in streams:
            stream.cancel()


def _params_of(params: SamplingParams, index: int) -> SamplingParams:
    if params.seed is None:
        return params
    return replace(params, seed=(params.seed + index) % (MAX_SEED + 1))


def _collect(streams: Sequence[Stream]) -> list[Completion]:
    completions: list[Completion | None] = []
    errors: dict[int, JupyterLLMError] = {}
    for index, stream in enumerate(streams):
        try:
            completions.append(stream.future.result())
        except JupyterLLMError as error:
            completions.append(None)
            errors[index] = error
    if errors:
        raise BatchError(completions, errors)
    return [completion for completion in completions if completion is not None]


def _finished(stream: Stream) -> Completion | None:
    """Return the completion of a stream that ended by itself."""
    future = stream.future
    if not future.done() or future.exception() is not None:
        return None
    return future.result()
