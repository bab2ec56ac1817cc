"""The exchanges of a chat as a tree, of which one branch is active. Not for several threads.

A prompt has its place as soon as it is about to be sent, so that prompts sent at the same time
follow one another. Its answer counts once there is a word of it; else the place is given up.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.chat.draft import Turn
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
    from weakref import ReferenceType

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.draft import Draft, Gone, Part
    from jupyter_llm.chat.script import Script
    from jupyter_llm.chat.store import SavedChat
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Message, RawPrompt, Request

START = 0  # the number of what comes before all others
_EARLIER = -1  # the tick of what an earlier kernel wrote and nobody has gone on from in this one
_TICK_S = 1e-3  # no two turns of a chat are finished at the same time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sending:
    """A prompt on its way, from when it is ready until its answer is a turn.

    `place` is where it is going to stand, and `cuts` are what its branch leaves out from then on,
    by conversation; `left_out` counts the turns and cells. A `script` asks for the same code as the
    next cell of a program. Nothing here keeps the `stream` from being given up.
    """

    asked: Asked
    engine: Engine
    request: Request
    place: Exchange
    draft: Draft
    cuts: Mapping[str, Gone]
    left_out: tuple[int, int]
    script: Script | None = None
    future: Future[Completion] = field(default_factory=Future)
    stream: ReferenceType[Stream] | None = None

    @property
    def prompt(self) -> RawPrompt | tuple[Message, ...]:
        """What the model is asked first."""
        return self.script.prompt if self.script is not None else self.draft.messages

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


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What stands at a number of a chat, or is to: a prompt with its answer, finished or not.

    While another answer is `sending`, the turn that is `settled` counts. `siblings` are the numbers
    of all that stand after `parent`, the oldest first, its own included. `tick` and `names` are the
    moment when it was first asked in this kernel, and what variables there were: what ran for the
    first time after it stands below its cell, as far as anybody knows.

    Of one that is to be sent, `before` are the turns before it, and `later_cuts` what the prompts
    after it leave out by now. `is_at_end` says that it goes on with the active branch, rather than
    begin one or stand in the place of an earlier prompt. A turn of its cell that stands `elsewhere`
    stays there, and is the cell's no longer.
    """

    number: int
    parent: int = START
    siblings: tuple[int, ...] = ()
    origin: Hashable = None
    settled: Turn | None = None
    sending: Sending | None = field(default=None, repr=False)
    is_kept: bool = True
    tick: int = _EARLIER
    names: frozenset[str] = frozenset()
    before: tuple[Turn, ...] = field(default=(), repr=False)
    later_cuts: Mapping[str, Gone] = field(default_factory=dict, repr=False)
    is_at_end: bool = True
    elsewhere: int | None = None

    @property
    def cuts(self) -> Mapping[str, Gone]:
        """What is left out before it, by conversation."""
        return self.before[-1].cuts if self.before else {}

    @property
    def turn(self) -> Turn | None:
        """The finished turn; None while the answer is written."""
        return self.settled if self.sending is None else None

    @property
    def is_finished(self) -> bool:
        """Whether the whole answer is there."""
        return self.sending is None

    @property
    def stream(self) -> Stream | None:
        """What is being written, unless nobody reads it any more."""
        ref = self.sending.stream if self.sending is not None else None
        return ref() if ref is not None else None

    @property
    def prompt(self) -> str:
        """What was asked."""
        if self.sending is not None:
            return self.sending.asked.prompt
        return self.settled.prompt if self.settled is not None else ""

    @property
    def by(self) -> str:
        """Who asked, where that is known."""
        if self.sending is not None:
            return self.sending.asked.by
        return self.settled.by if self.settled is not None else ""

    @property
    def told(self) -> tuple[Part, ...]:
        """What went along with the prompt and with none before it."""
        if self.sending is not None:
            return self.sending.draft.owned
        return self.settled.told if self.settled is not None else ()


