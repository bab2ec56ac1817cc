"""The tokens of a model: which may begin certain texts, and before which a text may be cut."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence

_SHORTEST = 1000  # characters of a piece of a text: each costs a call


class Vocabulary:
    """A model's tokens in the order of their bytes.

    `pieces` are the bytes of each token. Tokens without bytes are left out, since they leave no
    trace in a text. `tokenize` returns the usual tokens of a text.
    """

    def __init__(self, pieces: Sequence[bytes], tokenize: Callable[[str], list[int]]) -> None:
        self.pieces = pieces
        self.tokenize = tokenize
        self._token_ids = sorted(
            (token for token, piece in enumerate(pieces) if piece), key=pieces.__getitem__
        )
        self._ordered = [pieces[token] for token in self._token_ids]
        # The first place of each; several tokens may have the same bytes.
        self._places = {piece: place for place, piece in reversed(list(enumerate(self._ordered)))}
        self._longest = max(map(len, self._ordered), default=0)
        self.single_bytes = frozenset(piece[0] for piece in self._ordered if len(piece) == 1)

    def fitting(self, texts: Sequence[bytes]) -> list[int]:
        """The tokens that begin one of some texts, or that one of them begins.

        The texts are not empty, and none begins another.
        """
        sizes = range(1, self._longest + 1)
        starts = {text[:size] for text in texts for size in sizes[: len(text) - 1]}
        found = [token for text in texts for token in self._from(text)]
        for start in starts:
            place = self._places.get(start, len(self._ordered))
            while place < len(self._ordered) and self._ordered[place] == start:
                found.append(self._token_ids[place])
                place += 1
        return found

    def certain(self, text: bytes) -> list[int]:
        """Return the tokens that begin a text whatever follows it.

        Tokens at its end are left out if the following text could change them.
        """
        places = range(max(0, len(text) - self._longest), len(text))
        end = next((place for place in places if self._goes_on(text[place:])), len(text))
        token_ids: list[int] = []
        place = 0
        for token in self.tokenize(text.decode("utf-8", "ignore")):
            piece = self.pieces[token]
            if not piece or not text.startswith(piece, place) or place + len(piece) > end:
                break
            token_ids.append(token)
            place += len(piece)
        return token_ids

    def _from(self, text: bytes) -> list[int]:
        """The tokens that begin with a text, in order."""
        size = len(text)
        first = bisect_left(self._ordered, text)
        end = bisect_right(self._ordered, text, first, key=lambda piece: piece[:size])
        return self._token_ids[first:end]

    def _goes_on(self, text: bytes) -> bool:
        """Tell whether a token begins with a text and is longer."""
        return any(len(self.pieces[token]) > len(text) for token in self._from(text)[-1:])


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
