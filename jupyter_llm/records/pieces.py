"""Fingerprints of the lines that a model wrote: whether a line still begins with one of them.

A page looks, too, with every key that is typed: `labextension/src/dom/pieces.ts` counts alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST = 24  # of a cell
_LEAST = 12  # characters: shorter lines stand in any code
_AS_ONE = str.maketrans("'", '"', " \t\r")  # what a formatter changes
_PIECE = re.compile("([0-9]{1,6}):[0-9a-f]{1,8}")  # a length, and the hash of what is as long


def pieces_of(body: str, before: str = "") -> str:
    """The fingerprints of a cell's lines that did not stand in it before; of many, of some."""
    lines = {piece: line for line in _lines(body) for piece in _beginnings(line, {len(line)})}
    old = _found(lines, before)
    new = [piece for piece in lines if piece not in old]
    pieces = [piece for piece in new if len(lines[piece]) >= _LEAST] or new
    count = min(len(pieces), _MOST)
    return " ".join(pieces[((at + 1) * len(pieces) - 1) // count] for at in range(count))


def stands_in(pieces: str, source: str) -> bool:
    """Whether a line of a source begins with one of some pieces."""
    return bool(_found(pieces.split(None, _MOST)[:_MOST], source))


def _found(pieces: Iterable[str], source: str) -> set[str]:
    """Those of some pieces with which lines begin."""
    known = {piece: int(found[1]) for piece in pieces if (found := _PIECE.fullmatch(piece))}
    lengths = set(known.values())
    lines = _lines(source) if known else []
    return {piece for line in lines for piece in _beginnings(line, lengths) if piece in known}


def _lines(text: str) -> list[str]:
    return [line for line in text.translate(_AS_ONE).split("\n") if line]


def _beginnings(line: str, lengths: set[int]) -> Iterator[str]:
    """The fingerprints of the beginnings of a line that are so long."""
    value = 0x811C9DC5  # FNV-1a, of whole characters
    for length, character in enumerate(line[: max(lengths)], 1):
        value = (value ^ ord(character)) * 0x01000193 % (1 << 32)
        if length in lengths:
            yield f"{length}:{value:x}"
