"""Searches the turns of chats for words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.chat.question import asked_in
from jupyter_llm.common.sought import piece_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_llm.chat.store import SavedChat


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
