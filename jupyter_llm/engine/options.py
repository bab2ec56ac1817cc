"""Options for drawing text and loading models, as checked values."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, SupportsFloat, TypedDict, get_args

from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.option import option, options_of, switch
from jupyter_llm.errors import OptionError

FinishReason = Literal["stop", "length", "cancelled", "error", "repetition"]
KvType = Literal["f16", "q8_0"]

# llama.cpp takes an unsigned 32-bit seed; the largest one means "draw a seed".
MAX_SEED = 2**32 - 2
_DEFAULT_N_BATCH = 512  # tokens a step
_MAX_INT = 2**31 - 1
_UNBOUNDED = 1e30  # fits a 32-bit float
_LEAST = 1e-6
_MAX_LOGPROBS = 100

_THOUGHTS = 4  # length of an answer with its thoughts, as a multiple of the answer's


class DefaultLength(int):
    """The default limit of an answer's tokens."""


_LENGTH = DefaultLength(512)

DRAWN = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty")
"""The options for drawing a token; every model has its own defaults."""


def _drawn(
    spelling: str, metavar: str, text: str, low: float = 0, high: float | None = None
) -> Any:
    """Declare a field of `DRAWN`."""
    more = {"low": low, "high": high, "is_setting": True, "unset": "is as the model recommends"}
    return option(spelling, metavar, text, **more)


class SamplingOptions(TypedDict, total=False):
    """The options of every prompt, by the names of `SamplingParams`; `stop` may be one text."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repeat_penalty: float | None
    seed: int | None
    max_tokens: int | None
    stop: str | Iterable[str]
    ignore_eos: bool
    logit_bias: dict[int, float]
    logprobs: int | None
    exact: bool | None
    lookup: bool
    may_repeat: bool
    think: bool | None
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """The way in which the next token is drawn, and when to stop.

    For the first five, None means the model's default: the makers' recommendation, or else our
    choice for its size (`Recommended`). Temperature 0 always takes the likeliest token, whatever
    the seed. `top_k=0`, `top_p=1`, `min_p=0` and `repeat_penalty=1` each switch the option off.
    Without a seed one is drawn; the completion has it.

    `max_tokens` counts the answer and the thoughts before it. If it is not set, a model that can
    think gets four times as many, unless `think=False`. None continues until the context window is
    full. A text that begins to repeat itself ends there, unless it `may_repeat` or `ignore_eos` is
    set.

    `logit_bias` adds to the logits of tokens, as pairs of token id and number; `-inf` bans a token.
    `logprobs=k` adds each token's log-probability and those of the k likeliest. `lookup` guesses
    tokens from repetitions in the text; it changes the speed, not the text.

    `exact` requests the same text whatever else the model does. None means True with a seed, and at
    temperature 0 if that does not require reading a chat a second time.

    `think` decides whether a model that can think does so before it answers; None leaves that to
    its chat template. With a prefix, it answers at once. Before an answer with a shape, the model
    may write up to `reason` tokens of free text in addition to `max_tokens`; or its thoughts, with
    `think`, which get at most three quarters of `max_tokens`. Both become the completion's
    `reasoning`.
    """

    temperature: float | None = _drawn(
        "-t --temperature", "X", "0 always takes the likeliest token; higher varies more"
    )
    top_k: int | None = _drawn(
        "--top-k", "N", "draw from this many of the likeliest tokens; 0 for all"
    )
    top_p: float | None = _drawn(
        "--top-p", "X", "draw from the likeliest tokens that add up to this probability", _LEAST, 1
    )
    min_p: float | None = _drawn(
        "--min-p", "X", "leave out tokens less likely than this share of the likeliest", high=1
    )
    repeat_penalty: float | None = _drawn(
        "--repeat-penalty", "X", "above 1 makes repetition less likely", _LEAST
    )
    seed: int | None = option(
        "--seed",
        "N",
        "the same seed in the same place gives the same text",
        low=0,
        high=MAX_SEED,
        is_setting=True,
        unset="draws one",
    )
    max_tokens: int | None = option(
        "-n --max-tokens",
        "N",
        "longest answer with thoughts, in tokens",
        default=_LENGTH,
        low=1,
        is_setting=True,
        unset="writes until the context window is full",
    )
    stop: tuple[str, ...] = option(
        "--stop",
        "TEXT",
        "end before this text; may be given several times",
        default=(),
        is_list=True,
    )
    ignore_eos: bool = switch("--ignore-eos", "write on until the longest answer is reached")
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = option(low=0, high=_MAX_LOGPROBS)
    exact: bool | None = None
    lookup: bool = True
    may_repeat: bool = switch(
        "--may-repeat", "write on where the text has begun to repeat itself", is_setting=True
    )
    think: bool | None = option(
        "--think",
        help="let a model that can think do so before it answers",
        negative="let it answer at once",
        is_setting=True,
        unset="leaves it to the chat template",
    )
    reason: int = option(
        "--reason",
        "N",
        "let the model write so many tokens freely before an answer of a shape",
        default=0,
        low=0,
        is_setting=True,
    )

    @property
    def wants_exact(self) -> bool:
        """Whether the text should be the same every time."""
        return self.is_promised or (self.exact is None and self.temperature == 0)

    @property
    def is_promised(self) -> bool:
        """Whether it has to be the same at any cost.

        If not, only if no second reading is needed.
        """
        return self.seed is not None if self.exact is None else self.exact

    def __post_init__(self) -> None:
        """Raise `OptionError` if an option is invalid. The message contains the wrong value."""
        _check_numbers(self)
        texts: Any = self.stop
        is_list = isinstance(texts, tuple | list)
        if not is_list or not all(isinstance(text, str) and text for text in texts):
            raise OptionError(f"stop must be made of non-empty texts, not {self.stop!r}.")
        if self.think not in (None, True, False):
            raise OptionError(f"think must be True, False or None, not {self.think!r}.")
        self._check_logit_bias()

    def filled(self, recommended: SamplingParams) -> SamplingParams:
        """Return a copy in which each option of `DRAWN` that is None has its recommended value."""
        names = (name for name in DRAWN if getattr(self, name) is None)
        return replace(self, **{name: getattr(recommended, name) for name in names})

    def counted_on(self, number: int) -> SamplingParams:
        """Return these parameters for one of several texts; the seed is increased by `number`."""
        if self.seed is None:
            return self
        return replace(self, seed=(self.seed + number) % (MAX_SEED + 1))

    def with_room_to_think(self) -> SamplingParams:
        """Return these parameters with more tokens if the length is the default."""
        if not isinstance(self.max_tokens, DefaultLength):
            return self
        return replace(self, max_tokens=_THOUGHTS * self.max_tokens)

    def _check_logit_bias(self) -> None:
        bias = self.logit_bias
        pairs: tuple[tuple[int, float], ...] | None = None
        with suppress(TypeError, ValueError):
            # No -0.0: front ends save it as 0, so a record would seem altered.
            pairs = tuple((operator.index(token), float(value) + 0.0) for token, value in bias)
        if pairs is None or not all(0 <= i <= _MAX_INT and v <= _UNBOUNDED for i, v in pairs):
            raise OptionError(
                "logit_bias must map token ids from 0 on to numbers below infinity, such as "
                f"{{42: -5}}, not {bias!r}."
            )
        object.__setattr__(self, "logit_bias", pairs)


def sampling_params(options: Mapping[str, Any]) -> SamplingParams:
    """Return checked parameters from a user's options.

    `OptionError`: a name is unknown (the message has the nearest one), or a value is invalid.
    """
    check_names(options, SamplingParams, "a sampling option")
    values = dict(options)
    if "stop" in values:
        stop = values["stop"]
        if stop is None or isinstance(stop, str):
            values["stop"] = () if stop is None else (stop,)
        elif isinstance(stop, Iterable):
            values["stop"] = tuple(stop)
    if isinstance(bias := values.get("logit_bias"), dict):
        values["logit_bias"] = tuple(bias.items())
    return SamplingParams(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Options for loading a model. None means our choice for the model and the machine.

    `n_ctx` is the context window in tokens; all resident conversations share it. `n_batch` tokens
    are read at a time, by at most `n_threads` threads. `n_gpu_layers` run on a GPU, if llama.cpp's
    build supports one.

    The effect of `flash_attention` depends on the processor: if it is None, both are measured when
    a model of this shape is first loaded here. `kv_type="q8_0"` halves the KV cache at a small
    loss, and requires it. With `repack`, llama.cpp's default, weights are rearranged for faster
    kernels; this process then has its own copy, while other weights are shared with all that map
    the file.

    `exact=True` answers every request exactly, `exact=False` none; for None see `SamplingParams`.
    `checkpoints` stores read prompts on disk for the next kernel.
    """

    n_ctx: int | None = option(low=128)
    n_batch: int | None = option(low=32, high=65536)
    n_threads: int | None = option(low=1, high=512)
    n_gpu_layers: int | None = option(low=-1)
    flash_attention: bool | None = None
    kv_type: KvType = "f16"
    repack: bool | None = None
    exact: bool | None = None
    checkpoints: bool = True

    def __post_init__(self) -> None:
        """Raise `OptionError` for values with which llama.cpp would abort the process."""
        _check_numbers(self)
        for name in ("flash_attention", "repack", "exact", "checkpoints"):
            value = getattr(self, name)
            if not isinstance(value, bool) and (value is not None or name == "checkpoints"):
                raise OptionError(f"{name} must be True or False, not {value!r}.")
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
        """Whether flash attention is on; it is the default."""
        return self.flash_attention is not False

    @property
    def batch_size(self) -> int:
        """Return the most tokens that are evaluated in a step: `n_batch`, or our choice."""
        return self.n_batch or _DEFAULT_N_BATCH


