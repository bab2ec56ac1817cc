"""Cuts long texts before special tokens, where the tokens of the pieces are those of the whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_SHORTEST = 1000  # characters of a piece: each costs a call


def safe_marks(texts: Collection[str], stripping: Collection[str]) -> re.Pattern[str] | None:
    """A pattern of those special tokens before which any text may be cut; None without any.

    Left out are tokens whose start may be inside another special token or that another may begin
    in, and those in `stripping`, which remove the blanks before them.
    """
    firsts, others = {text[:1] for text in texts}, {sign for text in texts for sign in text[1:]}
    safe = [
        t
        for t in sorted({*texts} - {*stripping, ""})
        if t[0] not in others and not firsts & {*t[1:]}
    ]
    return re.compile("|".join(map(re.escape, safe))) if safe else None


def cut_before(text: str, marks: re.Pattern[str] | None) -> Iterator[str]:
    """Yield the pieces of a text, cut before marks."""
    begin = 0
    for mark in marks.finditer(text) if marks else ():
        if mark.start() - begin >= _SHORTEST:
            yield text[begin : mark.start()]
            begin = mark.start()
    yield text[begin:]
