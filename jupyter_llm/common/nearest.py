"""The word that was probably meant."""

from __future__ import annotations

from collections.abc import Sequence


def nearest(word: str, words: Sequence[str], otherwise: str) -> str:
    """A hint that names the word which is most like the one given, or `otherwise`."""
    import difflib  # only for mistakes

    close = difflib.get_close_matches(word, words, n=1)
    return f"Did you mean {close[0]}?" if close else otherwise
