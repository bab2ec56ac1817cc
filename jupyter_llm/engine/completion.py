"""What a model wrote, whole or in pieces, and the exceptions that carry it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from jupyter_llm._version import __version__
from jupyter_llm.common.bars import Step
from jupyter_llm.common.bundle import Bundle, Rich, bundle, exact_output
from jupyter_llm.common.html_text import Html, folded
from jupyter_llm.common.markdown import Markdown, enclosed, untrusted_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.constraint import Constraint
from jupyter_llm.engine.options import FinishReason, SamplingParams
from jupyter_llm.engine.provenance import (
    Provenance,
    Writer,
    machine_name,
    text_sha256,
    token_sha256,
)
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.engine.request import Message
from jupyter_llm.engine.tokens import ShownTokens, TokenLogprob
from jupyter_llm.errors import JupyterLLMError, OneLine

ProgressState = Literal["waiting", "reading", "writing", "finished"]
JSON_BLOCK = "```json\n"  # no line of JSON ends it


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a completion as it is written, or of its reasoning; whole characters only."""

    text: str
    reasoning: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a request is, in tokens: of `num_prompt` so many are read, and so many written."""

    state: ProgressState
    num_prompt: int = 0
    num_read: int = 0
    num_written: int = 0

    @property
    def step(self) -> Step:
        """What goes on, in words."""
        if self.state == "waiting":
            return Step("Waiting for the model")
        if self.state == "reading":
            text = f"Reading {self.num_read:,} of {self.num_prompt:,} tokens"
            return Step(text, self.num_read / max(self.num_prompt, 1))
        return Step(f"Writing: {count_of(self.num_written, 'token')} so far")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a completion cost.

    `cached_tokens` of the `prompt_tokens` were still resident and not read again. Times are in
    seconds: `queue_s` until the engine took it up, `prefill_s` from there until the first token
    was drawn, `decode_s` from there to the last.
    `reasoning_tokens` of the `completion_tokens` were thoughts.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    reasoning_tokens: int = 0

    @property
    def first_token_s(self) -> float:
        """The seconds from the call to the first token."""
        return self.queue_s + self.prefill_s

    @property
    def tokens_per_s(self) -> float:
        """Decode speed: the tokens after the first, over the time they took."""
        return (self.completion_tokens - 1) / self.decode_s if self.decode_s > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{count_of(self.prompt_tokens, 'prompt token')} ({self.cached_tokens} cached), "
            f"{count_of(self.completion_tokens, 'completion token')}, "
            f"first token after {self.first_token_s:.2f} s, then {self.tokens_per_s:.0f} tokens/s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Rich):
    """What the model wrote. Shows as Markdown; `str()` is the text.

    `reasoning` is what it thought before the answer, and no part of `text`.

    `seed` is the one that was used, drawn or given, and None at temperature 0. `token_ids` are the
    model's own tokens for the text, or None where it begins or ends inside one of them. `exact`
    says whether the same request gives the same text again whatever else the model does.
    `tokens_of` names the model file that the tokens hold for.
    `logprobs` are there if they were asked for, from the token on in which the answer begins; those
    of thoughts are not among them, and where one of some texts is chosen they are its own alone.
    `ending` is that of the token by which the model ended it, if it did.
    `provenance` records how the text was made, and goes along with it into the notebook; only a
    prompt that was never read has none.

    `choice` says how likely each text was where the answer is one of some (`OneOf`).

    `finish_reason` tells why it ended: "stop" where the model or a stop text ended it, "length" at
    the most tokens, "cancelled" by somebody, "repetition" where it had begun to repeat itself.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    seed: int | None = None
    token_ids: tuple[int, ...] | None = field(default=None, repr=False)
    exact: bool = False
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)
    provenance: Provenance | None = field(default=None, repr=False, compare=False)
    tokens_of: str | None = field(default=None, repr=False, compare=False)
    reasoning: str = field(default="", repr=False)
    choice: Choice | None = field(default=None, repr=False)
    ending: TokenLogprob | None = field(default=None, repr=False)

    @property
    def message(self) -> Message:
        """The answer as a message of later prompts: what it said over and over, once."""
        start = None if self.finish_reason == "stop" else loop_start(self.text)
        if start is not None:
            return Message("assistant", self.text[:start], reasoning=self.reasoning)
        return Message(
            "assistant",
            self.text,
            self.token_ids,
            tokens_of=self.tokens_of,
            reasoning=self.reasoning,
        )

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_wanted: object) -> tuple[Bundle, dict[str, Any]]:
        """The markup, and the metadata of whatever output shows the completion."""
        record = self.provenance
        return bundle(None, self._markup()), record.to_metadata() if record is not None else {}

    @property
    def markdown(self) -> str:
        """The text as Markdown: JSON that it had to be is a code block."""
        record = self.provenance
        is_json = record is not None and record.is_constrained and self.text.startswith(("{", "["))
        if is_json and self.finish_reason == "stop":  # what was cut off need not be whole
            try:
                json.loads(self.text)
            except (ValueError, RecursionError) as error:
                is_json = isinstance(error, RecursionError)  # it is, as deep as anybody looks
        return f"{JSON_BLOCK}{self.text}\n```" if is_json else self.text

    @property
    def thought(self) -> str:
        """How long it thought, in words; nothing if it did not."""
        return thought_for(self.usage.reasoning_tokens) if self.reasoning else ""

    def show_tokens(self) -> ShownTokens:
        """The text with how likely each of its tokens was, to look at; needs `logprobs`.

        One that was chosen is shown as a whole.
        """
        if self.choice is not None:
            return ShownTokens.of_choice(self.text, self.choice.probabilities)
        return ShownTokens.of(self.text, self.logprobs)

    @property
    def thoughts_html(self) -> Html:
        """What it thought, folded; nothing if it did not."""
        return folded(self.thought.capitalize(), self.reasoning) if self.reasoning else Html()

    def _markup(self) -> Markdown:
        return enclosed(self.thoughts_html, untrusted_markdown(self.markdown))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        told = f"({self.thought})\n\n" if self.reasoning else ""
        printer.text("Completion(…)" if cycle else exact_output(told + self.text))


