"""The system texts of a chat, each from a moment on. Not thread-safe."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class SystemTexts:
    """A text of `-s`, or one set in a cell, holds below its cell; `first` holds above all.

    So a cell that runs again gets the same text. `restored`: the text of an earlier kernel, which
    holds if somebody continues its turns.
    """

    first: str | None = None
    restored: str | None = None
    # By the place it was said in: since when it holds, the text, and whether it may be kept.
    _texts: dict[Hashable, tuple[float, str | None, bool]] = field(default_factory=dict)

    def begin(self, text: str | None, *, is_kept: bool = True) -> None:
        """Set a text that holds everywhere."""
        self.restored = None
        self._texts = {None: (0, text, is_kept)}

    def put(self, place: Hashable, text: str | None, tick: int, *, is_kept: bool = True) -> None:
        """Set a text from a place on; a place keeps its first moment."""
        since = self._texts[place][0] if place in self._texts else tick
        self._texts[place] = (since, text, is_kept)

    def drop(self, place: Hashable) -> None:
        """Remove the text of a place."""
        self._texts.pop(place, None)

    def resume(self) -> None:
        """Let the text of an earlier kernel hold."""
        if self.restored is not None:
            self.first = self.restored

    def at(self, tick: float) -> str | None:
        """Return the text that holds at a moment."""
        return self._newest(self.first, until=tick)

    @property
    def latest(self) -> str | None:
        """The text that holds at the end."""
        return self._newest(self.first if self.restored is None else self.restored)

    @property
    def kept(self) -> str | None:
        """The latest text that may be written to the disk."""
        otherwise = self.first if self.restored is None else self.restored
        return self._newest(otherwise, is_kept_only=True)

    def is_kept(self, text: str | None) -> bool:
        """Whether a text may be written to the disk."""
        return all(kept for _, one, kept in list(self._texts.values()) if one == text)

    def _newest(
        self, otherwise: str | None, *, until: float = math.inf, is_kept_only: bool = False
    ) -> str | None:
        above = [
            (since, text)
            for since, text, kept in list(self._texts.values())
            if since <= until and (kept or not is_kept_only)
        ]
        return max(above, key=lambda one: one[0])[1] if above else otherwise
