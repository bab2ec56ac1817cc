"""The seam between what people use and what runs a model.

Values (requests, chunks, completions) and the Engine protocol; no threads, no llama.cpp. Everything
here is light to import.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, SupportsFloat, get_args

from jupyter_llm.errors import EmptyPromptError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np

    from jupyter_llm.engine.provenance import Provenance
    from jupyter_llm.errors import PromptInterrupted

Role = Literal["system", "user", "assistant"]
ProgressState = Literal["waiting", "reading", "writing", "finished"]
FinishReason = Literal["stop", "length", "cancelled", "error"]
KvType = Literal["f16", "q8_0"]

# llama.cpp takes an unsigned 32-bit seed and reads the largest one as "draw one".
MAX_SEED = 2**32 - 2
_DEFAULT_N_BATCH = 512  # tokens a step
_MAX_INT = 2**31 - 1
_UNBOUNDED = 1e30  # a 32-bit float still holds it
_LEAST = 1e-6
_MAX_LOGPROBS = 100


class Priority(IntEnum):
    """Whose step is next: the smaller number. A class is not felt by those above it."""

    GHOST = 0
    CHAT = 1
    BULK = 2
    BACKGROUND = 3


def _number(options: object, name: str, low: float, high: float) -> None:
    """Refuse a float that is none or out of range; whole numbers become floats."""
    value = getattr(options, name)
    number: float | None = None
    if isinstance(value, SupportsFloat):  # no text, though float() would read it
        with suppress(TypeError, ValueError, OverflowError):
            number = float(value)
    if number is None or not low <= number <= high:
        raise OptionError(f"{name} must be {_range(low, high)}, not {value!r}.")
    object.__setattr__(options, name, number)


def _whole(options: object, name: str, low: int, high: int) -> None:
    """Refuse what is no whole number in the range. None stands for no choice."""
    value = getattr(options, name)
    if value is None:
        return
    number: int | None = None
    with suppress(TypeError):
        number = operator.index(value)
    if number is None:
        raise OptionError(f"{name} must be a whole number, not {value!r}.")
    if not low <= number <= high:
        raise OptionError(f"{name} must be {_range(low, high)}, not {value!r}.")
    object.__setattr__(options, name, number)


def _range(low: float, high: float) -> str:
    unbounded = high in (_MAX_INT, _UNBOUNDED)
    return f"at least {low}" if unbounded else f"from {low} to {high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is drawn, and when to stop.

    Temperature 0 always takes the likeliest token, whatever the seed. `top_k=0`, `top_p=1`,
    `min_p=0` and `repeat_penalty=1` each switch themselves off. Without a seed one is drawn; the
    completion says which. `max_tokens=None` goes on until the context window is full.

    `logit_bias` adds to the logits of tokens, as pairs of a token id and a number; `-inf` bans a
    token. `logprobs=k` tells each token's log-probability and those of the k likeliest. `exact`
    asks for the same text whatever else the model does: None does so with a seed or at
    temperature 0, False never. `lookup` guesses ahead from what the text repeats; it changes the
    speed and not the text.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 512
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    exact: bool | None = None
    lookup: bool = True

    @property
    def wants_exact(self) -> bool:
        """Whether the text is promised to be the same every time."""
        if self.exact is not None:
            return self.exact
        return self.seed is not None or self.temperature == 0

    def __post_init__(self) -> None:
        """Refuse values that mean nothing, with the value in hand."""
        _number(self, "temperature", 0, _UNBOUNDED)
        _number(self, "top_p", _LEAST, 1)
        _number(self, "min_p", 0, 1)
        _number(self, "repeat_penalty", _LEAST, _UNBOUNDED)
        _whole(self, "top_k", 0, _MAX_INT)
        _whole(self, "seed", 0, MAX_SEED)
        _whole(self, "max_tokens", 1, _MAX_INT)
        texts: tuple[object, ...] = self.stop
        if not all(isinstance(text, str) and text for text in texts):
            raise OptionError(f"stop must be made of non-empty texts, not {self.stop!r}.")
        _whole(self, "logprobs", 0, _MAX_LOGPROBS)
        self._check_logit_bias()

    def _check_logit_bias(self) -> None:
        bias = self.logit_bias
        try:
            pairs = tuple((operator.index(token), float(value)) for token, value in bias)
        except (TypeError, ValueError):
            raise OptionError(
                f"logit_bias must map token ids to numbers, such as {{42: -5}}, not {bias!r}."
            ) from None
        if not all(0 <= token <= _MAX_INT and value <= _UNBOUNDED for token, value in pairs):
            raise OptionError(
                f"logit_bias must map token ids from 0 on to numbers below infinity, not {bias!r}."
            )
        object.__setattr__(self, "logit_bias", pairs)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat.

    `token_ids` are the tokens the model itself wrote for `content`. With them a follow-up prompt
    repeats the resident tokens exactly; without, the text is tokenized again, which need not give
    the same tokens back.

    `parts` make up `content` and are tokenized one by one, as plain text: a message that goes on
    with more parts begins with the same tokens, whatever stands where they meet.
    """

    role: Role
    content: str
    token_ids: tuple[int, ...] | None = field(default=None, repr=False)
    parts: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of_parts(cls, role: Role, parts: Sequence[str]) -> Message:
        """Make a message of parts that are tokenized one by one."""
        return cls(role, "".join(parts), parts=tuple(parts))


