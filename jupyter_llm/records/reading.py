"""Reads an answer once more, for how likely each of its tokens was."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.common.bars import TICK_S, Step, showing
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.tokens import NUM_OTHERS
from jupyter_llm.errors import OptionError
from jupyter_llm.records.verify import NotReplayable, written_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
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
    if completion.logprobs is not None or completion.choice is not None:
        return completion
    record = completion.provenance
    try:
        if not completion.text or record is None:
            raise NotReplayable("there is nothing in it")  # noqa: TRY301
        if completion.reasoning:
            told = "the model thought first; --show-tokens in a cell has them with the answer"
            raise NotReplayable(told)  # noqa: TRY301
        params = replace(
            record.params,
            temperature=0,
            max_tokens=completion.usage.completion_tokens + _SPARE,
            logprobs=NUM_OTHERS,
            stop=(),
            exact=record.exact,
            may_repeat=True,
        )
        again = written_again(
            record,
            prompt_of(record.prompt_key),
            engine_of,
            partial(_watched, max(completion.usage.completion_tokens, 1), show),
            params=params,
            constraint=BeginsWith((completion.text,)),
            is_private=True,
        )
    except NotReplayable as why:
        raise OptionError(f"The answer cannot be read again: {why}.") from why
    return replace(completion, logprobs=again.logprobs)


def _watched(num_tokens: int, show: ShowProgress | None, stream: Stream) -> Completion:
    with showing(show) as tell:
        for _ in stream.chunks(TICK_S):
            tell(Step("Reading the answer again", min(stream.progress.num_written / num_tokens, 1)))
        return stream.result()