LOADING = tuple(option.name for option in fields(EngineOptions))
"""The names of the options to load a model with."""


def check_names(options: Mapping[str, Any], params: type, kind: str) -> None:
    """Raise `OptionError` for options that `params` does not have; `kind` names their kind."""
    names = list(params.__annotations__)
    for name in options:
        if name not in names:
            hint = nearest(name, names, f"There are: {', '.join(names)}.")
            raise OptionError(f"{name!r} is not {kind}. {hint}")


def _check_numbers(options: Any) -> None:
    """Check that numbers are in the ranges of their options, and store floats as such."""
    for one in options_of(options.__class__):
        value = getattr(options, one.key)
        if one.low is None or value is None:
            continue
        number: float | None = None
        with suppress(TypeError, ValueError, OverflowError):
            if one.kind is int:
                number = value if isinstance(value, DefaultLength) else operator.index(value)
            elif isinstance(value, SupportsFloat):  # excludes text, which float() accepts
                number = float(value) + 0.0  # as in `_check_logit_bias`
        high = one.high or (_MAX_INT if one.kind is int else _UNBOUNDED)
        if number is None or not one.low <= number <= high:
            wanted = f"at least {one.low}" if one.high is None else f"from {one.low} to {high}"
            if one.kind is int and number is None:
                wanted = "a whole number"
            raise OptionError(f"{one.key} must be {wanted}, not {value!r}.")
        object.__setattr__(options, one.key, number)
