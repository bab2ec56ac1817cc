"""Pieces of text that a model wrote, by length and hash: whether one still stands somewhere.

A page looks, too, with every key that is typed: `labextension/src/dom/pieces.ts` counts alike.
"""

from __future__ import annotations

from itertools import islice

_MOST = 24  # of a cell
_LEAST = 4  # characters: shorter lines stand in any code
_MAX_SOURCE = 40_000  # characters that are looked through
_RADIX, _MODULUS = 31, 1 << 32


def pieces_of(body: str, before: str = "") -> str:
    """The longest lines of a cell that did not stand in it before, as pieces."""
    old = {line.strip() for line in before.splitlines()}
    new = dict.fromkeys(line.strip() for line in body.splitlines())
    lines = sorted((line for line in new if line and line not in old), key=len, reverse=True)
    long = [line for line in lines if len(line) >= _LEAST] or lines
    return " ".join(f"{len(line)}:{_hash(line):x}" for line in long[:_MOST])


def stands_in(pieces: str, source: str) -> bool:
    """Whether one of some pieces stands in a source; of a very long one nobody can tell."""
    return len(source) > _MAX_SOURCE or any(
        _stands(piece, source) for piece in islice(pieces.split(), _MOST)
    )


def _stands(piece: str, source: str) -> bool:
    size, _, wanted = piece.partition(":")
    length = int(size) if size.isdecimal() and len(size) <= len(str(_MAX_SOURCE)) else 0
    if not 0 < length <= len(source):
        return False
    value, first = _hash(source[:length]), pow(_RADIX, length, _MODULUS)
    for gone, new in zip(source, source[length:], strict=False):
        if f"{value:x}" == wanted:
            return True
        value = (value * _RADIX + ord(new) - ord(gone) * first) % _MODULUS
    return f"{value:x}" == wanted


def _hash(text: str) -> int:
    value = 0
    for character in text:
        value = (value * _RADIX + ord(character)) % _MODULUS
    return value
