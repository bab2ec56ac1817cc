"""A model's answer, whole or in pieces, and the exceptions that carry answers."""

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
    """A piece of a completion or of its reasoning, in whole characters."""

    text: str
    reasoning: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a request in tokens; `num_read` of `num_prompt` are read."""

    state: ProgressState
    num_prompt: int = 0
    num_read: int = 0
    num_written: int = 0

    @property
    def step(self) -> Step:
        """Return the progress in words."""
        if self.state == "waiting":
            return Step("Waiting for the model")
        if self.state == "reading":
            text = f"Reading {self.num_read:,} of {self.num_prompt:,} tokens"
            return Step(text, self.num_read / max(self.num_prompt, 1))
        return Step(f"Writing: {count_of(self.num_written, 'token')} so far")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The cost of a completion.

    `cached_tokens` of the `prompt_tokens` were resident and not read again. Times are in seconds:
    `queue_s` until the engine started, `prefill_s` from then to the first token, `decode_s` from
    then to the last. `reasoning_tokens` of the `completion_tokens` were thoughts.
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
        """Return the seconds from the call to the first token."""
        return self.queue_s + self.prefill_s

    @property
    def tokens_per_s(self) -> float:
        """Return the decode speed: tokens after the first, divided by their time."""
        return (self.completion_tokens - 1) / self.decode_s if self.decode_s > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{count_of(self.prompt_tokens, 'prompt token')} ({self.cached_tokens} cached), "
            f"{count_of(self.completion_tokens, 'completion token')}, "
            f"first token after {self.first_token_s:.2f} s, then {self.tokens_per_s:.0f} tokens/s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Rich):
    """A model's answer. Shows as Markdown; `str()` is the text.

    `reasoning` are the thoughts before the answer, which `text` does not include. `finish_reason`
    is "stop" if the model or a stop text ended the answer, "length" at the token limit, "cancelled"
    by somebody, or "repetition" if the text had begun to repeat itself. `seed` is the one used,
    drawn or set; None at temperature 0.

    `token_ids` are the model's own tokens of the text, None if it begins or ends inside one;
    `tokens_of` names the model file to which they belong. `exact`: the same request gives the same
    text, whatever else the model does.

    `logprobs` are there if requested, for the tokens of the answer, not of the thoughts; for a
    choice, only those of the chosen text. `ending` is that of the token with which the model ended
    the answer. `choice` has the likelihood of each text of a choice (`OneOf`).

    `provenance` records how the text was made, and is stored with it in the notebook. It is None
    only if the prompt was never read.
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
        """Return the answer as a message for later prompts; a repetition is included once."""
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
        """Return the markup, and the metadata for the output that shows the completion."""
        record = self.provenance
        return bundle(None, self._markup()), record.to_metadata() if record is not None else {}

    @property
    def markdown(self) -> str:
        """Return the text as Markdown; required JSON becomes a code block."""
        record = self.provenance
        is_json = record is not None and record.is_constrained and self.text.startswith(("{", "["))
        if is_json and self.finish_reason == "stop":  # a cut text may be incomplete
            try:
                json.loads(self.text)
            except (ValueError, RecursionError) as error:
                is_json = isinstance(error, RecursionError)  # valid as far as it can be parsed
        return f"{JSON_BLOCK}{self.text}\n```" if is_json else self.text

    @property
    def thought(self) -> str:
        """Return the length of the thoughts in words, "" if there are none."""
        return thought_for(self.usage.reasoning_tokens) if self.reasoning else ""

    def show_tokens(self) -> ShownTokens:
        """Return the text with the likelihood of each token, for display; needs `logprobs`.

        The text of a choice is shown as one piece.
        """
        if self.choice is not None:
            return ShownTokens.of_choice(self.text, self.choice.probabilities)
        return ShownTokens.of(self.text, self.logprobs)

    @property
    def thoughts_html(self) -> Html:
        """Return the thoughts, folded; empty if there are none."""
        return folded(self.thought.capitalize(), self.reasoning) if self.reasoning else Html()

    def _markup(self) -> Markdown:
        return enclosed(self.thoughts_html, untrusted_markdown(self.markdown))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        thoughts = f"({self.thought})\n\n" if self.reasoning else ""
        printer.text("Completion(…)" if cycle else exact_output(thoughts + self.text))


def thought_for(num_tokens: int) -> str:
    """Return in words how long a model thought."""
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
    """Return the record of an answer, with the present time: how and by which model it was made.

    `seed` is the one used. `exact`: the same request gives the same text.
    """
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
    """The likelihood of a text after a prompt: one natural logarithm a token.

    `is_approximate`: a server wrote the text in tokens that differ from the model's own, or does
    not report them. Such a value may be far off, and should not be compared with others.
    """

    text: str
    logprobs: tuple[float, ...]
    is_approximate: bool = False

    @property
    def logprob(self) -> float:
        """Return the log-probability of the whole text."""
        return sum(self.logprobs)

    @property
    def mean_logprob(self) -> float:
        """Return the mean log-probability of a token, to compare texts of different lengths."""
        return self.logprob / len(self.logprobs)


@dataclass(frozen=True, slots=True)
class Choice:
    """The likelihood of each text of a choice as the whole answer with its end, in their order.

    The values of an exact completion are always the same. Others depend on simultaneous requests,
    by some tenths of a logarithm for a small quantized model.
    """

    scores: tuple[Score, ...]

    @property
    def is_approximate(self) -> bool:
        """Whether a server wrote one of the texts in tokens that differ from the model's."""
        return any(score.is_approximate for score in self.scores)

    @property
    def probabilities(self) -> dict[str, float]:
        """Return the probability of each text if no other answer were possible.

        They add up to 1.
        """
        most = max(score.logprob for score in self.scores)
        shares = {score.text: math.exp(score.logprob - most) for score in self.scores}
        total = sum(shares.values())
        return {text: share / total for text, share in shares.items()}

    @property
    def elsewhere(self) -> float:
        """Return the probability that the model would freely have written another text."""
        return max(0.0, 1 - sum(math.exp(score.logprob) for score in self.scores))


class BatchError(JupyterLLMError, RuntimeError):
    """Some prompts of a batch failed; the others were answered.

    `completions` are in the order of the prompts, None for failed ones; for prompts with a shape,
    they are the answers. `errors` has the reasons by index. `best` is a column, with nulls for
    failed rows.
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
    """An answer does not have the requested shape, or was cut off before its end.

    `text` is the model's text, `partial` the complete part of the value, and `completion` the
    answer with its facts.
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

    `completion` is the answer so far, None if the model had not begun. `completions` are the
    finished ones of a batch, None for others (see `BatchError`). `best` is the result of a task so
    far; its `str` is Markdown. `draft` is the answer of a task that writes code, as the model wrote
    it. `said` is the message if nothing was written.
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
