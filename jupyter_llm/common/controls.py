"""Characters that command a terminal or turn the direction of writing, taken out of texts."""

from __future__ import annotations

import re

# Escape sequences; then control characters but for tab and line feed, halves of characters, and
# what turns the direction of writing.
_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def plain(text: str) -> str:
    """A text without what commands a terminal: colours, bells, cursor movements."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Such a text on one line, whatever blanks and line ends it has as single spaces."""
    return " ".join(_CONTROLS.sub(" ", text).split())
