"""Fingerprints of the lines that a model wrote: whether one of them still stands somewhere.

A page looks, too, with every key that is typed: `labextension/src/dom/pieces.ts` counts alike.
"""

from __future__ import annotations

_MOST = 24  # of a cell
_LEAST = 12  # characters: shorter lines stand in any code
_AS_ONE = str.maketrans("'", '"', " \t\r")  # what a formatter changes


def pieces_of(body: str, before: str = "") -> str:
    """The fingerprints of a cell's lines that did not stand in it before; of many, of some."""
    old = set(_lines(before))
    new = [line for line in dict.fromkeys(_lines(body)) if line not in old]
    lines = [line for line in new if len(line) >= _LEAST] or new
    count = min(len(lines), _MOST)
    spread = (((at + 1) * len(lines) - 1) // count for at in range(count))
    return " ".join(_fingerprint(lines[at]) for at in spread)


def fingerprints(source: str) -> frozenset[str]:
    """Those of all lines, to look pieces up in."""
    return frozenset(map(_fingerprint, _lines(source)))


def stands_in(pieces: str, known: frozenset[str]) -> bool:
    """Whether one of some pieces is known."""
    return not known.isdisjoint(pieces.split(None, _MOST)[:_MOST])


def _lines(text: str) -> list[str]:
    return [line for line in text.translate(_AS_ONE).split("\n") if line]


def _fingerprint(line: str) -> str:
    value = 0x811C9DC5  # FNV-1a, of whole characters
    for character in line:
        value = (value ^ ord(character)) * 0x01000193 % (1 << 32)
    return f"{value:x}"
