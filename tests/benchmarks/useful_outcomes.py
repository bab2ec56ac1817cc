"""What came of one question of `useful_code.py`, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a model wrote at once: its text, and when it ended, in seconds from the question on.

    A draft that was stopped counts as far as it was written.
    """

    text: str
    num_tokens: int
    ended_s: float
    is_right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one contestant made of one item of one part.

    `group` is what the tables tell apart: the library, or whether there is a bug. `marks` say what
    else is counted of the part.
    """

    part: str
    name: str
    group: str
    contestant: str
    text: str
    took_s: float
    drafts: tuple[Draft, ...] = ()
    runs: bool = False
    is_right: bool = False
    error: str = ""
    marks: dict[str, bool] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is the outcome of."""
        return self.part, self.name, self.contestant

    @property
    def num_tokens(self) -> int:
        """The tokens of all drafts, the dropped ones too."""
        return sum(draft.num_tokens for draft in self.drafts)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        """An outcome as `asdict` wrote it."""
        drafts = tuple(Draft(**draft) for draft in raw["drafts"])
        return cls(**{**raw, "drafts": drafts})
