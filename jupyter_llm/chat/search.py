"""Words that were said in chats: in which turn, and the piece around them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.common.controls import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_llm.chat.store import SavedChat

_BEFORE, _AFTER = 40, 80  # characters of a piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A turn in which something was found: the words as they stand there, and what is around them.

    `number` tells it from others, `place` is the one that `/history` gives it in its chat, `when`
    is in seconds since 1970.
    """

    chat: str
    number: int
    place: int
    when: float
    before: str
    words: str
    after: str


def search(chats: Iterable[SavedChat], text: str) -> list[Found]:
    """The turns whose prompts and answers have all the words of a text, the newest first.

    Capitals do not matter. The piece shows the words where they stand side by side, or else the
    first of them. What was not to be kept is not found.
    """
    words = [re.escape(word) for word in _plain(text).split()]
    if not words:
        return []
    each = [re.compile(word, re.IGNORECASE) for word in words]
    shown = re.compile(r"\s".join(words), re.IGNORECASE), each[0]
    found = []
    for chat in chats:
        for place, turn in chat.kept:
            said = _plain(f"{turn.prompt}\n{turn.completion.text}")
            if all(word.search(said) for word in each):
                first = next(filter(None, (one.search(said) for one in shown)))
                before, after = said[: first.start()], said[first.end() :]
                found.append(
                    Found(
                        chat=chat.name,
                        number=turn.number,
                        place=place,
                        when=turn.finished_at,
                        before=before if len(before) <= _BEFORE else f"…{before[-_BEFORE:]}",
                        words=first[0],
                        after=after if len(after) <= _AFTER else f"{after[:_AFTER]}…",
                    )
                )
    return sorted(found, key=lambda one: one.when, reverse=True)


def _plain(text: str) -> str:
    """A text as it is compared: what looks alike is alike, and nothing in it is hidden."""
    return one_line(unicodedata.normalize("NFC", text))
