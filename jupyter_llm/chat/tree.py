"""The prompts and answers of a chat, those being written too, as branches. Not for several threads.

A prompt has its place as soon as it is about to be sent, so that prompts sent at the same time
follow one another. Its answer counts once there is a word of it; else the place is given up.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.chat.branches import START, Branches
from jupyter_llm.chat.draft import Cut, Part, Turn, attachments_in
from jupyter_llm.chat.plan import Place
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from weakref import ReferenceType

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.plan import Plan
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request

_TICK_S = 1e-3  # no two turns of a chat are finished at the same time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sending:
    """A prompt on its way, from when it is ready until its answer is a turn.

    `cuts` are what its branch leaves out from then on, by conversation. Nothing here keeps the
    `stream` from being given up.
    """

    asked: Asked
    engine: Engine
    request: Request
    place: Place
    plan: Plan
    cuts: Mapping[str, Cut]
    future: Future[Completion] = field(default_factory=Future)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What stands at a number: a prompt with its answer, finished or not.

    `settled` is the turn that counts, also while another one is written in its place. `siblings`
    are the numbers of all that stand after `parent`, the oldest first, its own included. `tick` is
    None for what an earlier kernel wrote and nobody has gone on from in this one.
    """

    origin: Hashable = None
    settled: Turn | None = None
    is_kept: bool = True
    tick: int | None = None
    # Known of what is shown.
    number: int = 0
    parent: int = START
    siblings: tuple[int, ...] = ()
    sending: Sending | None = field(default=None, repr=False)

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
    def told(self) -> tuple[Part, ...]:
        """What went along with the prompt and with none before it."""
        if self.sending is not None:
            return self.sending.plan.told
        return self.settled.told if self.settled is not None else ()

    @property
    def attachments(self) -> tuple[tuple[str, str], ...]:
        """The names and texts of what was attached to the prompt."""
        return attachments_in(self.told)


