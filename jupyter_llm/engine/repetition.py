"""Detects that a text has begun to repeat itself: small models fall into endless loops.

A loop is an end of a text that is one piece several times. Tables of zeros, rulers and rows of
empty cells are such ends, too. They have few letters, while a model's loop consists of words. So
the required length depends on the number of letters in the piece.
"""

from __future__ import annotations

from collections.abc import Iterator

_PROBE = 24  # characters at the end that also occur one piece earlier
_NUM_TIMES = 4
# Letters in the piece, and required bytes of the end: forty short words; a board of "None", or an
# empty table in HTML; an image of zeros.
_LEAST_BYTES = ((7, 600), (1, 1500), (0, 3000))


def loop_start(text: str) -> int | None:
    """Return the start of the loop at a text's end, after its first piece.

    None if there is no loop.
    """
    if len(text.encode("utf-8", "replace")) < _LEAST_BYTES[0][1]:
        return None
    basic = 0
    for period in _periods(text):
        if basic and period % basic == 0:
            continue  # the same loop with a larger piece
        start = _start(text, period)
        if len(text) - start < _NUM_TIMES * period:
            continue
        basic = period
        num_letters = len({letter for letter in text[-period:].lower() if letter.isalpha()})
        least = next(size for letters, size in _LEAST_BYTES if num_letters >= letters)
        if len(text[start:].encode("utf-8", "replace")) >= least:
            return start + period
    return None


def _periods(text: str) -> Iterator[int]:
    """Yield the distances at which the end of a text occurs before, within reach of a loop."""
    probe = text[-_PROBE:]
    first, end = len(text) - _PROBE - len(text) // _NUM_TIMES, len(text) - 1
    while (place := text.rfind(probe, first, end)) >= 0:
        yield len(text) - _PROBE - place
        end = place + _PROBE - 1


def _start(text: str, period: int) -> int:
    """Return the start of a text's end that consists of one piece."""
    start = len(text) - period
    piece = text[start:]
    while start >= period and text[start - period : start] == piece:
        start -= period
    return start
