"""The prompts of a chat as a tree, of which one branch is active. Not thread-safe.

A prompt has its place before it is sent, so prompts that are sent at the same time follow one
another. Its answer counts once it has a word; without a word the place is removed.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.chat.context import Turn
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
    from weakref import ReferenceType

    from jupyter_llm.chat.context import Context, Cut, Part
    from jupyter_llm.chat.question import ChatQuestion
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
    """A prompt that was sent, or is about to be, until its answer is a turn.

    `cuts`: what its branch leaves out from then on, by conversation. `left_out`: how many turns and
    cells. `script`: asks for the same code as the next cell of a program. The reference to the
    `stream` is weak, so that a stream without a reader is cancelled. `code` is the turn's.
    """

    question: ChatQuestion
    engine: Engine
    request: Request
    place: Place
    context: Context
    cuts: Mapping[str, Cut]
    left_out: tuple[int, int]
    script: Script | None = None
    future: Future[Completion] = field(default_factory=Future)
    stream: ReferenceType[Stream] | None = None
    code: Any = None

    @property
    def prompt(self) -> RawPrompt | tuple[Message, ...]:
        """The prompt of the first request."""
        return self.script.prompt if self.script is not None else self.context.messages

    @property
    def completion(self) -> Completion | None:
        """The completion, or the part of it that was written before an error.

        None if it has no word.
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

    def turn(self, completion: Completion, node: _Node, finished_at: float) -> Turn:
        """Return the turn that an answer makes."""
        return Turn(
            prompt=self.question.prompt,
            completion=completion,
            origin=node.origin,
            by=self.question.by,
            parts=self.context.owned,
            number=node.number,
            parent=node.parent,
            finished_at=finished_at,
            cuts=self.cuts,
            instruction=self.question.instruction,
            code=self.code,
        )

    def cancel(self) -> None:
        """Stop writing, if somebody still reads the stream."""
        if self.stream is not None and (stream := self.stream()) is not None:
            stream.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a prompt that is to be sent: its number in the chat, and the turns before it.

    `settled`: the turn that the answer replaces. `tick` and `names`: when the prompt was first
    asked in this kernel, and the variables of that moment. A cell that ran for the first time after
    it is below the cell of the prompt. `later_cuts`: what the prompts after it leave out by now.
    `is_at_end`: the prompt follows the active branch, so it neither begins a branch nor replaces a
    turn. `elsewhere`: the number of an older turn of this cell on another branch. It is kept, but
    running the cell again no longer replaces it.
    """

    number: int
    parent: int = START
    origin: Hashable = None
    settled: Turn | None = None
    tick: int
    names: frozenset[str] = frozenset()
    before: tuple[Turn, ...] = field(default=(), repr=False)
    later_cuts: Mapping[str, Cut] = field(default_factory=dict, repr=False)
    is_at_end: bool = True
    elsewhere: int | None = None

    @property
    def cuts(self) -> Mapping[str, Cut]:
        """The cuts before the prompt, by conversation."""
        return self.before[-1].cuts if self.before else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A prompt of a chat as it is shown: with its turn, or while its answer is being written.

    `siblings` are the numbers of all prompts after `parent`, the oldest first, its own included.
    While another answer is `sending`, the turn that is `settled` counts.
    """

    number: int
    parent: int
    siblings: tuple[int, ...]
    settled: Turn | None
    sending: Sending | None = field(default=None, repr=False)

    @property
    def turn(self) -> Turn | None:
        """The finished turn; None while the answer is written."""
        return self.settled if self.sending is None else None

    @property
    def is_finished(self) -> bool:
        """Whether the answer is complete."""
        return self.sending is None

    @property
    def stream(self) -> Stream | None:
        """The stream of the answer, unless nobody reads it any more."""
        ref = self.sending.stream if self.sending is not None else None
        return ref() if ref is not None else None

    @property
    def prompt(self) -> str:
        """The text of the prompt."""
        if self.sending is not None:
            return self.sending.question.prompt
        return self.settled.prompt if self.settled is not None else ""

    @property
    def by(self) -> str:
        """The person who asked, if known."""
        if self.sending is not None:
            return self.sending.question.by
        return self.settled.by if self.settled is not None else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that this prompt includes and no prompt before it."""
        if self.sending is not None:
            return self.sending.context.owned
        return self.settled.parts if self.settled is not None else ()


@dataclass(slots=True, kw_only=True)
class _Node:
    """A number of the tree, with the turn that counts there, if there is one.

    `tick`: when its prompt was first asked in this kernel.
    """

    number: int
    parent: int = START
    origin: Hashable = None
    settled: Turn | None = None
    is_kept: bool = True
    tick: int = _EARLIER


class Branches:
    """The tree of one chat: nodes by their numbers; several may follow the same one.

    The number of a node is larger than that of its parent, and is never used twice. The active
    branch starts at the root and takes the child that was active last.
    """

    def __init__(self, chat: SavedChat | None = None) -> None:
        self.sendings: dict[int, Sending] = {}  # what is being written, by number
        # Prompts of this kernel that are no turn's any more, by hash, and the numbers they told.
        self.past_prompts: dict[str, set[int]] = {}
        self._all: dict[int, _Node] = {}
        self._children: dict[int, list[int]] = {START: []}  # the one that was active last is last
        self._last_number = START
        self._held: list[Place] = []  # by prompts that are about to be sent
        self._shown: tuple[Exchange, ...] | None = None  # None: something has changed
        self._finished_at = 0.0
        if chat is not None:
            self._restore(chat)
        self._kept_end = [START, *self.path()][-1]

    def _restore(self, chat: SavedChat) -> None:
        """Add turns of earlier kernels; without its parent a turn follows the last before that.

        If two kernels wrote turns with the same number, the later ones get another number.
        """
        known: list[int] = []  # the numbers as they were kept, in their order
        new: list[int] = []  # and as they are now
        for turn in sorted(chat.turns, key=lambda turn: turn.number):
            index = bisect_right(known, min(turn.parent, turn.number - 1))
            number = max(turn.number, self._last_number + 1)
            parent = new[index - 1] if index else START
            settled = replace(turn, number=number, parent=parent, cuts={})
            self._add(_Node(number=number, parent=parent, origin=turn.origin, settled=settled))
            known.append(turn.number)
            new.append(number)
        for parent, children in self._children.items():
            chosen = chat.state.choices.get(parent)
            children.sort(key=lambda child, chosen=chosen: (child == chosen, child))  # type: ignore[misc]
        if turns := self.turns():
            cuts = {at: frozenset(range(1, last + 1)) for at, last in chat.state.cuts.items()}
            self._all[turns[-1].number].settled = replace(turns[-1], cuts=cuts)

    def __iter__(self) -> Iterator[int]:
        """Iterate over all numbers, also those of other branches."""
        return iter(self._all)

    def __contains__(self, number: int) -> bool:
        """Whether the prompt of a number was sent, and has an answer or may get one."""
        return number in self.sendings or self.turn(number) is not None

    # What there is

    def path(self, number: int = START) -> list[int]:
        """Return the numbers of the active branch, or those that follow a number."""
        path = []
        while children := self._children[number]:
            number = children[-1]
            path.append(number)
        return path

    def _path_to(self, number: int) -> list[int]:
        """Return the numbers from the start up to a number."""
        path = []
        while number != START:
            path.append(number)
            number = self._all[number].parent
        return path[::-1]

    @property
    def num_others(self) -> int:
        """The number of branches beside the active one."""
        num_ends = sum(not children for number, children in self._children.items() if number)
        return max(num_ends - 1, 0)

    @property
    def choices(self) -> dict[int, int]:
        """The active child by its parent, for parents whose active child is not the newest."""
        return {
            parent: children[-1]
            for parent, children in self._children.items()
            if children and children[-1] != max(children)
        }

    def shown(self) -> tuple[Exchange, ...]:
        """Return the active branch."""
        if self._shown is None:
            found = map(self.exchange, self.path())
            self._shown = tuple(one for one in found if one is not None)
        return self._shown

    def exchange(self, number: int) -> Exchange | None:
        """Return the prompt of a number with its answer; None if there is nothing to show."""
        if number not in self:
            return None
        node = self._all[number]
        return Exchange(
            number=number,
            parent=node.parent,
            siblings=tuple(sorted(filter(self.__contains__, self._children[node.parent]))),
            settled=node.settled,
            sending=self.sendings.get(number),
        )

    def turns(self) -> tuple[Turn, ...]:
        """Return the finished turns of the active branch, also those that are being replaced."""
        return self._turns(self.path())

    def _turns(self, numbers: Iterable[int]) -> tuple[Turn, ...]:
        return tuple(turn for number in numbers if (turn := self.turn(number)) is not None)

    def turn(self, number: int) -> Turn | None:
        """Return the turn of a number on any branch; None while there is none."""
        node = self._all.get(number)
        return node.settled if node is not None else None

    def is_kept(self, number: int) -> bool:
        """Whether the turn of a number may be written to the disk."""
        return number in self and self._all[number].is_kept

    def over(self) -> list[int]:
        """Return the numbers whose answers are complete, but not settled yet."""
        return [number for number, sending in self.sendings.items() if sending.future.done()]

    def kept_parent(self, number: int) -> int:
        """Return the last number before another one that is, or will be, on the disk."""
        parent = self._all[number].parent
        while parent != START and not self._all[parent].is_kept:
            parent = self._all[parent].parent
        return parent

    def prompts_with(self, number: int) -> set[str]:
        """Return the hashes of the prompts that include a number, its own too."""
        included = {number}
        for other in sorted(self._all):  # a number is larger than its parent's
            if self._all[other].parent in included:
                included.add(other)
        past = {prompt for prompt, numbers in self.past_prompts.items() if number in numbers}
        return (self.prompts(included) | past) - self.prompts(self._all.keys() - included)

    def prompts(self, numbers: Iterable[int] | None = None) -> set[str]:
        """Return the hashes of the prompts of some numbers, or of all."""
        turns = self._turns(self._all if numbers is None else numbers)
        made = [turn.completion.provenance for turn in turns]
        return {record.prompt_key for record in made if record is not None}

    def of_origin(self, is_wanted: Callable[[Any], bool]) -> dict[int, Hashable]:
        """Return the wanted origins by their numbers, on all branches."""
        return {n: one.origin for n, one in self._all.items() if is_wanted(one.origin)}

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of an earlier kernel that this kernel has not continued."""
        return frozenset(n for n, one in self._all.items() if one.tick == _EARLIER)

    # What is sent

    def place(
        self,
        tick: int,
        origin: Hashable = None,
        after: int | None = None,
        *,
        continues: bool = False,
    ) -> Place:
        """Return the place of a prompt that is asked at a moment; nothing changes.

        That is after a given number, at the last prompt of its origin, or at the end. Unless the
        prompt `continues` from there, it follows no later turn and none of an earlier kernel.
        """
        if after is not None:
            return self._new_place(tick, origin, self._path_to(after), is_at_end=False)
        active = self.path()
        path = active if continues else self._above(active, tick)
        new = self._new_place(tick, origin, path, is_at_end=path == active)
        same = () if origin is None else self.of_origin(lambda other: bool(other == origin))
        number = next(iter(same), None)
        if number is None:
            return new
        old = self._all[number]
        if old.tick != _EARLIER or (not continues and old.parent == new.parent):
            return self._place_of(old, tick)
        return replace(new, elsewhere=number)

    def _above(self, path: list[int], tick: int) -> list[int]:
        """Return the start of a branch that is above a moment of this kernel."""
        ticks = (self._all[number].tick for number in path)
        is_above = [_EARLIER < one < tick for one in ticks]
        return path[: is_above.index(False)] if False in is_above else path

    def _place_of(self, old: _Node, tick: int) -> Place:
        """Return the place of a prompt that was sent before."""
        after = (n for n in self.path(old.number) if self._all[n].tick != _EARLIER)
        later = self._turns(after)[-1:]
        return Place(
            number=old.number,
            parent=old.parent,
            origin=old.origin,
            settled=old.settled,
            tick=tick,
            is_at_end=False,
            before=self._turns(self._path_to(old.parent)),
            later_cuts=later[0].cuts if later else {},
        )

    def _new_place(self, tick: int, origin: Hashable, path: list[int], *, is_at_end: bool) -> Place:
        """Return a new place after a path."""
        return Place(
            number=self._last_number + 1,
            tick=tick,
            origin=origin,
            parent=path[-1] if path else START,
            is_at_end=is_at_end,
            before=self._turns(path),
        )

    def _add(self, node: _Node) -> None:
        """Add a node; it becomes active if its parent has no other child."""
        self._last_number = number = node.number
        self._all[number] = node
        self._children[number] = []
        self._children[node.parent].insert(0, number)

    def hold(self, place: Place) -> None:
        """Hold a place for a prompt that is about to be sent."""
        self._held.append(place)
        if place.number not in self._all:
            number, parent, origin = place.number, place.parent, place.origin
            self._add(_Node(number=number, parent=parent, origin=origin, tick=place.tick))

    def release(self, place: Place) -> bool:
        """Stop holding a place; return whether no prompt has it, nor is going to."""
        self._held = [other for other in self._held if other is not place]
        return self.is_empty(place.number)

    def is_empty(self, number: int) -> bool:
        """Whether a number has no prompt, and none is about to be sent."""
        is_reserved = any(place.number == number for place in self._held)
        return number in self._all and number not in self and not is_reserved

    def has_children(self, number: int) -> bool:
        """Whether a turn follows a number."""
        return bool(self._children[number])

    def begin(self, sending: Sending) -> bool:
        """Add a prompt that was sent, unless its place was removed meanwhile; return whether.

        Its branch becomes the active one. Only if the prompt continues the end of a branch, and the
        user has chosen another branch since, does that choice stay.
        """
        place = sending.place
        self.release(place)
        node = self._all.get(place.number)
        if node is None:
            return False
        if node.settled is None:
            node.is_kept = sending.question.is_kept
        if place.elsewhere is not None:
            self._disown(self._all[place.elsewhere])
        for before in map(self._all.__getitem__, self._path_to(node.parent)):
            before.tick = max(before.tick, 0)  # a part of this kernel's talk
        if not place.is_at_end:
            self.choose(place.number)
        self.sendings[place.number] = sending
        self._shown = None
        return True

    def settle(self, number: int) -> Turn | None:
        """Make a turn of a completed answer; without a word, the previous turn counts again."""
        sending, node = self.sendings.pop(number), self._all[number]
        self._shown = None
        completion = sending.completion
        if completion is None:
            if sending.future.exception() is None:
                self._let_go(number, sending.future.result())
            return None
        if node.settled is not None:
            self._let_go(number, node.settled.completion)
        self._finished_at = max(time.time(), self._finished_at + _TICK_S)
        node.is_kept, node.tick = sending.question.is_kept, sending.place.tick
        node.settled = sending.turn(completion, node, self._finished_at)
        return node.settled

    def _let_go(self, number: int, completion: Completion) -> None:
        """Note the prompt of an answer that does not count: it is still stored."""
        if completion.provenance is not None:
            numbers = self.past_prompts.setdefault(completion.provenance.prompt_key, set())
            numbers.update(self._path_to(number))

    # What is changed

    def resume(self) -> list[Hashable]:
        """Take over all turns of an earlier kernel, and return their origins.

        They belong to no cell any more, and their branch becomes the active one.
        """
        restored = [self._all[number] for number in self.restored]
        if self._kept_end in self.restored:
            self.choose(self._kept_end)
        origins = [node.origin for node in restored]
        for node in restored:
            self._disown(node)
            node.tick = 0
        return origins

    @staticmethod
    def _disown(node: _Node) -> None:
        """Take a node from its cell."""
        node.origin = None
        if node.settled is not None:
            node.settled = replace(node.settled, origin=None)

    def choose(self, number: int) -> bool:
        """Make the branch through a number the active one; return whether it was another."""
        before = self.path()
        while number != START:
            parent = self._all[number].parent
            siblings = self._children[parent]
            siblings.append(siblings.pop(siblings.index(number)))
            number = parent
        self._shown = None
        return self.path() != before

    def remove(self, number: int) -> Sending | None:
        """Remove a number, and return its prompt if that is being answered.

        Turns that followed it follow its parent.
        """
        if (removed := self.turn(number)) is not None:
            self._let_go(number, removed.completion)
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
        """Remove everything, and return the prompts that are being answered; numbers continue."""
        sendings = list(self.sendings.values())
        self.sendings.clear()
        self._all.clear()
        self._children = {START: []}
        self._shown = None
        return sendings
