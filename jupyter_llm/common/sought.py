"""Searches texts for words and cuts out the excerpt that contains them."""

from __future__ import annotations

import re
import unicodedata

from jupyter_llm.common.controls import one_line

_BEFORE, _AFTER = 40, 80  # characters of an excerpt


def piece_of(text: str, sought: str) -> dict[str, str] | None:
    """Return the excerpt of a text that contains all words of `sought`, regardless of case.

    The result has the match (`words`) and the text `before` and `after` it. The match is all words
    side by side, or else the first word. None if a word is missing.
    """
    plain_text, words = _plain(text), [re.escape(word) for word in _plain(sought).split()]
    if not words or not all(re.search(word, plain_text, re.IGNORECASE) for word in words):
        return None
    patterns = (r"\s".join(words), words[0])
    first = next(filter(None, (re.search(one, plain_text, re.IGNORECASE) for one in patterns)))
    before, after = plain_text[: first.start()], plain_text[first.end() :]
    return {
        "before": before if len(before) <= _BEFORE else f"…{before[-_BEFORE:]}",
        "words": first[0],
        "after": after if len(after) <= _AFTER else f"{after[:_AFTER]}…",
    }


def _plain(text: str) -> str:
    """Return a text for comparison: normalized, and without invisible characters."""
    return one_line(unicodedata.normalize("NFC", text))
