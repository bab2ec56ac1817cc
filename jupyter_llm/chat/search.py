"""Words that were said in chats: in which turn, and the piece around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.chat.asked import asked_in
from jupyter_llm.common.sought import piece_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_llm.chat.store import SavedChat


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
    found = []
    for chat in chats:
        for place, turn in chat.kept:
            if piece := piece_of(f"{asked_in(turn.prompt)}\n{turn.completion.text}", text):
                when, name = turn.finished_at, chat.name
                found.append(Found(chat=name, number=turn.number, place=place, when=when, **piece))
    return sorted(found, key=lambda one: one.when, reverse=True)
