"""When a text has begun to repeat itself: small models fall into loops and find no way out.

A loop is an end of a text that is one piece several times over. Tables of zeros, rulers and rows of
empty cells are so, too. They have few letters, where what a model says over and over is words; so
how long the end must be depends on how many letters the piece has.
"""

from __future__ import annotations

from collections.abc import Iterator

_PROBE = 24  # characters at the end, which stand one piece earlier too
_NUM_TIMES = 4
# Letters in the piece, and bytes of the end: words about forty times a short one, a board of "None"
# or an empty table in HTML, an image of zeros.
_LEAST_BYTES = ((7, 600), (1, 1500), (0, 3000))


def loop_start(text: str) -> int | None:
    """Where the loop begins that a text ends with, after the piece has stood there once.

    None if the text does not end with one.
    """
    if len(text.encode("utf-8", "replace")) < _LEAST_BYTES[0][1]:
        return None
    basic = 0
    for period in _periods(text):
        if basic and period % basic == 0:
            continue  # the same loop, in larger pieces
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
    """Yield how far before its end the text is as at its end, as far as a loop may reach."""
    probe = text[-_PROBE:]
    first, end = len(text) - _PROBE - len(text) // _NUM_TIMES, len(text) - 1
    while (place := text.rfind(probe, first, end)) >= 0:
        yield len(text) - _PROBE - place
        end = place + _PROBE - 1


def _start(text: str, period: int) -> int:
    """Where the end of a text begins that is one piece over and over."""
    start = len(text) - period
    piece = text[start:]
    while start >= period and text[start - period : start] == piece:
        start -= period
    return start