def thought_for(num_tokens: int) -> str:
    """How long a model thought, in words."""
    return f"thought for {count_of(num_tokens, 'token')}"


def answer_record(
    writer: Writer,
    params: SamplingParams,
    *,
    seed: int | None,
    exact: bool,
    prompt_ids: Sequence[int],
    text: str,
    reasoning: str = "",
    usage: Usage,
    finish_reason: FinishReason,
    constraint: Constraint | None = None,
) -> Provenance:
    """Record an answer that was written just now."""
    return Provenance(
        model=writer.model,
        context=writer.context,
        params=replace(params, seed=seed, exact=writer.context.lane == "exact", logprobs=None),
        exact=exact,
        prompt_sha256=token_sha256(prompt_ids),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        finish_reason=finish_reason,
        text_sha256=text_sha256(text),
        reasoning_sha256=text_sha256(reasoning) if reasoning else None,
        build=writer.build,
        machine=machine_name(),
        package=f"jupyter_llm {__version__}",
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        is_constrained=constraint is not None,
        constraint_sha256=text_sha256(repr(constraint)) if constraint is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a text is after a prompt: natural logarithms, one a token.

    `is_approximate`: a server wrote the text in other tokens than the model reads it in, or does
    not report those. Such a figure may be far off, and says little beside others.
    """

    text: str
    logprobs: tuple[float, ...]
    is_approximate: bool = False

    @property
    def logprob(self) -> float:
        """The log-probability of the whole text."""
        return sum(self.logprobs)

    @property
    def mean_logprob(self) -> float:
        """The log-probability a token, which compares texts of different lengths."""
        return self.logprob / len(self.logprobs)


@dataclass(frozen=True, slots=True)
class Choice:
    """How likely each text of a choice is as the whole answer, its end counted, in their order.

    Of an exact completion these figures are always the same. Of others they depend on what else was
    read with it, by some tenths of a logarithm where a small model is quantized.
    """

    scores: tuple[Score, ...]

    @property
    def is_approximate(self) -> bool:
        """Whether a server spelled one of the texts in other tokens than its model reads."""
        return any(score.is_approximate for score in self.scores)

    @property
    def probabilities(self) -> dict[str, float]:
        """The probability of each text, given that the answer is one of them: 1 in all."""
        most = max(score.logprob for score in self.scores)
        shares = {score.text: math.exp(score.logprob - most) for score in self.scores}
        total = sum(shares.values())
        return {text: share / total for text, share in shares.items()}

    @property
    def elsewhere(self) -> float:
        """The probability that the model, left free, had written something else."""
        return max(0.0, 1 - sum(math.exp(score.logprob) for score in self.scores))


class BatchError(JupyterLLMError, RuntimeError):
    """Some prompts of a batch failed, the others were answered.

    `completions` are in the order of the prompts, None where one failed, and of prompts with a
    shape the answers; `errors` say why, by the prompt's index. `best` is a column, with nulls where
    rows failed.
    """

    def __init__(
        self,
        completions: Sequence[Any],
        errors: dict[int, JupyterLLMError],
        *,
        best: Any = None,
        said: str = "",
    ) -> None:
        index, error = next(iter(errors.items()))
        super().__init__(
            said
            or f"{len(errors)} of {len(completions)} prompts failed, the first one at index "
            f"{index}: {error} The other answers are in the exception's completions."
        )
        self.completions = tuple(completions)
        self.errors = errors
        self.best = best


class ShapeError(JupyterLLMError, ValueError):
    """An answer is not of the shape that was asked for, or was cut off before it was whole.

    `text` is what the model wrote, `partial` what of it is complete, and `completion` the answer
    with all that is known of it.
    """

    def __init__(
        self, message: str, *, text: str = "", partial: Any = None, completion: Any = None
    ) -> None:
        super().__init__(message)
        self.text = text
        self.partial = partial
        self.completion: Completion | None = completion


class PromptInterrupted(OneLine, KeyboardInterrupt):
    """The user interrupted a prompt.

    `completion` holds what had been written, or is None if the model had not begun; `completions`
    are those of a batch that had been finished, None where one was not (see `BatchError`). `best`
    is what a task had come to, as it would have given it; its `str` is Markdown. `draft` is the
    answer of a task that writes code, as the model wrote it. `said` is what it says where nothing
    was written.
    """

    def __init__(
        self,
        completion: Completion | None = None,
        completions: Sequence[Any] = (),
        *,
        best: object = None,
        said: str = "stopped before the first word.",
    ) -> None:
        count = completion.usage.completion_tokens if completion is not None else 0
        num_done = sum(one is not None for one in completions)
        super().__init__(
            f"stopped after {count_of(count, 'token')}; the text so far is kept."
            if count
            else said
            if not completions
            else f"stopped after {num_done} of {len(completions)} prompts; their answers are in "
            "the exception's completions."
        )
        self.completion = completion
        self.completions = tuple(completions)
        self.best = best
        self.draft: object = None