class Exchanges:
    """The exchanges of one chat."""

    def __init__(self, turns: Branches[Turn] | None = None) -> None:
        given: Branches[Turn] = turns if turns is not None else Branches()
        self.branches = given.mapped(lambda _, turn: Exchange(origin=turn.origin, settled=turn))
        self.sendings: dict[int, Sending] = {}  # what is being written, by number
        # Prompts of this kernel that are no turn's any more, by hash, and the numbers they told.
        self.past_prompts: dict[str, set[int]] = {}
        self._kept_end = [START, *given.path()][-1]
        self._held: list[Place] = []  # by prompts that are about to be sent
        self._shown: tuple[Exchange, ...] | None = None  # None: something has changed
        self._finished_at = 0.0

    def __contains__(self, number: int) -> bool:
        """Tell whether a prompt of that number has been sent, and has an answer or may have one."""
        return number in self.sendings or self.turn(number) is not None

    # What there is

    def shown(self) -> tuple[Exchange, ...]:
        """The active branch."""
        if self._shown is None:
            found = map(self.exchange, self.branches.path())
            self._shown = tuple(one for one in found if one is not None)
        return self._shown

    def exchange(self, number: int) -> Exchange | None:
        """What stands at a number, on any branch; None if nothing is to be shown of it."""
        if number not in self:
            return None
        parent = self.branches.parent(number)
        return replace(
            self.branches[number],
            number=number,
            parent=parent,
            siblings=tuple(filter(self.__contains__, self.branches.children(parent))),
            sending=self.sendings.get(number),
        )

    def turns(self) -> tuple[Turn, ...]:
        """The finished turns of the active branch, those being replaced included."""
        return self._turns(self.branches.path())

    def turn(self, number: int) -> Turn | None:
        """The turn that counts at a number, on any branch; None while there is none."""
        exchange = self.branches.get(number)
        return exchange.settled if exchange is not None else None

    def over(self) -> list[int]:
        """The numbers whose answers are there and have not been taken in yet."""
        return [number for number, sending in self.sendings.items() if sending.future.done()]

    def kept_parent(self, number: int) -> int:
        """The last number before another one that is written to the disk, or is to be."""
        parent = self.branches.parent(number)
        while parent != START and not self.branches[parent].is_kept:
            parent = self.branches.parent(parent)
        return parent

    def prompts_with(self, number: int) -> set[str]:
        """The hashes of the prompts that told a number, its own included."""
        told = {number}
        for other in sorted(self.branches):  # a number is larger than its parent's
            if self.branches.parent(other) in told:
                told.add(other)
        past = {prompt for prompt, numbers in self.past_prompts.items() if number in numbers}
        return (self.prompts(told) | past) - self.prompts(set(self.branches) - told)

    def prompts(self, numbers: Iterable[int] | None = None) -> set[str]:
        """The hashes of the prompts of some numbers, or of all there are."""
        turns = self._turns(self.branches if numbers is None else numbers)
        made = [turn.completion.provenance for turn in turns]
        return {record.prompt_sha256 for record in made if record is not None}

    def of_origin(self, is_wanted: Callable[[Any], bool]) -> dict[int, Hashable]:
        """The origins that are wanted, by number, on all branches."""
        origins = ((number, self.branches[number].origin) for number in self.branches)
        return {number: origin for number, origin in origins if is_wanted(origin)}

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of an earlier kernel that nobody has gone on from."""
        return frozenset(n for n in self.branches if self.branches[n].tick is None)

    # What is sent

    def place(
        self, tick: int, origin: Hashable = None, after: int | None = None, *, goes_on: bool = False
    ) -> Place:
        """Where a prompt of a moment stands; nothing changes.

        That is after a number that is there, where the last prompt of its origin stands, or at the
        end. Unless it `goes_on` from there, it follows nothing of later, nor of an earlier kernel.
        """
        if after is not None:
            return self._new_place(tick, self.branches.path_to(after), is_at_end=False)
        active = self.branches.path()
        path = active if goes_on else self._above(active, tick)
        same = () if origin is None else self.of_origin(lambda other: bool(other == origin))
        number = next(iter(same), None)
        new = self._new_place(tick, path, is_at_end=path == active)
        if number is None:
            return new
        is_from_here = self.branches[number].tick is not None
        if is_from_here or (not goes_on and self.branches.parent(number) == new.parent):
            return self._place_of(number, tick)
        return replace(new, elsewhere=number)

    def _above(self, path: list[int], tick: int) -> list[int]:
        """The beginning of a branch that stands above a moment of this kernel."""
        ticks = (self.branches[number].tick for number in path)
        is_above = [one is not None and one < tick for one in ticks]
        return path[: is_above.index(False)] if False in is_above else path

    def _place_of(self, number: int, tick: int) -> Place:
        """The place of a prompt that was sent before; after it is what this kernel went on with."""
        path = self.branches.path_through(number)
        index = path.index(number)
        after = (n for n in path[index + 1 :] if self.branches[n].tick is not None)
        later = self._turns(after)[-1:]
        return Place(
            number=number,
            tick=tick,
            parent=self.branches.parent(number),
            is_at_end=False,
            before=self._turns(path[:index]),
            later_cuts=later[0].cuts if later else {},
            replaced=self.turn(number),
        )

    def _new_place(self, tick: int, path: list[int], *, is_at_end: bool) -> Place:
        """A new place after a path."""
        return Place(
            number=self.branches.next_number,
            tick=tick,
            parent=path[-1] if path else START,
            is_at_end=is_at_end,
            before=self._turns(path),
        )

    def hold(self, place: Place, origin: Hashable) -> None:
        """Hold a place for a prompt that is about to be sent."""
        self._held.append(place)
        if place.number not in self.branches:
            new = Exchange(origin=origin, tick=place.tick)
            self.branches.add(new, place.parent, place.number)

    def release(self, place: Place) -> None:
        """Hold a place no longer, if it is."""
        self._held = [other for other in self._held if other is not place]

    def is_empty(self, number: int) -> bool:
        """Tell whether nothing stands at a number, nor is going to."""
        is_held = any(place.number == number for place in self._held)
        return number in self.branches and number not in self and not is_held

    def begin(self, sending: Sending) -> bool:
        """Take in a prompt that was sent, unless its place has gone meanwhile; say whether.

        Its branch becomes the active one, but for a prompt at the end: that was sent where
        everything goes on, and whoever has turned to another branch since then meant to.
        """
        place = sending.place
        number = place.number
        self.release(place)
        if number not in self.branches:
            return False
        if self.turn(number) is None:
            self._change(number, is_kept=sending.asked.is_kept)
        if place.elsewhere is not None:
            self._disown(place.elsewhere)
        for before in self.branches.path_to(self.branches.parent(number)):
            self._take_up(before)
        if not place.is_at_end:
            self.branches.choose(number)
        self.sendings[number] = sending
        self._shown = None
        return True

    def settle(self, number: int) -> Turn | None:
        """The turn that an answer makes; without a word of it, what was is again."""
        sending = self.sendings.pop(number)
        self._shown = None
        completion = sending.completion
        if completion is None:
            if sending.future.exception() is None:
                self._let_go(number, sending.future.result())
            return None
        self._finished_at = max(time.time(), self._finished_at + _TICK_S)
        turn = Turn(
            prompt=sending.asked.prompt,
            completion=completion,
            origin=self.branches[number].origin,
            told=sending.plan.told,
            number=number,
            parent=self.branches.parent(number),
            finished_at=self._finished_at,
            cuts=sending.cuts,
        )
        if (old := self.turn(number)) is not None:
            self._let_go(number, old.completion)
        is_kept = sending.asked.is_kept
        self._change(number, settled=turn, is_kept=is_kept, tick=sending.place.tick)
        return turn

    def _let_go(self, number: int, completion: Completion) -> None:
        """Note the prompt of an answer that no longer counts, or never did: it is kept still."""
        if completion.provenance is not None:
            told = self.past_prompts.setdefault(completion.provenance.prompt_sha256, set())
            told.update(self.branches.path_to(number))

    # What is changed

    def resume(self) -> list[Hashable]:
        """Take up all that an earlier kernel wrote, and return whose turns that were.

        They are no cell's any more: one that runs again goes on from them. Their branch becomes the
        active one.
        """
        kept_end = self.branches.get(self._kept_end)
        if kept_end is not None and kept_end.tick is None:
            self.choose(self._kept_end)
        restored = self.restored
        origins = [self.branches[number].origin for number in restored]
        for number in restored:
            self._disown(number)
            self._take_up(number)
        return origins

    def _take_up(self, number: int) -> None:
        """Let what stands at a number be a part of this kernel's talk."""
        if self.branches[number].tick is None:
            self._change(number, tick=0)

    def _disown(self, number: int) -> None:
        """Let what stands at a number be no cell's."""
        turn = self.turn(number)
        settled = replace(turn, origin=None) if turn is not None else None
        self._change(number, settled=settled, origin=None)

    def _change(self, number: int, **changes: Any) -> None:
        self.branches[number] = replace(self.branches[number], **changes)

    def choose(self, number: int) -> bool:
        """Make the branch through a number the active one, and return whether it was another."""
        before = self.branches.path()
        self.branches.choose(number)
        self._shown = None
        return self.branches.path() != before

    def remove(self, number: int) -> Sending | None:
        """Take out what stands at a number, and return what was being written of it.

        What followed it follows its parent.
        """
        if (gone := self.turn(number)) is not None:
            self._let_go(number, gone.completion)
        children = self.branches.children(number)
        parent = self.branches.remove(number)
        for child in children:
            if (turn := self.turn(child)) is not None:
                self._change(child, settled=replace(turn, parent=parent))
        self._shown = None
        return self.sendings.pop(number, None)

    def clear(self) -> list[Sending]:
        """Take out everything, and return what was being written."""
        sendings = list(self.sendings.values())
        self.sendings.clear()
        self.branches.clear()
        self._shown = None
        return sendings

    def _turns(self, numbers: Iterable[int]) -> tuple[Turn, ...]:
        return tuple(turn for number in numbers if (turn := self.turn(number)) is not None)
