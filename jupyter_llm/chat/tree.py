"""The prompts and answers of a chat, those being written too, as branches. Not for several threads.

A prompt has its place as soon as it is about to be sent, so that prompts sent at the same time
follow one another. Its answer counts once there is a word of it; else the place is given up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.chat.branches import START, Branches
from jupyter_llm.chat.draft import Cut, Part, Turn, attachments_in
from jupyter_llm.chat.plan import Place
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from concurrent.futures import Future
    from weakref import ReferenceType

    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion

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


@dataclass(frozen=True, slots=True)
class Moment:
    """When a prompt of a cell was first answered in this kernel, and what variables there were.

    What ran for the first time after it stands below the cell, as far as anybody knows.
    """

    tick: int
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Writing:
    """A prompt that was sent. With `is_kept=False` its turn is not to be written to the disk."""

    prompt: str
    future: Future[Completion]
    moment: Moment
    told: tuple[Part, ...] = ()
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    is_kept: bool = True
    stream: ReferenceType[Stream] | None = None

    @property
    def completion(self) -> Completion | None:
        """The answer once it is over, or what there was of it when the model failed or went away.

        None if there is not a word of it.
        """
        error = self.future.exception()
        stream = self.stream() if self.stream is not None else None
        completion: Completion | None = None
        if error is None:
            completion = self.future.result()
        elif isinstance(error, JupyterLLMError) and stream is not None:
            completion = stream.interrupt().completion
        has_words = completion is not None and (completion.text or completion.reasoning)
        return completion if has_words else None

    def cancel(self) -> None:
        """Stop writing, if somebody still reads it."""
        if self.stream is not None and (stream := self.stream()) is not None:
            stream.cancel()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands at a number: a turn, unless its first answer is still being written.

    `tick` is None for what an earlier kernel wrote and nobody has gone on from in this one.
    """

    origin: Hashable
    turn: Turn | None = None
    is_kept: bool = True
    tick: int | None = None


