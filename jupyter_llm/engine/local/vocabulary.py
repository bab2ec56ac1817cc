"""The tokens of a model by their bytes: which may come where only certain texts may."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np


class _Level(NamedTuple):
    """The branches of the tree at a depth, in order, and the places of the tokens on each.

    A branch is named by the first place of the tokens that begin alike up to the depth, and by the
    next byte.
    """

    branches: np.ndarray
    firsts: np.ndarray
    ends: np.ndarray


class Vocabulary:
    """A model's tokens in the order of their bytes, which are a tree of what they begin with.

    `pieces` are the bytes of each token. Those without any are left out: nobody could tell from a
    text that they came. `tokenize` gives the tokens that a text is usually written with.
    """

    def __init__(self, pieces: Sequence[bytes], tokenize: Callable[[str], list[int]]) -> None:
        self.pieces = pieces
        self._tokenize = tokenize
        order = sorted(
            (token for token, piece in enumerate(pieces) if piece), key=pieces.__getitem__
        )
        self._ordered = [pieces[token] for token in order]
        self._token_ids = np.array(order, np.int64)
        self._lengths = np.array([len(piece) for piece in self._ordered], np.int64)
        self.single_bytes = frozenset(piece[0] for piece in self._ordered if len(piece) == 1)
        # How many tokens have the same bytes as one and come from it on.
        self._num_alike = np.array(
            [left for _, alike in groupby(self._ordered) for left in _countdown(alike)], np.int64
        )
        self._levels = list(self._branch_out())

    def _branch_out(self) -> Iterator[_Level]:
        data = np.frombuffer(b"".join(self._ordered), np.uint8)
        starts = np.cumsum(self._lengths) - self._lengths
        first = np.zeros(len(self._ordered), np.int64)
        for depth in range(int(self._lengths.max(initial=0))):
            longer = np.flatnonzero(self._lengths > depth)
            branches = _branch(first[longer], data[starts[longer] + depth])
            is_first = np.append(True, branches[1:] != branches[:-1])
            firsts, lasts = longer[is_first], longer[np.append(is_first[1:], True)]
            first[longer] = firsts[np.cumsum(is_first) - 1]
            yield _Level(branches[is_first], firsts, lasts + 1)

    def fitting(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The tokens that begin one of some texts, or that one of them begins, some maybe twice.

        The texts are the bytes `data[start:end]`. They are not empty, and none begins another.
        """
        first = np.zeros(len(starts), np.int64)
        found = []
        for depth, level in enumerate(self._levels):
            wanted = _branch(first, data[starts + depth])
            branch = np.minimum(np.searchsorted(level.branches, wanted), len(level.branches) - 1)
            is_there = level.branches[branch] == wanted
            branch, starts, ends = branch[is_there], starts[is_there], ends[is_there]
            if not len(starts):
                break
            first, end = level.firsts[branch], level.ends[branch]
            is_over = starts + depth + 1 == ends  # whatever follows the text may come
            is_token = self._lengths[first] == depth + 1
            end = np.where(is_over, end, first + np.where(is_token, self._num_alike[first], 0))
            found.append((first, end))
            starts, ends, first = starts[~is_over], ends[~is_over], first[~is_over]
        fitting: np.ndarray = self._token_ids[_places(found)]
        return fitting

    def certain(self, text: bytes) -> list[int]:
        """The tokens that a text is written with whatever follows it.

        Those at its end are left out that might be one with what follows, or have another share.
        """
        places = range(max(0, len(text) - len(self._levels)), len(text))
        end = next((place for place in places if self._goes_on(text[place:])), len(text))
        token_ids: list[int] = []
        place = 0
        for token in self._tokenize(text.decode("utf-8", "ignore")):
            piece = self.pieces[token]
            if not piece or not text.startswith(piece, place) or place + len(piece) > end:
                break
            token_ids.append(token)
            place += len(piece)
        return token_ids

    def _goes_on(self, text: bytes) -> bool:
        """Tell whether a token begins with a text and is longer."""
        place = bisect_right(self._ordered, text)
        return place < len(self._ordered) and self._ordered[place].startswith(text)


def _branch(first: np.ndarray, byte: np.ndarray) -> np.ndarray:
    branch: np.ndarray = first << 8 | byte
    return branch


def _countdown(alike: Iterable[bytes]) -> Iterator[int]:
    return reversed(range(1, 1 + sum(1 for _ in alike)))


def _places(ranges: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """All places of ranges."""
    firsts, ends = (np.concatenate(side) for side in zip(*ranges, strict=True))
    sizes = ends - firsts
    places: np.ndarray = np.arange(sizes.sum())
    places += np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes)
    return places
