"""Who runs next: a state machine that steps.

It knows tokens, positions and sequence numbers; not llama.cpp, not text and not threads. Each
step runs one batch of one class of requests: the next token of every sequence that decodes, and as
much of the waiting prefill as fits.
"""

from __future__ import annotations

import collections.abc
import time
from bisect import insort
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_llm.engine.local.sched.slots import Placement, Slot, Slots, common_prefix
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ContextOverflowError, EngineError

if TYPE_CHECKING:
    import numpy as np

    from jupyter_llm.engine.options import FinishReason

_HEADROOM = 256  # tokens of a completion that must have room before it begins
_MIN_WAIT = 16  # tokens: a shorter start is read twice rather than waited for
_MAX_WAITING_FOR_PREFIX = 8  # looked past in one step; the others of a bulk wait for the same
MOST_FORCED = 32  # tokens in a step; each takes memory for its logits
_MOST_READ = 64  # tokens in a step that are judged one after the other, for the same reason
_PATIENCE = 240  # tokens that higher classes evaluate before a lower one gets a step
_SMALL_BATCH = 32  # tokens of such a step, and of one that was aborted again and again


Paths = collections.abc.Sequence[tuple[int, ...]]


class Decoded(Enum):
    """How the evaluation of a batch ended."""

    OK = "ok"
    NO_ROOM = "no room in the KV cache; nothing was evaluated"
    ABORTED = "aborted; the batch's sequences must be trimmed to where they were"
    FAILED = "failed; the batch's sequences must be trimmed to where they were"


class Sampler(Protocol):
    """Draws the tokens of one sequence, and remembers those it drew."""

    def sample(self, index: int) -> int:
        """Draw a token from the logits of the batch's `index`-th token.

        Raises `EngineError` if none can come.
        """

    def accept(self, token_id: int) -> None:
        """Take in a token that had to come, and was not drawn."""

    def close(self) -> None:
        """Free what it holds; may be called twice."""


class Mask(Protocol):
    """Says what may come next in one answer, and knows the tokens that came so far."""

    def apply(self, logits: np.ndarray) -> None:
        """Set the logits of all tokens that may not come to -inf, in place; no others are so."""

    def accept(self, token_id: int) -> None:
        """Take in a token that was drawn, one of those that might come."""

    def forced(self) -> collections.abc.Sequence[int]:
        """The tokens that come next whatever the model likes, as far as that is known."""

    def num_fitting(self, token_ids: collections.abc.Sequence[int]) -> int:
        """How many of some tokens may come one after the other."""

    @property
    def is_over(self) -> bool:
        """Whether nothing may come any more but the end."""


class Scorer(Protocol):
    """Judges what is given instead of drawing tokens."""

    def observe(self, index: int, number: int, size: int) -> None:
        """Take what came of the batch's `index`-th token: the `number`-th path up to a size."""


class Drafter(Protocol):
    """Guesses what a sequence goes on with, so that several tokens are evaluated at once."""

    def propose(self, most: int) -> list[int]:
        """The tokens that may come next, none if guessing does not pay."""

    def append(self, token_id: int) -> None:
        """Take in a token that was drawn."""


class Width(Protocol):
    """Says how many bulk sequences run at once."""

    @property
    def limit(self) -> int:
        """The number that pays."""


class Model(Protocol):
    """What the scheduler needs of a model.

    `n_ctx` tokens is the longest sequence, `num_cells` the room of all together. The sequences of
    `spare_ids` are no slot's; tokens may be theirs as well as a slot's.
    """

    n_ctx: int
    n_batch: int
    num_cells: int
    spare_ids: range

    def decode(self, batch: Batch) -> Decoded:
        """Evaluate a batch."""

    def trim(self, seq_id: int, num_tokens: int) -> bool:
        """Keep the first tokens of a sequence; False if its memory cannot forget so."""

    def copy(self, source: int, target: int, num_tokens: int) -> bool:
        """Let an empty sequence share the first tokens of another; False if it cannot."""

    def is_end(self, token_id: int) -> bool:
        """Tell whether a token ends the text."""


