"""Fingerprints of the lines that a model wrote, to find whether they are still in a cell.

The page computes them, too, at every keystroke: `labextension/src/dom/pieces.ts` uses the same
rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST = 24  # most fingerprints of a cell
_LEAST = 12  # characters: shorter lines occur in any code
_AS_ONE = str.maketrans("'", '"', " \t\r")  # characters that a formatter changes
_PIECE = re.compile("([0-9]{1,6}):[0-9a-f]{1,8}")  # a length, and the hash of that many characters


def pieces_of(body: str, before: str = "") -> str:
    """Return fingerprints of a cell's new lines; of many lines, a sample."""
    lines = {piece: line for line in _lines(body) for piece in _beginnings(line, {len(line)})}
    old = _present(lines, before)
    new = [piece for piece in lines if piece not in old]
    pieces = [piece for piece in new if len(lines[piece]) >= _LEAST] or new
    count = min(len(pieces), _MOST)
    return " ".join(pieces[((at + 1) * len(pieces) - 1) // count] for at in range(count))


def are_in(pieces: str, source: str) -> bool:
    """Whether a line of a source begins with one of the fingerprinted texts."""
    return bool(_present(pieces.split(None, _MOST)[:_MOST], source))


def _present(pieces: Iterable[str], source: str) -> set[str]:
    """Return the fingerprints with which lines begin."""
    lengths_by_piece = {
        piece: int(match[1]) for piece in pieces if (match := _PIECE.fullmatch(piece))
    }
    lengths = set(lengths_by_piece.values())
    lines = _lines(source) if lengths_by_piece else []
    return {
        piece for line in lines for piece in _beginnings(line, lengths) if piece in lengths_by_piece
    }


def _lines(text: str) -> list[str]:
    return [line for line in text.translate(_AS_ONE).split("\n") if line]


def _beginnings(line: str, lengths: set[int]) -> Iterator[str]:
    """Yield the fingerprints of a line's beginnings with these lengths."""
    value = 0x811C9DC5  # FNV-1a over characters
    for length, character in enumerate(line[: max(lengths)], 1):
        value = (value ^ ord(character)) * 0x01000193 % (1 << 32)
        if length in lengths:
            yield f"{length}:{value:x}"
