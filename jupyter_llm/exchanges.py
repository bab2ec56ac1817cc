"""The prompts and answers of a chat, those being written too, as branches. Not for several threads.

A prompt has its place as soon as it is about to be sent, so that prompts sent at the same time
follow one another. Its answer counts once there is a word of it; else the place is given up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.branches import START, Branches
from jupyter_llm.notebook.context import Part, Turn, attachments_in
from jupyter_llm.notebook.plan import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from concurrent.futures import Future
    from weakref import ReferenceType

    from jupyter_llm.engine.base import Completion, Stream

_TICK_S = 1e-3  # no two turns of a chat are finished at the same time


@dataclass(frozen=True, slots=True)
class Exchange:
    """One place of the active branch: a prompt with its answer, finished or not.

    While the answer is written there is no `turn`, but a `stream`, unless nobody reads it any more.
    `siblings` are the numbers of all that stand after `parent`, the oldest first, its own included.
    """

    number: int
    prompt: str
    turn: Turn | None
    siblings: tuple[int, ...]
    parent: int = START
    told: tuple[Part, ...] = field(default=(), repr=False)
    _stream: ReferenceType[Stream] | None = field(default=None, repr=False)

    @property
    def stream(self) -> Stream | None:
        """What is being written; an exchange does not keep it from being given up."""
        return self._stream() if self._stream is not None else None

    @property
    def is_finished(self) -> bool:
        """Whether the whole answer is there."""
        return self.turn is not None

    @property
    def attachments(self) -> tuple[tuple[str, str], ...]:
        """The names and texts of what was attached to the prompt."""
        return attachments_in(self.told)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Writing:
    """A prompt that was sent. With `is_kept=False` its turn is not to be written to the disk."""

    prompt: str
    future: Future[Completion]
    told: tuple[Part, ...] = ()
    is_kept: bool = True
    stream: ReferenceType[Stream] | None = None

    @property
    def completion(self) -> Completion | None:
        """The answer, once it is there and if there is a word of it."""
        if not self.future.done() or self.future.exception() is not None:
            return None
        completion = self.future.result()
        return completion if completion.text else None

    @property
    def is_shown(self) -> bool:
        """Whether there is an answer, or is going to be one."""
        return not self.future.done() or self.completion is not None


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands at a number: the turn that counts, and the prompt whose answer will replace it.

    `num_held` counts the prompts that are about to be sent from there.
    """

    origin: Hashable
    turn: Turn | None = None
    writing: Writing | None = None
    is_kept: bool = True
    num_held: int = 0

    @property
    def is_shown(self) -> bool:
        return self.turn is not None or (self.writing is not None and self.writing.is_shown)


