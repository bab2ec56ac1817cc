"""Chats as they are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_llm.chat.draft import Turn


@dataclass(frozen=True, slots=True)
class ChatState:
    """What a chat is beside its turns: its system text, and which turns do not go along.

    `cuts` are the numbers of the last turns that its conversations leave out. Where a branch was
    chosen that is not the newest, `choices` has it by the turn before it.
    """

    system: str | None = None
    cuts: dict[str, int] = field(default_factory=dict)
    choices: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChat:
    """A chat as it is kept: its turns, the oldest first.

    `num_dropped` older turns are not kept any more, for want of room. Where only one branch is
    taken along, `num_other_branches` counts those that are not.
    """

    name: str
    state: ChatState = ChatState()
    turns: tuple[Turn, ...] = ()
    num_dropped: int = 0
    num_other_branches: int = 0
