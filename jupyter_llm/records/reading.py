"""Reads an answer once more, for how likely each of its tokens was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.common.bars import TICK_S, Step, showing
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.request import Request
from jupyter_llm.engine.tokens import NUM_OTHERS
from jupyter_llm.errors import OptionError
from jupyter_llm.records.verify import NotReplayable, engine_of_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.records.prompt_store import KeptPrompt

_SPARE = 16  # tokens: a text may have been written in fewer than it is read in


def read_again(
    completion: Completion,
    engine_of: Callable[[str], Engine],
    prompt_of: Callable[[str], KeptPrompt | None],
    show: ShowProgress | None = None,
) -> Completion:
    """The same completion with its log-probabilities, as the model that wrote it has them.

    The model writes the text behind the same prompt, where it can write nothing else; what is told
    is how likely it was to before that. The others are as in `verify`.

    Raises
    ------
    OptionError
        It cannot be read again; the error says why.
    """
    if completion.logprobs is not None:
        return completion
    try:
        engine, request = _asked(completion, engine_of, prompt_of)
        with showing(show) as tell, engine.submit(request) as stream:
            for _ in stream.chunks(TICK_S):
                done = stream.progress.num_written / max(completion.usage.completion_tokens, 1)
                tell(Step("Reading the answer again", min(done, 1.0)))
            again = stream.result()
        made, record = again.provenance, completion.provenance
        if made is None or record is None or made.prompt_sha256 != record.prompt_sha256:
            raise NotReplayable("the model makes other tokens of the prompt now")  # noqa: TRY301
    except NotReplayable as why:
        raise OptionError(f"The answer cannot be read again: {why}.") from why
    return replace(completion, logprobs=again.logprobs)


def _asked(
    completion: Completion,
    engine_of: Callable[[str], Engine],
    prompt_of: Callable[[str], KeptPrompt | None],
) -> tuple[Engine, Request]:
    """The engine that wrote a completion, and what lets it write that once more."""
    record = completion.provenance
    if not completion.text or record is None:
        raise NotReplayable("there is nothing in it")
    if completion.reasoning:
        raise NotReplayable("the model thought first; ask with logprobs=5, and they come with it")
    kept = prompt_of(record.prompt_key)
    if kept is None:
        raise NotReplayable("its prompt is not kept on this machine")
    params = replace(
        record.params,
        temperature=0,
        max_tokens=completion.usage.completion_tokens + _SPARE,
        logprobs=NUM_OTHERS,
        stop=(),
        exact=record.exact,
        may_repeat=True,
    )
    request = Request(
        prompt=kept.prompt,
        params=params,
        answer_prefix=kept.answer_prefix,
        constraint=BeginsWith((completion.text,)),
        is_private=True,
    )
    return engine_of_record(record, engine_of), request
