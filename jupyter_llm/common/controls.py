"""Removes characters that control a terminal, change the writing direction or are invisible."""

from __future__ import annotations

import re

# Emoji and other symbols, and letters of scripts in which joiners have a meaning.
_SYMBOLS = r"\xa9\xae\u203c\u2049\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_JOINED = rf"[{_SYMBOLS}\ufe0f\u0600-\u0dff\u1000-\u109f\u1780-\u18af]"

# Escape sequences; then the characters that `dom/characters.ts` of the front end makes visible.
_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
    r"|[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b"
    r"\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    rf"|(?<![{_SYMBOLS}])[\ufe0e\ufe0f](?!\u20e3)"
    rf"|(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})"
)


def plain(text: str) -> str:
    """Return a text without control (colour, bell, cursor) and invisible characters."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Return a plain text on one line; each run of blanks and line ends becomes one space."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def visible(text: str) -> str:
    """Return a text with control and invisible characters as `[U+202E]`, as the page shows them."""

    def numbered(match: re.Match[str]) -> str:
        return "".join(c if " " <= c <= "~" else f"[U+{ord(c):04X}]" for c in match[0])

    return _CONTROLS.sub(numbered, text)
