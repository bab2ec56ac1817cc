"""The default sampling of a model: its makers' recommendation, or ours."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from jupyter_llm.engine.options import DRAWN, SamplingParams
from jupyter_llm.errors import OptionError

_SMALL = 1_000_000_000  # parameters; models below are small

# A small model is mostly right where it is sure, and code has to be right; elsewhere variety is
# welcome.
_LOW, _USUAL = 0.2, 0.7
_OURS = SamplingParams(temperature=_USUAL, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """The default sampling of a model, and the options that its own file recommends.

    `is_small`: it has less than 1B parameters, if that is known.
    """

    params: SamplingParams = _OURS
    by_file: frozenset[str] = frozenset()
    is_small: bool = False

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, float]], num_parameters: int) -> Recommended:
        """Return a file's recommendation, with our values for missing and invalid ones."""
        is_small = 0 < num_parameters < _SMALL
        params = replace(_OURS, temperature=_LOW) if is_small else _OURS
        by_file = set()
        for name, value in pairs:
            option: dict[str, Any] = {name: value}
            with suppress(OptionError):
                params = replace(params, **option)
                by_file.add(name)
        return cls(params=params, by_file=frozenset(by_file), is_small=is_small)

    @property
    def for_code(self) -> SamplingParams:
        """Return the sampling for code."""
        if "temperature" in self.by_file:
            return self.params
        return replace(self.params, temperature=_LOW)

    def described(self, asked: SamplingParams) -> str:
        """Return the sampling of a prompt in words, with the origin of others' values."""
        drawn = asked.filled(self.params)
        origins = dict.fromkeys(self.by_file, " (by the model file)")
        origins |= {name: " (set here)" for name in DRAWN if getattr(asked, name) is not None}
        return ", ".join(
            f"{name} {getattr(drawn, name):g}{origins.get(name, '')}" for name in DRAWN
        )