Prompt = str | tuple[Message, ...]
"""Raw text to continue, or the messages of a chat to answer."""


def check_text(prompt: object, *, is_raw: bool = False) -> str:
    """Return a prompt that is a text with something in it; blanks count in raw text only.

    Raises
    ------
    OptionError
        It is no text.
    EmptyPromptError
        There is nothing in it.
    """
    if not isinstance(prompt, str):
        raise OptionError(f"A prompt is a text, not a {type(prompt).__name__}. Use str(…).")
    if not (prompt if is_raw else prompt.strip()):
        raise EmptyPromptError
    return prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt and how to answer it.

    Requests with the same `conversation` follow one another: the later one may reuse the resident
    tokens of the earlier one in place. Others share what they have in common and keep the rest
    apart. A pinned prompt stays resident when others have to go.

    The answer begins with `answer_prefix`. It is plain text that the model reads as if it had
    written it: it counts as prompt tokens, and neither the completion nor a stop text sees it.
    `prefill` leaves it out.
    """

    prompt: Prompt
    params: SamplingParams = SamplingParams()
    answer_prefix: str = ""
    conversation: str | None = None
    priority: Priority = Priority.CHAT
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of a completion with its natural log-probability before any sampling option.

    `top` are the likeliest tokens in its place, with theirs, the likeliest first.
    """

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a text is after a prompt: natural logarithms, one a token."""

    text: str
    logprobs: tuple[float, ...]

    @property
    def logprob(self) -> float:
        """The log-probability of the whole text."""
        return sum(self.logprobs)

    @property
    def mean_logprob(self) -> float:
        """The log-probability a token, which compares texts of different lengths."""
        return self.logprob / len(self.logprobs)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a completion as it is written; whole characters only."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a completion cost.

    `cached_tokens` of the `prompt_tokens` were still resident and not read again. Times are in
    seconds: `queue_s` until the engine took it up, `prefill_s` from there until the first token
    was drawn, `decode_s` from there to the last.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0

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
            f"{self.prompt_tokens} prompt tokens ({self.cached_tokens} cached), "
            f"{self.completion_tokens} completion tokens, "
            f"first token after {self.first_token_s:.2f} s, then {self.tokens_per_s:.0f} tokens/s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the model wrote. Shows as Markdown; `str()` is the text.

    `seed` is the one that was used, drawn or given, and None at temperature 0. `token_ids` are the
    model's own tokens for the text, or None where a stop string cut the text inside them. `exact`
    says whether the same request gives the same text again whatever else the model does.
    `logprobs` are there if they were asked for. `provenance` records how the text was made, and
    goes along with it into the notebook; only a prompt that was never read has none.
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

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_wanted: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return no form of its own, and the metadata of whatever output shows the completion."""
        return {}, self.provenance.to_metadata() if self.provenance is not None else {}

    def _repr_markdown_(self) -> str:
        from jupyter_llm.common.markdown import untrusted_markdown

        return untrusted_markdown(self.text)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        printer.text("Completion(…)" if cycle else self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a request is, in tokens: of `num_prompt` so many are read, and so many written."""

    state: ProgressState
    num_prompt: int = 0
    num_read: int = 0
    num_written: int = 0


class Stream(Protocol):
    """The completion of one request while it is written.

    Iterate over its chunks, or wait for `result()`. Both raise what went wrong in the engine, and
    `PromptInterrupted` when the user interrupts.
    """

    @property
    def future(self) -> Future[Completion]:
        """The result, for code that waits by other means."""

    @property
    def written(self) -> str:
        """The text so far, for code that looks on while somebody else reads the chunks."""

    @property
    def progress(self) -> Progress:
        """How far the request is; from any thread, like `written`."""

    def __iter__(self) -> Iterator[Chunk]: ...

    def cancel(self) -> None:
        """Stop writing; what there is becomes the result. Returns at once."""

    def interrupt(self) -> PromptInterrupted:
        """Cancel, and return the exception that carries what was written."""

    def result(self, timeout: float | None = None) -> Completion:
        """Wait for the end and return the whole completion; `timeout` in seconds."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a model is loaded. None leaves the choice to us: what the model and the machine take.

    `n_ctx` is the context window in tokens; all resident conversations share its room.
    Without `flash_attention` long prompts and long answers take a tenth longer on a CPU, and short
    prompts a third less. `kv_type="q8_0"` halves the KV cache, at a small loss, and needs it. With
    `repack` llama.cpp rearranges weights it has faster kernels for, as it does by default; they
    are then this process's own, while others are shared with all that map the file.

    `exact=True` answers every request exactly, `exact=False` none; None those with a seed or at
    temperature 0. `checkpoints` keeps what was read on disk, for the next kernel.
    `full_window=False` lets models with sliding-window attention forget what their window left
    behind: less memory, but fewer prefixes to go on from, and no answer is exact.
    """

    n_ctx: int | None = None
    n_batch: int | None = None
    n_threads: int | None = None
    n_gpu_layers: int | None = None
    flash_attention: bool | None = None
    kv_type: KvType = "f16"
    repack: bool | None = None
    exact: bool | None = None
    checkpoints: bool = True
    full_window: bool = True

    def __post_init__(self) -> None:
        """Refuse what llama.cpp would abort the process for, with the value in hand."""
        _whole(self, "n_ctx", 128, _MAX_INT)
        _whole(self, "n_batch", 32, 65536)
        _whole(self, "n_threads", 1, 512)
        _whole(self, "n_gpu_layers", -1, _MAX_INT)
        if self.kv_type not in get_args(KvType):
            choices = " or ".join(map(repr, get_args(KvType)))
            raise OptionError(f"kv_type must be {choices}, not {self.kv_type!r}.")
        if self.kv_type != "f16" and not self.has_flash_attention:
            raise OptionError(
                f"kv_type={self.kv_type!r} needs flash attention. Use kv_type='f16', or leave "
                "flash_attention on."
            )

    @property
    def has_flash_attention(self) -> bool:
        """Whether flash attention is on, by our choice too."""
        return self.flash_attention is not False

    @property
    def batch_size(self) -> int:
        """How many tokens a step evaluates: `n_batch`, or our choice."""
        return self.n_batch or _DEFAULT_N_BATCH

    def filled(self, settings: Mapping[str, int | bool]) -> EngineOptions:
        """Return these options, with settings for those that leave the choice to us."""
        open_ones: dict[str, Any] = {
            name: value for name, value in settings.items() if getattr(self, name) is None
        }
        if self.kv_type != "f16":
            open_ones.pop("flash_attention", None)  # such a cache needs it on
        return replace(self, **open_ones)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a loaded model.

    `tuned_copy` is the file that was loaded in place of the one at `path`, if `/tune` made one;
    quantization and size are then the copy's.
    """

    name: str
    path: Path
    architecture: str
    quantization: str
    size_bytes: int
    license: str | None
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_threads: int
    flash_attention: bool
    has_chat_template: bool
    build: str
    kv_type: KvType = "f16"
    kv_bytes: int = 0
    tuned_copy: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentPrefix:
    """Tokens that a prompt may begin with, in the KV cache or parked beside it."""

    num_tokens: int
    conversation: str | None = None
    is_busy: bool = False
    is_pinned: bool = False
    is_parked: bool = False
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What an engine does at this moment.

    `prefixes` are the latest used first; those that share a start each count it. `num_cells` is
    the room of the KV cache in tokens and `kv_bytes` what it takes, the exact one's included.
    `tokens_per_s` is the speed of the last completion, `process_bytes` the memory of the process.
    """

    num_running: int = 0
    num_waiting: int = 0
    prefixes: tuple[ResidentPrefix, ...] = ()
    num_cells: int = 0
    kv_bytes: int = 0
    n_threads: int = 1
    tokens_per_s: float = 0.0
    process_bytes: int = 0
    is_exact: bool | None = None

    @property
    def resident_tokens(self) -> tuple[int, ...]:
        """How many tokens each prefix in the KV cache has."""
        return tuple(prefix.num_tokens for prefix in self.prefixes if not prefix.is_parked)


class Engine(Protocol):
    """Serves requests for one model. Safe to call from any thread.

    Every method raises `EngineClosedError` once the engine is closed.
    """

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""

    def submit(self, request: Request) -> Stream:
        """Queue a request; its errors are raised by the stream."""

    def format(self, prompt: Prompt) -> str:
        """Return the text the model will read: messages put through its chat template."""

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens the model will read for a prompt."""

    def count_tokens(self, prompt: Prompt) -> int:
        """Return how many tokens the model will read for a prompt."""

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of plain texts: no begin token, and control texts mean nothing."""

    def prefill(self, request: Request) -> None:
        """Read a prompt while there is nothing else to do, so that it is resident later.

        Returns at once. Any other request ends it; what was read by then stays. A chat is left
        open at its end: what is read is what it begins with however its last message goes on, or,
        after an answer, whatever the next message is.
        """

    def hold_background(self, *, is_held: bool) -> None:
        """Let nothing be read in the background until it is allowed again."""

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        """Return how likely each continuation is after a prompt."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector of length one for each text, as an array (num_texts, n_embd)."""

    def status(self) -> EngineStatus:
        """Return what the engine does at this moment."""

    def close(self) -> None:
        """Cancel everything and free the model. May be called twice."""
