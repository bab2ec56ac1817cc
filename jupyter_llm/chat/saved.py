"""Chats as they are kept, and what they are when they come back."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace

from jupyter_llm.chat.branches import START, Branches
from jupyter_llm.chat.draft import Cut, Turn


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


def active_branch(chat: SavedChat) -> SavedChat:
    """A kept chat with the turns of its active branch alone."""
    branches = _branches(chat)
    turns = tuple(branches[number] for number in branches.path())
    return replace(chat, turns=turns, num_other_branches=branches.num_others)


def restored_turns(chat: SavedChat) -> Branches[Turn]:
    """The turns of a kept chat, with the numbers that they have from here on."""
    branches = _branches(chat)
    path = branches.path()
    cuts = {at: Cut(last_turn=last_turn) for at, last_turn in chat.state.cuts.items()}
    return branches.mapped(
        lambda number, turn: replace(
            turn,
            number=number,
            parent=branches.parent(number),
            cuts=cuts if number == path[-1] else {},
        )
    )


def _branches(chat: SavedChat) -> Branches[Turn]:
    """Kept turns as branches.

    A turn whose parent is not there, since it was dropped for want of room or never got to the
    disk, follows the last one from before that. Of turns with the same number, which two kernels
    have written, the later ones get another one.
    """
    branches: Branches[Turn] = Branches()
    known: list[int] = []  # the numbers as they were kept, in their order
    new: list[int] = []  # and as they are now
    for turn in sorted(chat.turns, key=lambda turn: turn.number):
        index = bisect_right(known, min(turn.parent, turn.number - 1))
        number = max(turn.number, branches.next_number)
        branches.add(turn, new[index - 1] if index else START, number)
        known.append(turn.number)
        new.append(number)
    branches.restore(chat.state.choices)
    return branches
