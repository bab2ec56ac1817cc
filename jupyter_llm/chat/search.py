"""Searches texts and the turns of chats for words."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.chat.question import asked_in
from jupyter_llm.common.clipping import shorten
from jupyter_llm.common.controls import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_llm.chat.store import SavedChat

_BEFORE, _AFTER = 40, 80  # characters of an excerpt


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTurn:
    """A turn that has the words: the first passage with them, and the text around it.

    `number`: that of the turn. `place`: its number in `/history`. `when`: seconds since 1970.
    """

    chat: str
    number: int
    place: int
    when: float
    before: str
    words: str
    after: str


def search(chats: Iterable[SavedChat], text: str) -> list[FoundTurn]:
    """Return the turns whose prompts and answers have all words of a text, the newest first.

    Case does not matter. The passage has all words side by side, or else the first of them. Turns
    that may not be stored are not searched.
    """
    found = []
    for chat in chats:
        for place, turn in chat.kept:
            if piece := piece_of(f"{asked_in(turn.prompt)}\n{turn.completion.text}", text):
                when, name = turn.finished_at, chat.name
                found.append(
                    FoundTurn(chat=name, number=turn.number, place=place, when=when, **piece)
                )
    return sorted(found, key=lambda one: one.when, reverse=True)


def piece_of(text: str, sought: str) -> dict[str, str] | None:
    """Return the excerpt of a text that contains all words of `sought`, regardless of case.

    The result has the match (`words`) and the text `before` and `after` it. The match is all words
    side by side, or else the first word. None if a word is missing.
    """
    plain_text, words = _plain(text), [re.escape(word) for word in _plain(sought).split()]
    if not words or not all(re.search(word, plain_text, re.IGNORECASE) for word in words):
        return None
    patterns = (r"\s".join(words), words[0])
    first = next(filter(None, (re.search(one, plain_text, re.IGNORECASE) for one in patterns)))
    before, after = plain_text[: first.start()], plain_text[first.end() :]
    return {
        "before": before if len(before) <= _BEFORE else f"…{before[-_BEFORE:]}",
        "words": first[0],
        "after": shorten(after, _AFTER),
    }


def _plain(text: str) -> str:
    """Return a text for comparison: normalized, and without invisible characters."""
    return one_line(unicodedata.normalize("NFC", text))
