"""Words that are looked for in texts, and the piece of a text in which they stand."""

from __future__ import annotations

import re
import unicodedata

from jupyter_llm.common.controls import one_line

_BEFORE, _AFTER = 40, 80  # characters of a piece


def piece_of(text: str, sought: str) -> dict[str, str] | None:
    """The piece of a text where all words that are sought stand, capitals do not matter.

    These are its `words`, with what is `before` and `after`: side by side, or else the first of
    them. None: not all are there.
    """
    said, words = _plain(text), [re.escape(word) for word in _plain(sought).split()]
    if not words or not all(re.search(word, said, re.IGNORECASE) for word in words):
        return None
    patterns = (r"\s".join(words), words[0])
    first = next(filter(None, (re.search(one, said, re.IGNORECASE) for one in patterns)))
    before, after = said[: first.start()], said[first.end() :]
    return {
        "before": before if len(before) <= _BEFORE else f"…{before[-_BEFORE:]}",
        "words": first[0],
        "after": after if len(after) <= _AFTER else f"{after[:_AFTER]}…",
    }


def _plain(text: str) -> str:
    """A text as it is compared: what looks alike is alike, and nothing in it is hidden."""
    return one_line(unicodedata.normalize("NFC", text))
