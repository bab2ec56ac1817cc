"""The choice of flash attention on this machine, from measured times.

On some processors llama.cpp's flash attention reads a short prompt behind a long one at half the
speed, on others it reads long prompts a quarter faster. So both are measured when a model of a new
shape is loaded (`engine/local/trials/flash_attention.py`), and the times are stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NamedTuple

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.models.inspect import ModelShape
from jupyter_llm.models.machine import Machine

FOLLOW_UP_TOKENS = 16
"""Tokens of a short prompt after a long one."""

PROMPT_TOKENS = 1536
"""Tokens of a long prompt, also before a short one."""

# Short prompts for each long one in a notebook: a long one is read again only after a restart, or
# when the oldest part of the conversation is removed.
_FOLLOW_UPS = 10
_WORTH = 1.05  # flash attention is the default, unless it is slower by more than this
_NOISE = 1.1  # pairs whose ratios differ by less agree

_REMEMBERED = Remembered("attention")
_REVISION = 2  # of the measurement; times of another revision are not used


class ReadingTimes(NamedTuple):
    """The seconds to read a short prompt behind a long one, and a long one."""

    follow_up_s: float
    prompt_s: float

    @property
    def cost_s(self) -> float:
        """Return the seconds for one long prompt and the short ones after it, for comparison."""
        return _FOLLOW_UPS * self.follow_up_s + self.prompt_s


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionTimes:
    """Times with flash attention and without."""

    flash: ReadingTimes
    plain: ReadingTimes

    @property
    def prefers_flash(self) -> bool:
        """Whether flash attention is faster, or about as fast."""
        return self.ratio <= _WORTH

    @property
    def ratio(self) -> float:
        """Return the time with flash attention as a multiple of the time without."""
        return self.flash.cost_s / self.plain.cost_s

    def __str__(self) -> str:
        return (
            f"a short prompt takes {self.flash.follow_up_s:.2g} s with it and "
            f"{self.plain.follow_up_s:.2g} s without, one of {PROMPT_TOKENS:,} tokens "
            f"{self.flash.prompt_s:.2g} and {self.plain.prompt_s:.2g} s, as measured here"
        )


def judged(pairs: Sequence[AttentionTimes]) -> AttentionTimes | None:
    """Return the fastest times, if all pairs agree on which attention is faster.

    None if they disagree, as on a busy machine: a wrong choice would be stored for long.
    """
    least, most = (choose(pair.ratio for pair in pairs) for choose in (min, max))
    if least <= _WORTH < most and most > _NOISE * least:
        return None
    flash, plain = zip(*((pair.flash, pair.plain) for pair in pairs), strict=True)
    return AttentionTimes(
        flash=ReadingTimes(*map(min, zip(*flash, strict=True))),
        plain=ReadingTimes(*map(min, zip(*plain, strict=True))),
    )


def stored_times(shape: ModelShape, machine: Machine) -> AttentionTimes | None:
    """Return the stored times of models of this shape here; the quantization does not matter."""
    with suppress(ValueError, TypeError):
        flash, plain = json.loads(_REMEMBERED.get(_key(shape, machine)) or "")
        return AttentionTimes(
            flash=ReadingTimes(*map(float, flash)), plain=ReadingTimes(*map(float, plain))
        )
    return None


def chosen_attention(shape: ModelShape, machine: Machine, options: EngineOptions) -> bool:
    """Whether to load a model of this shape with flash attention here."""
    is_open = options.flash_attention is None and options.kv_type == "f16"
    times = stored_times(shape, machine) if is_open else None
    return options.has_flash_attention if times is None else times.prefers_flash


def keep_times(shape: ModelShape, machine: Machine, times: AttentionTimes) -> None:
    """Store times."""
    _REMEMBERED.put(_key(shape, machine), json.dumps([times.flash, times.plain]))


def _key(shape: ModelShape, machine: Machine) -> str:
    return f"{_REVISION} {machine.key} {json.dumps(asdict(shape))}"
