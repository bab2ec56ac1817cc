"""The system texts of a chat: which one holds where. Not for several threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


@dataclass(frozen=True, slots=True)
class _Text:
    """A system text that holds from a moment of the kernel on."""

    tick: int
    text: str | None
    is_kept: bool = True


@dataclass(slots=True)
class SystemTexts:
    """What was said with `-s` or in a cell holds for what stands below it; `first` for all above.

    So a cell that runs again finds the text that it found before. What an earlier kernel kept is
    `restored`: it holds for whoever goes on from its turns.
    """

    first: str | None = None
    restored: str | None = None
    _texts: dict[Hashable, _Text] = field(default_factory=dict)

    def begin(self, text: str | None, *, is_kept: bool = True) -> None:
        """Let a text hold everywhere."""
        self.restored = None
        self._texts = {None: _Text(0, text, is_kept)}

    def put(self, place: Hashable, text: str | None, tick: int, *, is_kept: bool = True) -> None:
        """Let a text hold from a place on; a place keeps the moment it had first."""
        known = self._texts.get(place)
        self._texts[place] = _Text(known.tick if known else tick, text, is_kept)

    def drop(self, place: Hashable) -> None:
        """Let nothing hold from a place on but what held there before."""
        self._texts.pop(place, None)

    def resume(self) -> None:
        """Let the text of an earlier kernel hold like one of this."""
        if self.restored is not None:
            self.first = self.restored

    def at(self, tick: int) -> str | None:
        """The text that holds at a moment."""
        above = (text for text in list(self._texts.values()) if text.tick <= tick)
        return _newest(above, self.first)

    @property
    def latest(self) -> str | None:
        """The text that holds at the end."""
        return _newest(list(self._texts.values()), self._at_the_start)

    def is_kept(self, text: str | None) -> bool:
        """Whether a text may be written to the disk."""
        return not any(one.text == text and not one.is_kept for one in list(self._texts.values()))

    @property
    def kept(self) -> str | None:
        """The latest text that may be written to the disk."""
        kept = (text for text in list(self._texts.values()) if text.is_kept)
        return _newest(kept, self._at_the_start)

    @property
    def _at_the_start(self) -> str | None:
        return self.first if self.restored is None else self.restored


def _newest(texts: Iterable[_Text], otherwise: str | None) -> str | None:
    newest = max(texts, key=lambda text: text.tick, default=None)
    return otherwise if newest is None else newest.text