class Exchanges:
    """The exchanges of one chat."""

    def __init__(self, turns: Branches[Turn] | None = None) -> None:
        given: Branches[Turn] = turns if turns is not None else Branches()
        self._branches = given.mapped(lambda _, turn: _Entry(turn.origin, turn))
        self._shown: tuple[Exchange, ...] | None = None  # None: something has changed
        self._unfinished: list[Writing] = []  # of those shown
        self._finished_at = 0.0

    def __contains__(self, number: int) -> bool:
        """Tell whether a prompt of that number has been sent, and may still have an answer."""
        entry = self._branches.get(number)
        return entry is not None and entry.is_shown

    # What there is

    def shown(self) -> tuple[Exchange, ...]:
        """Return the active branch."""
        if self._shown is None or any(writing.future.done() for writing in self._unfinished):
            self._unfinished = []
            shown = map(self._exchange, self._branches.path())
            self._shown = tuple(exchange for exchange in shown if exchange is not None)
        return self._shown

    def turns(self) -> tuple[Turn, ...]:
        """Return the finished turns of the active branch, those being replaced included."""
        return self._turns(self._branches.path())

    def turn(self, number: int) -> Turn | None:
        """Return the turn that counts at a number, on any branch; None while there is none."""
        entry = self._branches[number]
        writing = entry.writing
        completion = writing.completion if writing is not None else None
        if writing is None or completion is None:
            return entry.turn
        return Turn(
            writing.prompt,
            completion,
            entry.origin,
            writing.told,
            number,
            self._branches.parent(number),
            time.time(),
        )

    def writing(self, number: int) -> Writing | None:
        """Return what is being written at a number."""
        entry = self._branches.get(number)
        return entry.writing if entry is not None else None

    def is_active(self, number: int) -> bool:
        """Tell whether a number is on the active branch."""
        return number in self._branches.path()

    def kept_parent(self, number: int) -> int:
        """Return the last number before another one that is written to the disk, or is to be."""
        parent = self._branches.parent(number)
        while parent != START and not self._branches[parent].is_kept:
            parent = self._branches.parent(parent)
        return parent

    def has_children(self, number: int) -> bool:
        """Tell whether something follows a number."""
        return bool(self._branches.children(number))

    def of_origin(self, is_wanted: Callable[[Any], bool]) -> dict[int, Hashable]:
        """Return the origins that are wanted, by number, on all branches."""
        origins = ((number, self._branches[number].origin) for number in self._branches)
        return {number: origin for number, origin in origins if is_wanted(origin)}

    @property
    def choices(self) -> dict[int, int]:
        """Which of the numbers after another one is active, where it is not the newest."""
        return self._branches.choices

    @property
    def num_others(self) -> int:
        """How many branches there are beside the active one."""
        return self._branches.num_others

    # What is sent

    def place(self, origin: Hashable = None, after: int | None = None) -> Place:
        """Return where a prompt stands; nothing changes.

        That is after a number, where the last prompt of its origin stands, or at the end.

        Raises
        ------
        KeyError
            There is no such number.
        """
        branches = self._branches
        same = [] if origin is None else self.of_origin(lambda other: bool(other == origin))
        if after is None and (number := next(iter(same), None)) is not None:
            path = branches.path_through(number)
            index = path.index(number)
            return Place(
                number=number,
                parent=branches.parent(number),
                is_at_end=False,
                before=self._turns(path[:index]),
                after=self._turns(path[index + 1 :]),
                replaced=self.turn(number),
            )
        if after is not None and after != START and after not in self:
            raise KeyError(after)
        path = branches.path() if after is None else branches.path_to(after)
        return Place(
            number=branches.next_number,
            parent=path[-1] if path else START,
            is_at_end=after is None,
            before=self._turns(path),
        )

    def hold(self, place: Place, origin: Hashable) -> None:
        """Hold a place for a prompt that is about to be sent."""
        number = place.number
        if number not in self._branches:
            self._branches.add(_Entry(origin), place.parent, number)
        entry = self._branches[number]
        self._branches[number] = replace(entry, num_held=entry.num_held + 1)

    def release(self, place: Place) -> None:
        """Hold a place no longer: its prompt has begun, or could not be sent."""
        entry = self._branches.get(place.number)
        if entry is not None:
            self._branches[place.number] = replace(entry, num_held=entry.num_held - 1)

    def is_empty(self, number: int) -> bool:
        """Tell whether nothing stands at a number any more, nor is going to."""
        entry = self._branches.get(number)
        if entry is None:
            return False
        return entry.turn is None and entry.writing is None and not entry.num_held

    def begin(self, place: Place, writing: Writing) -> bool:
        """Take in a prompt that was sent, unless its place has gone meanwhile; say whether.

        Its branch becomes the active one, but for a prompt at the end: that was sent where
        everything goes on, and whoever has turned to another branch since then meant to.
        """
        number = place.number
        if number not in self._branches:
            return False
        entry = self._branches[number]
        is_kept = entry.is_kept if entry.turn is not None else writing.is_kept
        self._branches[number] = replace(entry, writing=writing, is_kept=is_kept)
        if not place.is_at_end:
            self._branches.choose(number)
        self._shown = None
        return True

    def settle(self, number: int) -> Turn | None:
        """Return the turn that a finished answer makes; without a word of it, what was is again."""
        entry, turn = self._branches[number], self.turn(number)
        writing = entry.writing
        assert writing is not None
        self._shown = None
        if writing.completion is None or turn is None:
            self._branches[number] = replace(entry, writing=None)
            return None
        self._finished_at = max(time.time(), self._finished_at + _TICK_S)
        turn = replace(turn, finished_at=self._finished_at)
        self._branches[number] = replace(entry, turn=turn, writing=None, is_kept=writing.is_kept)
        return turn

    # What is changed

    def choose(self, number: int) -> bool:
        """Make the branch through a number the active one, and return whether it was another."""
        before = self._branches.path()
        self._branches.choose(number)
        self._shown = None
        return self._branches.path() != before

    def remove(self, number: int) -> int:
        """Take out what stands at a number; return its parent, now that of what followed it."""
        children = self._branches.children(number)
        parent = self._branches.remove(number)
        for child in children:
            entry = self._branches[child]
            if entry.turn is not None:
                turn = replace(entry.turn, parent=parent)
                self._branches[child] = replace(entry, turn=turn)
        self._shown = None
        return parent

    def clear(self) -> list[Writing]:
        """Take out everything, and return what was being written."""
        writings = [self._branches[number].writing for number in self._branches]
        self._branches.clear()
        self._shown = None
        return [writing for writing in writings if writing is not None]

    def _turns(self, numbers: Iterable[int]) -> tuple[Turn, ...]:
        return tuple(turn for number in numbers if (turn := self.turn(number)) is not None)

    def _exchange(self, number: int) -> Exchange | None:
        parent = self._branches.parent(number)
        siblings = tuple(filter(self.__contains__, self._branches.children(parent)))
        writing = self._branches[number].writing
        if writing is not None and not writing.future.done():
            self._unfinished.append(writing)
            told, stream = writing.told, writing.stream
            return Exchange(number, writing.prompt, None, siblings, parent, told, stream)
        turn = self.turn(number)
        if turn is None:
            return None
        return Exchange(number, turn.prompt, turn, siblings, parent, turn.told)
