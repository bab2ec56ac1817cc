"""Whether flash attention pays on this machine: what was measured of it, and what follows.

On some processors llama.cpp's flash attention reads a short prompt behind a long one at half the
speed, on others long prompts a quarter faster. So both are measured when a model of a new shape is
loaded (`engine/local/trials/flash_attention.py`), and what came out is remembered.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from jupyter_llm.common.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.models.inspect import ModelShape
    from jupyter_llm.models.machine import Machine

FOLLOW_UP_TOKENS = 16
"""Of a short prompt that follows what was read before."""

PROMPT_TOKENS = 1536
"""Of a long prompt, and of what stands before a short one."""

# In a notebook many short prompts follow each long one: it is read again only after a restart, or
# when the oldest part of the conversation is left out.
_FOLLOW_UPS = 10
_WORTH = 1.05  # flash attention is the default: whatever is not slower by more, stays
_NOISE = 1.1  # pairs that differ by no more are of one mind

_REMEMBERED = Remembered("attention")
_REVISION = 2  # of the measurement: what an earlier one found is no answer to this one


class ReadingTimes(NamedTuple):
    """How long it takes to read a short prompt behind a long one, and a long one, in seconds."""

    follow_up_s: float
    prompt_s: float

    @property
    def cost_s(self) -> float:
        """What one long prompt and the short ones that follow it take: the number to compare."""
        return _FOLLOW_UPS * self.follow_up_s + self.prompt_s


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionTimes:
    """What was measured with flash attention and without."""

    flash: ReadingTimes
    plain: ReadingTimes

    @property
    def prefers_flash(self) -> bool:
        """Whether flash attention is the faster one, or about as fast."""
        return self.ratio <= _WORTH

    @property
    def ratio(self) -> float:
        """How many times as long it takes with flash attention."""
        return self.flash.cost_s / self.plain.cost_s

    def __str__(self) -> str:
        return (
            f"a short prompt takes {self.flash.follow_up_s:.2g} s with it and "
            f"{self.plain.follow_up_s:.2g} s without, one of {PROMPT_TOKENS:,} tokens "
            f"{self.flash.prompt_s:.2g} and {self.plain.prompt_s:.2g} s, as measured here"
        )


def judged(pairs: Sequence[AttentionTimes]) -> AttentionTimes | None:
    """The fastest of each, if all pairs, measured one after the other, say which one is faster.

    None where they disagree, as on a busy machine: a wrong answer would be kept for long.
    """
    least, most = (choose(pair.ratio for pair in pairs) for choose in (min, max))
    if least <= _WORTH < most and most > _NOISE * least:
        return None
    flash, plain = zip(*((pair.flash, pair.plain) for pair in pairs), strict=True)
    return AttentionTimes(
        flash=ReadingTimes(*map(min, zip(*flash, strict=True))),
        plain=ReadingTimes(*map(min, zip(*plain, strict=True))),
    )


def known_times(shape: ModelShape, machine: Machine) -> AttentionTimes | None:
    """What was measured of models of this shape here; how they are quantized does not matter."""
    with suppress(ValueError, TypeError):
        flash, plain = json.loads(_REMEMBERED.get(_key(shape, machine)) or "")
        return AttentionTimes(
            flash=ReadingTimes(*map(float, flash)), plain=ReadingTimes(*map(float, plain))
        )
    return None


def chosen_attention(shape: ModelShape, machine: Machine, options: EngineOptions) -> bool:
    """Whether a model of this shape is loaded with flash attention here, as far as is known."""
    is_open = options.flash_attention is None and options.kv_type == "f16"
    times = known_times(shape, machine) if is_open else None
    return options.has_flash_attention if times is None else times.prefers_flash


def keep_times(shape: ModelShape, machine: Machine, times: AttentionTimes) -> None:
    """Remember what was measured."""
    _REMEMBERED.put(_key(shape, machine), json.dumps([times.flash, times.plain]))


def _key(shape: ModelShape, machine: Machine) -> str:
    return f"{_REVISION} {machine.key} {json.dumps(asdict(shape))}"