class Exchanges:
    """The exchanges of one chat."""

    def __init__(self, turns: Branches[Turn] | None = None) -> None:
        given: Branches[Turn] = turns if turns is not None else Branches()
        self._branches = given.mapped(lambda _, turn: _Entry(turn.origin, turn))
        self._kept_end = [START, *given.path()][-1]
        self._held: list[Place] = []  # by prompts that are about to be sent
        self._writings: dict[int, Writing] = {}
        self._shown: tuple[Exchange, ...] | None = None  # None: something has changed
        self._finished_at = 0.0
        # Prompts of this kernel that are no turn's any more, by hash, and the numbers they told.
        self.past_prompts: dict[str, set[int]] = {}

    def __contains__(self, number: int) -> bool:
        """Tell whether a prompt of that number has been sent, and has an answer or may have one."""
        return number in self._writings or self.turn(number) is not None

    # What there is

    def shown(self) -> tuple[Exchange, ...]:
        """The active branch."""
        if self._shown is None:
            numbers = filter(self.__contains__, self._branches.path())
            self._shown = tuple(map(self._exchange, numbers))
        return self._shown

    def turns(self) -> tuple[Turn, ...]:
        """The finished turns of the active branch, those being replaced included."""
        return self._turns(self._branches.path())

    def turn(self, number: int) -> Turn | None:
        """The turn that counts at a number, on any branch; None while there is none."""
        entry = self._branches.get(number)
        return entry.turn if entry is not None else None

    def exchange(self, number: int) -> Exchange | None:
        """What stands at a number, on any branch; None if nothing is to be shown of it."""
        return self._exchange(number) if number in self else None

    def writing(self, number: int) -> Writing | None:
        """What is being written at a number."""
        return self._writings.get(number)

    @property
    def writings(self) -> dict[int, Writing]:
        """What is being written on all branches, by number."""
        return dict(self._writings)

    def over(self) -> list[int]:
        """The numbers whose answers are there and have not been taken in yet."""
        return [number for number, writing in self._writings.items() if writing.future.done()]

    def is_active(self, number: int) -> bool:
        """Tell whether a number is on the active branch."""
        return number in self._branches.path()

    def kept_parent(self, number: int) -> int:
        """The last number before another one that is written to the disk, or is to be."""
        parent = self._branches.parent(number)
        while parent != START and not self._branches[parent].is_kept:
            parent = self._branches.parent(parent)
        return parent

    def is_kept(self, number: int) -> bool:
        """Tell whether what stands at a number is written to the disk, or is to be."""
        return self._branches[number].is_kept

    def has_children(self, number: int) -> bool:
        """Tell whether something follows a number."""
        return bool(self._branches.children(number))

    def prompts_with(self, number: int) -> set[str]:
        """The hashes of the prompts that told a number, its own included."""
        told = {number}
        for other in sorted(self._branches):  # a number is larger than its parent's
            if self._branches.parent(other) in told:
                told.add(other)
        past = {prompt for prompt, numbers in self.past_prompts.items() if number in numbers}
        return (self.prompts(told) | past) - self.prompts(set(self._branches) - told)

    def prompts(self, numbers: Iterable[int] | None = None) -> set[str]:
        """The hashes of the prompts of some numbers, or of all there are."""
        turns = self._turns(self._branches if numbers is None else numbers)
        made = [turn.completion.provenance for turn in turns]
        return {record.prompt_sha256 for record in made if record is not None}

    def of_origin(self, is_wanted: Callable[[Any], bool]) -> dict[int, Hashable]:
        """The origins that are wanted, by number, on all branches."""
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

    def place(
        self, origin: Hashable = None, after: int | None = None, *, below: int | None = None
    ) -> Place:
        """Where a prompt stands; nothing changes.

        That is after a number that is there, where the last prompt of its origin stands, or at the
        end. With a tick `below` which it stands, it follows nothing of later, nor of an earlier
        kernel.
        """
        if after is not None:
            return self._new_place(self._branches.path_to(after), is_at_end=False)
        active = self._branches.path()
        path = active if below is None else self._above(active, below)
        same = () if origin is None else self.of_origin(lambda other: bool(other == origin))
        number = next(iter(same), None)
        new = self._new_place(path, is_at_end=path == active)
        if number is None:
            return new
        is_from_here = self._branches[number].tick is not None
        if is_from_here or (below is not None and self._branches.parent(number) == new.parent):
            return self._place_of(number)
        return replace(new, elsewhere=number)

    def _above(self, path: list[int], tick: int) -> list[int]:
        """The beginning of a branch that stands above a moment of this kernel."""
        ticks = (self._branches[number].tick for number in path)
        is_above = [one is not None and one < tick for one in ticks]
        return path[: is_above.index(False)] if False in is_above else path

    def _place_of(self, number: int) -> Place:
        """The place of a prompt that was sent before; after it is what this kernel went on with."""
        path = self._branches.path_through(number)
        index = path.index(number)
        after = (n for n in path[index + 1 :] if self._branches[n].tick is not None)
        later = self._turns(after)[-1:]
        return Place(
            number=number,
            parent=self._branches.parent(number),
            is_at_end=False,
            before=self._turns(path[:index]),
            later_cuts=later[0].cuts if later else {},
            replaced=self.turn(number),
        )

    def _new_place(self, path: list[int], *, is_at_end: bool) -> Place:
        """A new place after a path."""
        return Place(
            number=self._branches.next_number,
            parent=path[-1] if path else START,
            is_at_end=is_at_end,
            before=self._turns(path),
        )

    def hold(self, place: Place, origin: Hashable, tick: int) -> None:
        """Hold a place for a prompt that is about to be sent."""
        self._held.append(place)
        if place.number not in self._branches:
            entry = _Entry(origin, tick=tick)
            self._branches.add(entry, place.parent, place.number)

    def release(self, place: Place) -> None:
        """Hold a place no longer, if it is."""
        self._held = [other for other in self._held if other is not place]

    def is_empty(self, number: int) -> bool:
        """Tell whether nothing stands at a number, nor is going to."""
        is_held = any(place.number == number for place in self._held)
        return number in self._branches and number not in self and not is_held

    def begin(self, place: Place, writing: Writing) -> bool:
        """Take in a prompt that was sent, unless its place has gone meanwhile; say whether.

        Its branch becomes the active one, but for a prompt at the end: that was sent where
        everything goes on, and whoever has turned to another branch since then meant to.
        """
        self.release(place)
        number = place.number
        if number not in self._branches:
            return False
        entry = self._branches[number]
        is_kept = entry.is_kept if entry.turn is not None else writing.is_kept
        self._branches[number] = replace(entry, is_kept=is_kept)
        if place.elsewhere is not None:
            self._disown(place.elsewhere)
        for before in self._branches.path_to(self._branches.parent(number)):
            self._take_up(before)
        if not place.is_at_end:
            self._branches.choose(number)
        self._writings[number] = writing
        self._shown = None
        return True

    def settle(self, number: int) -> Turn | None:
        """The turn that an answer makes; without a word of it, what was is again."""
        entry, writing = self._branches[number], self._writings.pop(number)
        self._shown = None
        completion = writing.completion
        if completion is None:
            if writing.future.exception() is None:
                self._let_go(number, writing.future.result())
            return None
        self._finished_at = max(time.time(), self._finished_at + _TICK_S)
        turn = Turn(
            prompt=writing.prompt,
            completion=completion,
            origin=entry.origin,
            told=writing.told,
            number=number,
            parent=self._branches.parent(number),
            finished_at=self._finished_at,
            cuts=writing.cuts,
        )
        tick = writing.moment.tick
        if entry.turn is not None:
            self._let_go(number, entry.turn.completion)
        self._branches[number] = replace(entry, turn=turn, is_kept=writing.is_kept, tick=tick)
        return turn

    def _let_go(self, number: int, completion: Completion) -> None:
        """Note the prompt of an answer that no longer counts, or never did: it is kept still."""
        if completion.provenance is not None:
            told = self.past_prompts.setdefault(completion.provenance.prompt_sha256, set())
            told.update(self._branches.path_to(number))

    # What is changed

    def resume(self) -> list[Hashable]:
        """Take up all that an earlier kernel wrote, and return whose turns that were.

        They are no cell's any more: one that runs again goes on from them. Their branch becomes the
        active one.
        """
        kept_end = self._branches.get(self._kept_end)
        if kept_end is not None and kept_end.tick is None:
            self.choose(self._kept_end)
        restored = self.restored
        origins = [self._branches[number].origin for number in restored]
        for number in restored:
            self._disown(number)
            self._take_up(number)
        return origins

    def _take_up(self, number: int) -> None:
        """Let what stands at a number be a part of this kernel's talk."""
        if self._branches[number].tick is None:
            self._branches[number] = replace(self._branches[number], tick=0)

    def _disown(self, number: int) -> None:
        """Let what stands at a number be no cell's."""
        entry = self._branches[number]
        turn = replace(entry.turn, origin=None) if entry.turn is not None else None
        self._branches[number] = replace(entry, turn=turn, origin=None)

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of an earlier kernel that nobody has gone on from."""
        return frozenset(n for n in self._branches if self._branches[n].tick is None)

    def choose(self, number: int) -> bool:
        """Make the branch through a number the active one, and return whether it was another."""
        before = self._branches.path()
        self._branches.choose(number)
        self._shown = None
        return self._branches.path() != before

    def remove(self, number: int) -> int:
        """Take out what stands at a number; return its parent, now that of what followed it."""
        if (gone := self.turn(number)) is not None:
            self._let_go(number, gone.completion)
        self._writings.pop(number, None)
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
        writings = list(self._writings.values())
        self._writings.clear()
        self._branches.clear()
        self._shown = None
        return writings

    def _turns(self, numbers: Iterable[int]) -> tuple[Turn, ...]:
        return tuple(turn for number in numbers if (turn := self.turn(number)) is not None)

    def _exchange(self, number: int) -> Exchange:
        parent = self._branches.parent(number)
        siblings = tuple(filter(self.__contains__, self._branches.children(parent)))
        writing, turn = self._writings.get(number), self.turn(number)
        if writing is not None:
            told, stream = writing.told, writing.stream
            return Exchange(number, writing.prompt, None, siblings, parent, told, stream)
        assert turn is not None
        return Exchange(number, turn.prompt, turn, siblings, parent, turn.told)