@dataclass(slots=True)
class Batch:
    """Tokens to evaluate together, one list a column; some are `also` other sequences'."""

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    seq_ids: list[int] = field(default_factory=list)
    wants_logits: list[bool] = field(default_factory=list)
    also: dict[int, list[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.token_ids)

    def add(self, seq_id: int, token_ids: list[int], start: int, *, wants_from: int) -> None:
        """Add tokens of a sequence from a position on; logits are wanted of those from one on."""
        count = len(token_ids)
        self.token_ids += token_ids
        self.positions += range(start, start + count)
        self.seq_ids += [seq_id] * count
        num_plain = min(wants_from, count)
        self.wants_logits += [False] * num_plain + [True] * (count - num_plain)


@dataclass(slots=True, eq=False)
class Sequence:
    """One request on its way: waiting, then running in a slot, then finished.

    `token_ids` are the prompt's and then those drawn; the first `len(slot.token_ids)` of them have
    been evaluated. With `max_tokens=0` the prompt is only read. What a `mask` of the sampler's
    forces is not drawn but read with what comes before it, unless its logits are needed, too.
    `admitted_s` is when it first got a slot.

    With a `scorer` nothing is drawn: it judges what may follow the prompt, given as `paths` of
    tokens, from the prompt's last token on. They are in order and none begins another. One is
    evaluated after the other, as what follows the prompt in `token_ids`, or several together.

    With `num_led` it is held, instead of finished, after so many tokens or at its end: until it is
    to `go_on` in another way.
    """

    token_ids: list[int]
    max_tokens: int
    sampler: Sampler | None = None
    conversation: str | None = None
    ignore_eos: bool = False
    priority: Priority = Priority.CHAT
    is_pinned: bool = False
    is_private: bool = False
    scorer: Scorer | None = None
    paths: Paths = ()
    drafter: Drafter | None = None
    mask: Mask | None = None
    needs_logits: bool = False
    num_led: int = 0
    num_prompt: int = field(init=False)
    num_before: int = field(init=False)  # tokens before the paths
    num_cached: int = field(init=False, default=0)
    slot: Slot | None = field(init=False, default=None)
    finish_reason: FinishReason | None = field(init=False, default=None)
    admitted_s: float | None = field(init=False, default=None)
    arrival: int = field(init=False, default=0)
    num_shared: int = field(init=False, default=0)
    num_judged: int = field(init=False, default=0)  # tokens of this path and what is before it
    num_done: int = field(init=False, default=0)  # paths
    num_told: int = field(init=False, default=0)  # of the tokens drawn
    was_preempted: bool = field(init=False, default=False)
    is_held: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.num_prompt = len(self.token_ids)
        self.start_paths()

    def start_paths(self) -> None:
        """Let what is to be judged, if anything, follow all there is."""
        self.num_before = len(self.token_ids)
        if self.paths:
            self.token_ids = [*self.token_ids, *self.paths[0]]

    @property
    def completion_ids(self) -> list[int]:
        """The tokens drawn so far."""
        return self.token_ids[self.num_prompt :]

    def next_path(self) -> bool:
        """Go over to the first path that is not done; False if there is none."""
        if self.num_done == len(self.paths):
            return False
        before, path = self.paths[self.num_done - 1 : self.num_done + 1]
        self.num_judged = 1 + common_prefix(before, path)
        self.token_ids = [*self.token_ids[: self.num_before], *path]
        return True

    @property
    def first_wanted(self) -> int:
        """The position of the first token whose logits are wanted."""
        if self.scorer is not None:
            return self.num_before - 1 + self.num_judged
        return len(self.token_ids) - 1 if self.max_tokens else len(self.token_ids)

    @property
    def is_reading(self) -> bool:
        """Whether more of its prompt is to be evaluated than what a token is drawn after."""
        return self.slot is not None and len(self.slot.token_ids) < self.num_prompt - 1

    @property
    def num_pending(self) -> int:
        """How many tokens are still to be evaluated."""
        return len(self.token_ids) - (len(self.slot.token_ids) if self.slot else 0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One outcome of a step: a sequence got a token, ended, or failed."""

    sequence: Sequence
    token_id: int | None = None
    error: EngineError | None = None


@dataclass(slots=True)
class _Member:
    """A sequence's part of a batch: its own tokens, a draft after them, and where logits begin.

    `beside` are the tokens of further paths: their index, which path that is, and how far it goes.
    """

    sequence: Sequence
    taken: list[int]
    draft: list[int]
    first_index: int
    num_wanted: int
    is_alone: bool  # it decodes, may guess, and nobody else takes part
    num_paths: int = 1
    beside: list[tuple[int, int, int]] = field(default_factory=list)


class Scheduler:
    """Runs sequences together on one model.

    A sequence is admitted when a slot is free and its prompt and the start of its completion fit
    the KV cache beside the running ones. Idle slots lose their tokens only when the room is
    needed. Where that is not enough, the youngest sequence of the lowest class waits again; it
    keeps what it has drawn.

    Sequences of different classes never share a step. The highest class steps, and after
    `_PATIENCE` tokens the next lower one steps once. `clock` returns seconds. With
    `has_fixed_steps` batches are as large as can be, whoever waits meanwhile.
    """

    def __init__(
        self,
        model: Model,
        slots: Slots,
        *,
        width: Width | None = None,
        has_fixed_steps: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._slots = slots
        self._width = width
        self._has_fixed_steps = has_fixed_steps
        self._clock = clock
        self._waiting: list[Sequence] = []  # by class, then by arrival
        self._running: list[Sequence] = []
        self._num_arrived = 0
        self._num_starved = dict.fromkeys(Priority, 0)  # tokens that others evaluated meanwhile
        self._largest_batch = dict.fromkeys(Priority, model.n_batch)
        self._spares = list(model.spare_ids)
        self.is_background_held = False
        self.step_priority: Priority | None = None  # of the batch under evaluation
        self.stepped: Priority | None = None  # the class of the last step
        self.num_free = 0  # guesses that come with a sequence's token for the price of it alone
        self.num_evaluated = 0  # tokens of the last step, without such
        self.num_members = 0  # sequences of the last step
        self.num_joined = 0  # tokens of it that had to come, or were guessed, beside those drawn
        # How many tokens a sequence that decoded alone guessed, and how many of them were right.
        self.drafted: tuple[int, int] | None = None

    @property
    def num_waiting(self) -> int:
        """How many sequences have no slot."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """How many sequences have a slot."""
        return len(self._running)

    @property
    def priority(self) -> Priority | None:
        """The highest class that could step; None if a step would do nothing."""
        classes = {sequence.priority for sequence in (*self._running, *self._waiting)}
        if self.is_background_held:
            classes.discard(Priority.BACKGROUND)
        return min(classes, default=None)

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return self.priority is None

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """All that run or wait."""
        return (*self._running, *self._waiting)

    def lose(self, kept: Collection[Slot]) -> None:
        """Let all wait again whose slot is not kept; what they have drawn stays theirs."""
        for sequence in [one for one in self._running if one.slot not in kept]:
            self._running.remove(sequence)
            sequence.slot = None
            self._enqueue(sequence)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence, or raise `ContextOverflowError` if it can never fit."""
        longest = max(map(len, sequence.paths), default=0)
        num_tokens = max(len(sequence.token_ids), sequence.num_prompt + longest)
        if num_tokens >= self._model.n_ctx:
            raise ContextOverflowError(num_tokens, self._model.n_ctx)
        sequence.max_tokens = min(sequence.max_tokens, self._model.n_ctx - num_tokens)
        self._join_forced(sequence)
        self._num_arrived += 1
        sequence.arrival = self._num_arrived
        self._enqueue(sequence)

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a sequence wherever it is; what it has read stays resident."""
        if sequence.finish_reason is not None:
            return
        sequence.finish_reason = reason
        if sequence.sampler is not None:
            sequence.sampler.close()
        if sequence.slot is None:
            self._waiting.remove(sequence)
        else:
            sequence.slot.is_pinned = sequence.is_pinned
            self._release(sequence)

    def go_on(self, sequence: Sequence, token_ids: list[int], way: Mapping[str, Any]) -> None:
        """Let one that runs go on after other tokens, of which it has the first, in another way.

        That is what a `Sequence` is told of it.
        """
        slot = sequence.slot
        assert slot is not None
        if sequence.sampler is not None:
            sequence.sampler.close()
        now = {"sampler": None, "drafter": None, "mask": None, "num_led": 0, "is_held": False}
        for name, value in {**now, **way, "token_ids": token_ids}.items():
            setattr(sequence, name, value)
        sequence.num_told = len(sequence.completion_ids)
        sequence.start_paths()
        if num_lost := len(slot.token_ids) - common_prefix(slot.token_ids, token_ids):
            del slot.token_ids[-num_lost:]
            self._roll_back(sequence)
        self._join_forced(sequence)

    def of_class(self, priority: Priority) -> list[Sequence]:
        """The waiting and running sequences of a class."""
        return [s for s in (*self._running, *self._waiting) if s.priority is priority]

    def step(self, *, is_guest: bool = False) -> list[Drawn]:
        """Run one batch and return what came of it; a small one as the guest of higher classes."""
        self._admit()
        self.drafted = None
        while True:
            members, batch = self._build_batch(is_guest=is_guest)
            num_free = sum(min(len(member.draft), self.num_free) for member in members)
            num_tokens = len(batch) - num_free
            result = self._decode(batch, num_tokens) if batch else Decoded.OK
            self._free_spares()
            if result is not Decoded.NO_ROOM or not self._preempt(below=None):
                break
        self.num_evaluated = num_tokens if result is Decoded.OK else 0
        self.num_members = len(members)
        answers = (m for m in members if m.sequence.sampler and not m.sequence.is_reading)
        self.num_joined = sum(
            len(m.taken) - 1 + max(0, len(m.draft) - self.num_free) for m in answers
        )
        self.stepped, self.step_priority = self.step_priority, None
        if result is Decoded.OK:
            return [drawn for member in members for drawn in self._advance(member)]
        for member in members:
            self._roll_back(member.sequence, is_torn=result is not Decoded.NO_ROOM)
        if result is Decoded.ABORTED:
            return []  # whoever asked for it finishes a sequence or has the next step
        return self._fail(result, members)

    # -- who gets a slot -----------------------------------------------------------------------

    def _enqueue(self, sequence: Sequence) -> None:
        insort(self._waiting, sequence, key=lambda s: (s.priority, s.arrival))

    def _admit(self) -> None:
        num_passed = 0
        for sequence in self._waiting.copy():
            is_background = sequence.priority is Priority.BACKGROUND
            if is_background and (self._running or self.is_background_held):
                return
            # What is judged is not one token after the other: as many are best as have room.
            is_drawn = sequence.scorer is None
            if sequence.priority is Priority.BULK and is_drawn and self._is_wide_enough():
                return
            if self._awaits_prefix(sequence):
                num_passed += 1
                if num_passed == _MAX_WAITING_FOR_PREFIX:
                    return
                continue
            placement = self._place(sequence)
            if placement is None:
                return
            self._waiting.remove(sequence)
            self._occupy(sequence, placement)

    def _is_wide_enough(self) -> bool:
        if self._width is None:
            return False
        running = sum(sequence.priority is Priority.BULK for sequence in self._running)
        return running >= self._width.limit

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """Tell whether a running sequence is about to read what this one begins with.

        Waiting for it reads the common start once instead of twice.
        """
        if not self._slots.can_trim:
            return False
        reading = [
            other.token_ids[: other.num_prompt]
            for other in self._running
            if other.num_pending > 1 and other.priority <= sequence.priority
        ]
        if not reading:
            return False
        token_ids = sequence.token_ids
        num_coming = max(common_prefix(other, token_ids) for other in reading)
        num_coming = min(num_coming, sequence.first_wanted)
        return num_coming - self._slots.num_resident(token_ids) >= _MIN_WAIT

    def _place(self, sequence: Sequence) -> Placement | None:
        """Find a slot and room for a sequence, if need be a lower class's."""
        while not self._has_room(sequence):
            if not self._preempt(below=sequence.priority):
                return None
        while True:
            placement = self._slots.place(
                sequence.token_ids,
                sequence.conversation,
                most_cached=sequence.first_wanted,
                is_pinned=sequence.is_pinned,
            )
            if placement is not None or not self._preempt(below=sequence.priority):
                return placement

    def _has_room(self, sequence: Sequence) -> bool:
        sequence.num_shared = 0
        if not self._running:
            return True
        sequence.num_shared = self._slots.num_resident(sequence.token_ids, is_busy=True)
        needed = self._num_reserved(sequence) - sequence.num_shared
        needed += sum(self._num_reserved(other) - other.num_shared for other in self._running)
        return needed <= self._model.num_cells

    def _num_held(self) -> int:
        """The cells that those which run have or are about to read into, at most."""
        return sum(len(sequence.token_ids) - sequence.num_shared for sequence in self._running)

    @staticmethod
    def _num_reserved(sequence: Sequence) -> int:
        """The tokens a sequence may come to hold soon.

        Few completions reach their limit, so all but the first part of it is left to chance. One
        that lost its place already waits until its whole completion fits.
        """
        rest = max(0, sequence.max_tokens - len(sequence.completion_ids))
        return len(sequence.token_ids) + (rest if sequence.was_preempted else min(rest, _HEADROOM))

    def _preempt(self, below: Priority | None) -> bool:
        """Let the youngest sequence of the lowest class wait again; False if there is none.

        One is always left running, unless it is of a class below the one that needs the room.
        """
        sequence = max(self._running, key=lambda s: (s.priority, s.arrival), default=None)
        if sequence is None:
            return False
        if sequence.priority <= below if below is not None else len(self._running) == 1:
            return False
        self._release(sequence)
        sequence.was_preempted = True
        self._enqueue(sequence)
        return True

    def _occupy(self, sequence: Sequence, placement: Placement) -> None:
        slot, source = placement.slot, placement.copy_from
        sequence.slot = slot
        slot.is_private = sequence.is_private
        self._running.append(sequence)
        num_cached = placement.num_cached
        if source is None:
            self._roll_back(sequence)
        else:
            self._model.trim(slot.seq_id, 0)
            if not self._model.copy(source.seq_id, slot.seq_id, num_cached):
                self._model.trim(slot.seq_id, 0)
                slot.token_ids = []
        # Those that run hold these cells, too, whoever they were copied from.
        sequence.num_shared = min(sequence.num_shared, len(slot.token_ids))
        if sequence.admitted_s is None:
            sequence.admitted_s = self._clock()
            sequence.num_cached = len(slot.token_ids)

    def _release(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        self._running.remove(sequence)
        slot, sequence.slot = sequence.slot, None
        is_row = sequence.priority is Priority.BULK and sequence.finish_reason is not None
        next_ones = (*self._running, *self._waiting[:_MAX_WAITING_FOR_PREFIX])
        rows = [s.token_ids for s in next_ones if is_row and s.priority is Priority.BULK]
        for shortened in self._slots.release(slot, rows=rows):
            self._model.trim(shortened.seq_id, len(shortened.token_ids))

    def _roll_back(self, sequence: Sequence, *, is_torn: bool = False) -> None:
        """Make the model's memory hold exactly the slot's tokens, or none if it cannot.

        A memory that cannot trim may have changed in a batch that was torn off, whatever it says.
        """
        slot = sequence.slot
        assert slot is not None
        is_lost = is_torn and not self._slots.can_trim
        if is_lost or not self._model.trim(slot.seq_id, len(slot.token_ids)):
            self._model.trim(slot.seq_id, 0)
            slot.token_ids = []
            sequence.num_cached = 0

    # -- one step ------------------------------------------------------------------------------

    def _build_batch(self, *, is_guest: bool) -> tuple[list[_Member], Batch]:
        """Take one token of each sequence that decodes, then prefill while there is room."""
        turn, limit = self._turn(is_guest=is_guest)
        batch = Batch()
        members: list[_Member] = []
        for sequence in sorted(turn, key=lambda s: s.is_reading or bool(s.paths)):  # stable
            if (room := limit - len(batch)) <= 0:
                break
            members.append(self._take(sequence, batch, room, num_others=len(turn) - 1))
        return members, batch

    def _turn(self, *, is_guest: bool) -> tuple[list[Sequence], int]:
        """Whose turn it is, all of one class, and how many tokens they may evaluate."""
        running = [
            sequence
            for sequence in self._running
            if not (self.is_background_held and sequence.priority is Priority.BACKGROUND)
        ]
        classes = sorted({sequence.priority for sequence in running})
        self.step_priority = classes[0] if classes else None
        starved = [p for p in classes[1:] if self._num_starved[p] >= _PATIENCE]
        if starved:
            self.step_priority = starved[0]
        limit = self._model.n_batch
        if self.step_priority is not None:
            limit = self._largest_batch[self.step_priority]
        turn = [s for s in running if s.priority is self.step_priority]
        if self._has_fixed_steps:
            return turn, self._model.n_batch
        return turn, min(limit, _SMALL_BATCH) if starved or is_guest else limit

    def _take(self, sequence: Sequence, batch: Batch, room: int, *, num_others: int) -> _Member:
        slot = sequence.slot
        assert slot is not None
        start, most = len(slot.token_ids), room
        if sequence.scorer is not None and not self._has_fixed_steps:
            most = min(room, max(0, sequence.first_wanted - start) + _MOST_READ)
        taken = sequence.token_ids[start : start + most]
        left = sequence.max_tokens - len(sequence.completion_ids) - 1
        draft: list[int] = []
        if sequence.mask is not None and sequence.needs_logits:
            # What is certain pays in any company, to which room is left all the same. Where not all
            # of the prompt has room there is none.
            most = min(room - len(taken) - num_others, left, MOST_FORCED)
            draft += sequence.mask.forced()[: max(0, most)]
        is_whole = sequence.num_pending == len(taken) and not sequence.is_reading
        is_alone = not (draft or num_others) and is_whole and len(taken) == 1
        # Beside what is forced a guess may only come for nothing.
        most = left if is_alone else min(left, -len(taken) % (self.num_free + 1))
        if not (draft or num_others) and is_whole and sequence.drafter is not None:
            draft = sequence.drafter.propose(max(0, min(room - len(taken), most)))
            if sequence.mask is not None:
                draft = draft[: sequence.mask.num_fitting(draft)]
        end = start + len(taken)
        first = max(start, min(sequence.first_wanted, end))
        num_wanted = end - first + len(draft)
        index = len(batch) + first - start
        batch.add(slot.seq_id, taken + draft, start, wants_from=first - start)
        member = _Member(sequence, taken, draft, index, num_wanted, is_alone)
        if sequence.scorer is not None and end == len(sequence.token_ids):
            self._take_paths(member, batch, room - len(taken))
        return member

    def _take_paths(self, member: _Member, batch: Batch, room: int) -> None:
        """Let further paths be evaluated beside the slot's, each in a sequence of its own.

        What they have in common is evaluated once, for all of them. A path that has no room waits.
        """
        sequence, slot = member.sequence, member.sequence.slot
        assert slot is not None
        start, num_before = len(slot.token_ids), sequence.num_before
        room = min(room, self._model.num_cells - self._num_held())
        begin = len(batch) - len(member.taken) - start  # so a token's index is its position beyond
        before = own = sequence.paths[sequence.num_done]
        places = list(range(begin + num_before, begin + num_before + len(own)))  # of `before`
        for number in range(sequence.num_done + 1, len(sequence.paths)):
            path = sequence.paths[number]
            num_common = common_prefix(before, path)
            num_copied = min(start, num_before + common_prefix(own, path))
            num_new = len(path) - num_common
            if num_new > room or not self._spares:
                return
            room -= num_new
            seq_id = self._spares.pop()
            if not self._model.copy(slot.seq_id, seq_id, num_copied):
                return
            num_shared = max(0, num_copied - num_before)  # of the path
            shared = [
                *range(begin + num_copied, begin + num_before),
                *places[num_shared:num_common],
            ]
            for place in shared:
                batch.also.setdefault(place, []).append(seq_id)
            new = range(len(batch), len(batch) + num_new)
            batch.add(seq_id, list(path[num_common:]), num_before + num_common, wants_from=0)
            member.beside += [(place, number, num_common + n + 1) for n, place in enumerate(new)]
            before, places = path, [*places[:num_common], *new]
            member.num_paths += 1

    def _free_spares(self) -> None:
        """Let the sequences that are no slot's hold nothing again."""
        for seq_id in set(self._model.spare_ids).difference(self._spares):
            self._model.trim(seq_id, 0)
        self._spares = list(self._model.spare_ids)

    def _decode(self, batch: Batch, num_tokens: int) -> Decoded:
        while (result := self._model.decode(batch)) is Decoded.NO_ROOM:
            evicted = self._slots.evict()
            if evicted is None:
                break
            self._model.trim(evicted.seq_id, 0)
        self._account(num_tokens, result)
        return result

    def _account(self, num_tokens: int, result: Decoded) -> None:
        """Note who was passed over, and keep batches short that a higher class keeps aborting."""
        priority = self.step_priority
        assert priority is not None
        if result is Decoded.ABORTED:
            self._largest_batch[priority] = max(min(_SMALL_BATCH, num_tokens), num_tokens // 2)
        elif result is Decoded.OK:
            larger = 2 * self._largest_batch[priority]
            self._largest_batch[priority] = min(self._model.n_batch, larger)
            self._num_starved[priority] = 0
            others = (*self._running, *self._waiting)
            for lower in {s.priority for s in others if s.priority > priority}:
                self._num_starved[lower] += num_tokens

    def _advance(self, member: _Member) -> list[Drawn]:
        sequence = member.sequence
        slot = sequence.slot
        assert slot is not None
        slot.token_ids += member.taken
        if sequence.scorer is not None:
            return self._score(member, sequence.scorer)
        if not sequence.max_tokens and not sequence.num_pending:
            self.finish(sequence, "length")
            return [Drawn(sequence)]
        if not member.num_wanted:
            return []
        return self._draw(member)

    def _draw(self, member: _Member) -> list[Drawn]:
        """Draw the next token, and more while they are the guessed ones."""
        sequence, slot = member.sequence, member.sequence.slot
        assert sequence.sampler is not None
        assert slot is not None
        ends: list[Drawn] = []
        number = 0
        reason = self._reason_to_end(sequence)
        while reason is None:
            try:
                token_id = sequence.sampler.sample(member.first_index + number)
            except EngineError as error:
                ends.append(Drawn(sequence, error=error))
                reason = "error"
                break
            if self._model.is_end(token_id) and not sequence.ignore_eos:
                reason = "stop"
                break
            self._append(sequence, token_id)
            reason = self._reason_to_end(sequence)
            if reason or member.draft[number : number + 1] != [token_id]:
                break
            slot.token_ids.append(token_id)
            number += 1
        if reason is None:
            self._join_forced(sequence)
            reason = self._reason_to_end(sequence)
        if member.draft:
            self._roll_back(sequence)
        if member.is_alone:
            self.drafted = len(member.draft), number
        sequence.is_held = sequence.num_led > 0 and reason in ("stop", "length")
        if reason and not sequence.is_held:
            self.finish(sequence, reason)
        drawn = self._told(sequence) + ends
        if reason and not drawn:  # whoever waits hears of an end without a token, too
            drawn.append(Drawn(sequence))
        return drawn

    @staticmethod
    def _append(sequence: Sequence, token_id: int) -> None:
        sequence.token_ids.append(token_id)
        if sequence.drafter is not None:
            sequence.drafter.append(token_id)

    def _join_forced(self, sequence: Sequence) -> None:
        """Let the tokens come that have to, to be read with the next batch.

        A sequence is full after one that is drawn only, so that it ends in a step.
        """
        if sequence.mask is None or sequence.sampler is None or sequence.needs_logits:
            return
        while len(sequence.token_ids) + 1 < sequence.num_prompt + sequence.max_tokens:
            token_id = next(iter(sequence.mask.forced()), None)
            if token_id is None:
                return
            sequence.sampler.accept(token_id)
            self._append(sequence, token_id)

    @staticmethod
    def _reason_to_end(sequence: Sequence) -> FinishReason | None:
        if sequence.mask is not None and sequence.mask.is_over:
            return "stop"
        most = sequence.num_led or sequence.max_tokens
        return "length" if len(sequence.completion_ids) >= most else None

    @staticmethod
    def _told(sequence: Sequence) -> list[Drawn]:
        """Tell of the tokens that have come since this was last asked."""
        token_ids = sequence.completion_ids[sequence.num_told :]
        sequence.num_told += len(token_ids)
        return [Drawn(sequence, token_id) for token_id in token_ids]

    def _score(self, member: _Member, scorer: Scorer) -> list[Drawn]:
        sequence, slot = member.sequence, member.sequence.slot
        assert slot is not None
        try:
            for number in range(member.num_wanted):
                index = member.first_index + number
                scorer.observe(index, sequence.num_done, sequence.num_judged)
                sequence.num_judged += 1
            for place in member.beside:
                scorer.observe(*place)
        except EngineError as error:
            self.finish(sequence, "error")
            return [Drawn(sequence, error=error)]
        if sequence.num_pending:
            return []
        sequence.num_done += member.num_paths
        if not sequence.next_path():
            self.finish(sequence, "stop")
            return [Drawn(sequence)]
        del slot.token_ids[common_prefix(slot.token_ids, sequence.token_ids) :]
        self._roll_back(sequence)
        return []

    def _fail(self, result: Decoded, members: list[_Member]) -> list[Drawn]:
        """Give up the youngest sequence of a batch that could not be evaluated."""
        sequence = max((member.sequence for member in members), key=lambda s: s.arrival)
        self.finish(sequence, "error")
        return [Drawn(sequence, error=EngineError(f"The model could not go on: {result.value}."))]
