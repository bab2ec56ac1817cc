"""Words that are looked for in texts, and the piece of a text in which they stand."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from jupyter_llm.common.controls import one_line

_BEFORE, _AFTER = 40, 80  # characters of a piece


class Piece(NamedTuple):
    """Words as they stand in a text, and what is around them."""

    before: str
    words: str
    after: str


class Sought:
    """The words of a text that are looked for in others: all of them, capitals do not matter."""

    def __init__(self, text: str) -> None:
        words = [re.escape(word) for word in _plain(text).split()]
        self._each = [re.compile(word, re.IGNORECASE) for word in words]
        self._side_by_side = re.compile(r"\s".join(words), re.IGNORECASE)

    def piece_of(self, text: str) -> Piece | None:
        """The piece where they stand side by side, or else the first of them; None: not all do."""
        said = _plain(text)
        if not self._each or not all(word.search(said) for word in self._each):
            return None
        first = self._side_by_side.search(said) or self._each[0].search(said)
        assert first is not None
        before, after = said[: first.start()], said[first.end() :]
        return Piece(
            before=before if len(before) <= _BEFORE else f"…{before[-_BEFORE:]}",
            words=first[0],
            after=after if len(after) <= _AFTER else f"{after[:_AFTER]}…",
        )


def _plain(text: str) -> str:
    """A text as it is compared: what looks alike is alike, and nothing in it is hidden."""
    return one_line(unicodedata.normalize("NFC", text))