class Branches:
    """The exchanges of one chat by their numbers; several may follow the same one.

    A number is larger than that of its parent, the one before it, and is never used twice. The
    active branch goes from the start to that child which was active last, and on.
    """

    def __init__(self, chat: SavedChat | None = None) -> None:
        self.sendings: dict[int, Sending] = {}  # what is being written, by number
        # Prompts of this kernel that are no turn's any more, by hash, and the numbers they told.
        self.past_prompts: dict[str, set[int]] = {}
        self._all: dict[int, Exchange] = {}
        self._children: dict[int, list[int]] = {START: []}  # the one that was active last is last
        self._last_number = START
        self._held: list[Exchange] = []  # by prompts that are about to be sent
        self._shown: tuple[Exchange, ...] | None = None  # None: something has changed
        self._finished_at = 0.0
        if chat is not None:
            self._restore(chat)
        self._kept_end = [START, *self.path()][-1]

    def _restore(self, chat: SavedChat) -> None:
        """Take in turns that were kept; one whose parent was not follows the last before that.

        Of turns with the same number, which two kernels have written, the later get another one.
        """
        known: list[int] = []  # the numbers as they were kept, in their order
        new: list[int] = []  # and as they are now
        for turn in sorted(chat.turns, key=lambda turn: turn.number):
            index = bisect_right(known, min(turn.parent, turn.number - 1))
            number = max(turn.number, self._last_number + 1)
            parent = new[index - 1] if index else START
            settled = replace(turn, number=number, parent=parent, cuts={})
            self._add(Exchange(number=number, parent=parent, origin=turn.origin, settled=settled))
            known.append(turn.number)
            new.append(number)
        for parent, children in self._children.items():
            chosen = chat.state.choices.get(parent)
            children.sort(key=lambda child, chosen=chosen: (child == chosen, child))  # type: ignore[misc]
        if turns := self.turns():
            cuts = {at: frozenset(range(1, last + 1)) for at, last in chat.state.cuts.items()}
            self._all[turns[-1].number].settled = replace(turns[-1], cuts=cuts)

    def __iter__(self) -> Iterator[int]:
        """Iterate over all numbers, those of other branches too."""
        return iter(self._all)

    def __contains__(self, number: int) -> bool:
        """Tell whether a prompt of that number has been sent, and has an answer or may have one."""
        return number in self.sendings or self.turn(number) is not None

    # What there is

    def path(self, number: int = START) -> list[int]:
        """The numbers of the active branch, or what one of any branch goes on with."""
        path = []
        while children := self._children[number]:
            number = children[-1]
            path.append(number)
        return path

    def _path_to(self, number: int) -> list[int]:
        """The numbers from the start up to one of them."""
        path = []
        while number != START:
            path.append(number)
            number = self._all[number].parent
        return path[::-1]

    @property
    def num_others(self) -> int:
        """How many branches there are beside the active one."""
        num_ends = sum(not children for number, children in self._children.items() if number)
        return max(num_ends - 1, 0)

    @property
    def choices(self) -> dict[int, int]:
        """Which child is active wherever that is not the newest one, by parent."""
        return {
            parent: children[-1]
            for parent, children in self._children.items()
            if children and children[-1] != max(children)
        }

    def shown(self) -> tuple[Exchange, ...]:
        """The active branch."""
        if self._shown is None:
            found = map(self.exchange, self.path())
            self._shown = tuple(one for one in found if one is not None)
        return self._shown

    def exchange(self, number: int) -> Exchange | None:
        """What stands at a number, on any branch; None if nothing is to be shown of it."""
        if number not in self:
            return None
        one = self._all[number]
        siblings = sorted(filter(self.__contains__, self._children[one.parent]))
        return replace(one, siblings=tuple(siblings), sending=self.sendings.get(number))

    def turns(self) -> tuple[Turn, ...]:
        """The finished turns of the active branch, those being replaced included."""
        return self._turns(self.path())

    def _turns(self, numbers: Iterable[int]) -> tuple[Turn, ...]:
        return tuple(turn for number in numbers if (turn := self.turn(number)) is not None)

    def turn(self, number: int) -> Turn | None:
        """The turn that counts at a number, on any branch; None while there is none."""
        exchange = self._all.get(number)
        return exchange.settled if exchange is not None else None

    def is_kept(self, number: int) -> bool:
        """Tell whether what stands at a number may be written to the disk."""
        return number in self and self._all[number].is_kept

    def over(self) -> list[int]:
        """The numbers whose answers are there and have not been taken in yet."""
        return [number for number, sending in self.sendings.items() if sending.future.done()]

    def kept_parent(self, number: int) -> int:
        """The last number before another one that is written to the disk, or is to be."""
        parent = self._all[number].parent
        while parent != START and not self._all[parent].is_kept:
            parent = self._all[parent].parent
        return parent

    def prompts_with(self, number: int) -> set[str]:
        """The hashes of the prompts that told a number, its own included."""
        told = {number}
        for other in sorted(self._all):  # a number is larger than its parent's
            if self._all[other].parent in told:
                told.add(other)
        past = {prompt for prompt, numbers in self.past_prompts.items() if number in numbers}
        return (self.prompts(told) | past) - self.prompts(self._all.keys() - told)

    def prompts(self, numbers: Iterable[int] | None = None) -> set[str]:
        """What the prompts of some numbers are kept under, or of all there are."""
        turns = self._turns(self._all if numbers is None else numbers)
        made = [turn.completion.provenance for turn in turns]
        return {record.prompt_key for record in made if record is not None}

    def of_origin(self, is_wanted: Callable[[Any], bool]) -> dict[int, Hashable]:
        """The origins that are wanted, by number, on all branches."""
        return {n: one.origin for n, one in self._all.items() if is_wanted(one.origin)}

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of an earlier kernel that nobody has gone on from."""
        return frozenset(n for n, one in self._all.items() if one.tick == _EARLIER)

    # What is sent

    def place(
        self, tick: int, origin: Hashable = None, after: int | None = None, *, goes_on: bool = False
    ) -> Exchange:
        """Where a prompt of a moment stands; nothing changes.

        That is after a number that is there, where the last prompt of its origin stands, or at the
        end. Unless it `goes_on` from there, it follows nothing of later, nor of an earlier kernel.
        """
        if after is not None:
            return self._new_place(tick, origin, self._path_to(after), is_at_end=False)
        active = self.path()
        path = active if goes_on else self._above(active, tick)
        new = self._new_place(tick, origin, path, is_at_end=path == active)
        same = () if origin is None else self.of_origin(lambda other: bool(other == origin))
        number = next(iter(same), None)
        if number is None:
            return new
        old = self._all[number]
        if old.tick != _EARLIER or (not goes_on and old.parent == new.parent):
            return self._place_of(old, tick)
        return replace(new, elsewhere=number)

    def _above(self, path: list[int], tick: int) -> list[int]:
        """The beginning of a branch that stands above a moment of this kernel."""
        ticks = (self._all[number].tick for number in path)
        is_above = [_EARLIER < one < tick for one in ticks]
        return path[: is_above.index(False)] if False in is_above else path

    def _place_of(self, old: Exchange, tick: int) -> Exchange:
        """The place of a prompt that was sent before; after it is what this kernel went on with."""
        after = (n for n in self.path(old.number) if self._all[n].tick != _EARLIER)
        later = self._turns(after)[-1:]
        return replace(
            old,
            tick=tick,
            is_at_end=False,
            before=self._turns(self._path_to(old.parent)),
            later_cuts=later[0].cuts if later else {},
        )

    def _new_place(
        self, tick: int, origin: Hashable, path: list[int], *, is_at_end: bool
    ) -> Exchange:
        """A new place after a path."""
        return Exchange(
            number=self._last_number + 1,
            tick=tick,
            origin=origin,
            parent=path[-1] if path else START,
            is_at_end=is_at_end,
            before=self._turns(path),
        )

    def _add(self, exchange: Exchange) -> None:
        """Add an exchange; it becomes active if it is the only one there."""
        self._last_number = number = exchange.number
        self._all[number] = exchange
        self._children[number] = []
        self._children[exchange.parent].insert(0, number)

    def hold(self, place: Exchange) -> None:
        """Hold a place for a prompt that is about to be sent."""
        self._held.append(place)
        if place.number not in self._all:
            self._add(replace(place, before=(), elsewhere=None))

    def release(self, place: Exchange) -> bool:
        """Hold a place no longer, if it is; tell whether nothing stands there, nor is going to."""
        self._held = [other for other in self._held if other is not place]
        return self.is_empty(place.number)

    def is_empty(self, number: int) -> bool:
        """Tell whether nothing stands at a number, nor is going to."""
        is_held = any(place.number == number for place in self._held)
        return number in self._all and number not in self and not is_held

    def has_children(self, number: int) -> bool:
        """Tell whether something follows a number."""
        return bool(self._children[number])

    def begin(self, sending: Sending) -> bool:
        """Take in a prompt that was sent, unless its place has gone meanwhile; say whether.

        Its branch becomes the active one, but for a prompt at the end: that was sent where
        everything goes on, and whoever has turned to another branch since then meant to.
        """
        place = sending.place
        self.release(place)
        exchange = self._all.get(place.number)
        if exchange is None:
            return False
        if exchange.settled is None:
            exchange.is_kept = sending.asked.is_kept
        if place.elsewhere is not None:
            self._disown(self._all[place.elsewhere])
        for before in map(self._all.__getitem__, self._path_to(exchange.parent)):
            before.tick = max(before.tick, 0)  # a part of this kernel's talk
        if not place.is_at_end:
            self.choose(place.number)
        self.sendings[place.number] = sending
        self._shown = None
        return True

    def settle(self, number: int) -> Turn | None:
        """The turn that an answer makes; without a word of it, what was is again."""
        sending, exchange = self.sendings.pop(number), self._all[number]
        self._shown = None
        completion = sending.completion
        if completion is None:
            if sending.future.exception() is None:
                self._let_go(number, sending.future.result())
            return None
        if exchange.settled is not None:
            self._let_go(number, exchange.settled.completion)
        self._finished_at = max(time.time(), self._finished_at + _TICK_S)
        exchange.is_kept, exchange.tick = sending.asked.is_kept, sending.place.tick
        exchange.settled = Turn(
            prompt=sending.asked.prompt,
            completion=completion,
            origin=exchange.origin,
            by=sending.asked.by,
            told=sending.draft.owned,
            number=number,
            parent=exchange.parent,
            finished_at=self._finished_at,
            cuts=sending.cuts,
            instruction=sending.asked.instruction,
        )
        return exchange.settled

    def _let_go(self, number: int, completion: Completion) -> None:
        """Note the prompt of an answer that no longer counts, or never did: it is kept still."""
        if completion.provenance is not None:
            told = self.past_prompts.setdefault(completion.provenance.prompt_key, set())
            told.update(self._path_to(number))

    # What is changed

    def resume(self) -> list[Hashable]:
        """Take up all that an earlier kernel wrote, and return whose turns that were.

        They are no cell's any more, and their branch becomes the active one.
        """
        restored = [self._all[number] for number in self.restored]
        if self._kept_end in self.restored:
            self.choose(self._kept_end)
        origins = [exchange.origin for exchange in restored]
        for exchange in restored:
            self._disown(exchange)
            exchange.tick = 0
        return origins

    @staticmethod
    def _disown(exchange: Exchange) -> None:
        """Let an exchange be no cell's."""
        exchange.origin = None
        if exchange.settled is not None:
            exchange.settled = replace(exchange.settled, origin=None)

    def choose(self, number: int) -> bool:
        """Make the branch through a number the active one, and return whether it was another."""
        before = self.path()
        while number != START:
            parent = self._all[number].parent
            siblings = self._children[parent]
            siblings.append(siblings.pop(siblings.index(number)))
            number = parent
        self._shown = None
        return self.path() != before

    def remove(self, number: int) -> Sending | None:
        """Take out what stands at a number, and return what was being written of it.

        What followed it follows its parent.
        """
        if (gone := self.turn(number)) is not None:
            self._let_go(number, gone.completion)
        parent, children = self._all.pop(number).parent, self._children.pop(number)
        siblings = self._children[parent]
        index = siblings.index(number)
        siblings[index : index + 1] = children
        for child in map(self._all.__getitem__, children):
            child.parent = parent
            if child.settled is not None:
                child.settled = replace(child.settled, parent=parent)
        self._shown = None
        return self.sendings.pop(number, None)

    def clear(self) -> list[Sending]:
        """Take out everything, and return what was being written; numbers go on from there."""
        sendings = list(self.sendings.values())
        self.sendings.clear()
        self._all.clear()
        self._children = {START: []}
        self._shown = None
        return sendings
