"""What is kept of chats, as values, and how a log of what happened to them adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Message

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Origin: TypeAlias = tuple[str, int]
"""The cell a prompt came from: its id, and which of its prompts it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTurn:
    """A turn of a chat, with all that is needed to send it again as it was.

    `prompt` is as typed and `sent` the user's message with what went along with it, None if that
    was the prompt alone. `told` and `provenance` are JSON that only others understand. `number`
    tells the turns of a chat apart, if it numbers them, and `parent` is that of the turn before it,
    0 at the start; None is whichever comes before. `finished_at` is in seconds since 1970.
    """

    chat: str
    prompt: str
    completion: Completion
    sent: Message | None = None
    told: Json = None
    provenance: Json = None
    origin: Origin | None = None
    number: int = 0
    parent: int | None = None
    finished_at: float = 0.0

    def __post_init__(self) -> None:
        """Leave out the log-probabilities, which are larger than all the rest."""
        if self.completion.logprobs is not None:
            object.__setattr__(self, "completion", replace(self.completion, logprobs=None))

    @property
    def messages(self) -> tuple[Message, Message]:
        """What the turn adds to a prompt: the user's message and the answer."""
        answer = Message("assistant", self.completion.text, self.completion.token_ids)
        return self.sent or Message("user", self.prompt), answer


@dataclass(frozen=True, slots=True)
class TurnForgotten:
    """The turn of a cell does not count any more."""

    chat: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class TurnRemoved:
    """A turn does not count any more, and what followed it follows `parent`.

    Two kernels of a notebook may give the same number, so it is `finished_at` that tells which turn
    is meant. There need not be one: it may be a prompt that never had an answer.
    """

    chat: str
    number: int
    parent: int
    finished_at: float


@dataclass(frozen=True, slots=True)
class ChatCleared:
    """Nothing of a chat counts any more; None is all chats."""

    chat: str | None


@dataclass(frozen=True, slots=True)
class ChatChanged:
    """From here on a chat has this system text, and a state that only it understands."""

    chat: str
    system: str | None
    state: Json = None


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """So many of a chat's first turns had to go, for want of room."""

    chat: str
    count: int


Entry = SavedTurn | TurnForgotten | TurnRemoved | ChatCleared | ChatChanged | TurnsDropped


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChat:
    """A chat as it is kept: its turns, the oldest first.

    `state` is JSON that only the chat understands. `num_dropped` older turns are not kept any
    more, for want of room. Where only one branch is taken along, `num_other_branches` counts those
    that are not.
    """

    name: str
    system: str | None = None
    turns: tuple[SavedTurn, ...] = ()
    state: Json = None
    num_dropped: int = 0
    num_other_branches: int = 0

    def entries(self) -> list[Entry]:
        """Return what a log of this chat and nothing else has in it."""
        entries: list[Entry] = []
        if self.num_dropped:
            entries.append(TurnsDropped(self.name, self.num_dropped))
        if self.system is not None or self.state is not None:
            entries.append(ChatChanged(self.name, self.system, self.state))
        return [*entries, *self.turns]

    def without_first(self) -> SavedChat:
        """Return the chat without its oldest turn, which counts as dropped."""
        return replace(self, turns=self.turns[1:], num_dropped=self.num_dropped + 1)


@dataclass(slots=True)
class _Draft:
    """A chat while a log is being added up."""

    system: str | None = None
    # By origin, or by a number of their own: in a dict a replaced turn keeps its place.
    turns: dict[Origin | int, SavedTurn] = field(default_factory=dict)
    state: Json = None
    num_dropped: int = 0
    num_turns: int = 0

    def add(self, turn: SavedTurn) -> None:
        self.num_turns += 1
        self.turns[turn.origin or self.num_turns] = turn

    def forget(self, origin: Origin) -> None:
        turn = self.turns.pop(origin, None)
        if turn is not None:
            self._join(turn.number, turn.parent)

    def remove(self, removed: TurnRemoved) -> None:
        parent: int | None = removed.parent
        for key, turn in self.turns.items():
            if turn.finished_at == removed.finished_at:
                parent = removed.parent if turn.parent is None else turn.parent
                del self.turns[key]
                break
        self._join(removed.number, parent)

    def _join(self, number: int, parent: int | None) -> None:
        """Let what followed a turn follow its parent, unless another has the same number."""
        if any(turn.number == number for turn in self.turns.values()):
            return
        for key, turn in self.turns.items():
            if turn.parent == number:
                self.turns[key] = replace(turn, parent=parent)

    def finish(self, name: str) -> SavedChat:
        return SavedChat(
            name=name,
            system=self.system,
            turns=tuple(self.turns.values()),
            state=self.state,
            num_dropped=self.num_dropped,
        )


def fold(entries: Iterable[Entry]) -> dict[str, SavedChat]:
    """Return the chats that a log adds up to, by name; empty ones are left out."""
    drafts: dict[str, _Draft] = {}
    for entry in entries:
        match entry:
            case SavedTurn():
                drafts.setdefault(entry.chat, _Draft()).add(entry)
            case TurnForgotten(chat, origin):
                if chat in drafts:
                    drafts[chat].forget(origin)
            case TurnRemoved(chat):
                if chat in drafts:
                    drafts[chat].remove(entry)
            case ChatCleared(chat):
                if chat is None:
                    drafts.clear()
                else:
                    drafts.pop(chat, None)
            case ChatChanged(chat, system, state):
                draft = drafts.setdefault(chat, _Draft())
                draft.system, draft.state = system, state
            case TurnsDropped(chat, count):
                drafts.setdefault(chat, _Draft()).num_dropped += count
    chats = (draft.finish(name) for name, draft in drafts.items())
    return {chat.name: chat for chat in chats if chat != SavedChat(name=chat.name)}


def within(
    chats: Mapping[str, SavedChat], max_bytes: int, size_of: Callable[[SavedTurn], int]
) -> dict[str, SavedChat]:
    """Drop the oldest turns of chats that take more than `max_bytes`, down to 3/4 of that."""
    kept = dict(chats)
    sizes = {name: [size_of(turn) for turn in chat.turns] for name, chat in chats.items()}
    excess = sum(map(sum, sizes.values())) - max_bytes
    excess += max_bytes // 4 if excess > 0 else 0
    while excess > 0:
        oldest = min(
            (chat for chat in kept.values() if chat.turns),
            key=lambda chat: chat.turns[0].finished_at,
        )
        excess -= sizes[oldest.name][len(chats[oldest.name].turns) - len(oldest.turns)]
        kept[oldest.name] = oldest.without_first()
    return kept
