"""What variables held, in a few words each, within a room and a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST_S = 0.01


class Summarize(Protocol):
    """Says in a few words what a variable holds, hides secrets and never raises."""

    def __call__(self, name: str, value: object, *, max_chars: int, deadline_s: float) -> str:
        """Return at most `max_chars` characters within about `deadline_s` seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be said of the variables of one error, and how long that may take."""

    max_chars: int = 3000
    max_chars_each: int = 600
    deadline_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a frame and what it held when the error was raised."""

    name: str
    summary: str


class Teller:
    """Summarizes the variables of frames until room or time are used up."""

    def __init__(self, summarize: Summarize, limits: Limits) -> None:
        self._summarize = summarize
        self._max_chars_each = limits.max_chars_each
        self._room = limits.max_chars
        self._end_s = time.monotonic() + limits.deadline_s

    def tell(self, values: Mapping[str, object]) -> tuple[tuple[Variable, ...], int]:
        """Return the variables there is room and time for, and how many more there are."""
        told = []
        for name, value in values.items():
            max_chars = min(self._max_chars_each, self._room)
            if time.monotonic() >= self._end_s or max_chars <= len(name):
                break
            summary = self.summary(name, value, max_chars)
            self._room -= len(summary)
            told.append(Variable(name, summary))
        return tuple(told), len(values) - len(told)

    def summary(self, name: str, value: object, max_chars: int) -> str:
        """Return the summary of one value, whatever it does."""
        left_s = max(self._end_s - time.monotonic(), _LEAST_S)
        try:
            return self._summarize(name, value, max_chars=max_chars, deadline_s=left_s)
        except Exception:  # noqa: BLE001  the user's objects may do anything, and /fix goes on
            return f"{name}: cannot be summarized"
