"""Admission: which sequences have a slot, and room in the KV cache; see scheduler.py."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise
from typing import Protocol

from jupyter_llm.engine.local.sched.batch import Model
from jupyter_llm.engine.local.sched.sequence import Sequence
from jupyter_llm.engine.local.sched.slots import Placement, Slot, Slots, common_prefix
from jupyter_llm.engine.request import Priority

_HEADROOM = 256  # tokens of a completion that are reserved beyond those a sequence has
_MIN_WAIT = 16  # tokens still missing from a common start: fewer are read twice
_MAX_WAITING_FOR_PREFIX = 8  # sequences that one step passes over, since they wait for a start


class Width(Protocol):
    """The number of bulk sequences that should run beside a drawing one."""

    @property
    def limit(self) -> int:
        """The number that is fastest."""


class Admission:
    """The waiting and the running sequences of one model.

    The KV cache must hold each running sequence's tokens and the start of its completion. Cells
    that several sequences share count once.
    """

    def __init__(
        self, model: Model, slots: Slots, width: Width | None, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self._slots = slots
        self._width = width
        self._clock = clock
        self.waiting: list[Sequence] = []  # by class, then by arrival
        self.running: list[Sequence] = []

    def enqueue(self, sequence: Sequence) -> None:
        """Let a sequence wait for a slot."""
        insort(self.waiting, sequence, key=lambda s: (s.priority, s.arrival))

    def admit(self, *, with_background: bool) -> None:
        """Give slots to waiting sequences in their order, while there is room."""
        num_passed = 0
        for sequence in self.waiting.copy():
            is_background = sequence.priority is Priority.BACKGROUND
            if is_background and (self.running or not with_background):
                return
            # Given tokens come many at a time: the more sequences have room, the better.
            is_drawn = not sequence.work.is_given
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
            self.waiting.remove(sequence)
            self._occupy(sequence, placement)

    def _is_wide_enough(self) -> bool:
        if self._width is None:
            return False
        running = sum(sequence.priority is Priority.BULK for sequence in self.running)
        return running >= self._width.limit

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """Whether a running sequence is about to read a start of this one.

        Waiting for it reads the common start once instead of twice.
        """
        if not self._slots.can_trim:
            return False
        reading = [
            other.token_ids[: other.num_prompt]
            for other in self.running
            if other.num_pending > 1 and other.priority <= sequence.priority
        ]
        if not reading:
            return False
        token_ids = sequence.token_ids
        num_coming = max(common_prefix(other, token_ids) for other in reading)
        num_coming = min(num_coming, sequence.work.first_wanted(sequence))
        num_new = num_coming - self._slots.num_resident(token_ids)
        return num_new >= _MIN_WAIT and num_coming >= self._slots.min_copy

    def _place(self, sequence: Sequence) -> Placement | None:
        """Find room and a slot.

        Lower classes are preempted for room only if that can make enough of it, and for a slot
        until there is one.
        """
        others = [one for one in self.running if one.priority <= sequence.priority]
        if not self._has_room(sequence, others):
            return None
        while True:
            if self._has_room(sequence, self.running):
                placement = self._slots.place(
                    sequence.token_ids,
                    sequence.conversation,
                    most_cached=sequence.work.first_wanted(sequence),
                    is_pinned=sequence.is_pinned,
                )
                if placement is not None:
                    return placement
            if not self.preempt(below=sequence.priority):
                return None

    def _has_room(self, sequence: Sequence, others: list[Sequence]) -> bool:
        together = (sequence, *others)
        num_reserved = sum(map(self._num_reserved, together))
        return not others or num_reserved - self._num_shared(together) <= self._model.num_cells

    @property
    def num_held(self) -> int:
        """Cells of the running sequences once all their present tokens are evaluated."""
        num_tokens = sum(len(sequence.token_ids) for sequence in self.running)
        return num_tokens - self._num_shared(self.running)

    def _num_shared(self, sequences: Iterable[Sequence]) -> int:
        """Return how many cells several sequences use together, beyond the first of them each.

        In the order of their tokens, neighbours have the longest starts in common. A start counts
        as far as one of both has it resident: the other takes it over or copies it.
        """
        if not self._slots.can_trim:
            return 0
        return sum(
            min(
                common_prefix(one.token_ids, other.token_ids),
                max(one.num_resident, other.num_resident),
            )
            for one, other in pairwise(sorted(sequences, key=lambda one: one.token_ids))
        )

    @staticmethod
    def _num_reserved(sequence: Sequence) -> int:
        """Return how many tokens a sequence may soon hold.

        Few completions reach their limit, so only the first part of a completion is reserved. For
        a sequence that was preempted, the whole completion is reserved from then on.
        """
        rest = max(0, sequence.work.max_tokens - sequence.num_written)
        return len(sequence.token_ids) + (rest if sequence.was_preempted else min(rest, _HEADROOM))

    def preempt(self, below: Priority | None) -> bool:
        """Let the youngest sequence of the lowest class wait again; False if there is none.

        Only classes lower than `below` lose their slot; with None, any class, but never the only
        sequence.
        """
        sequence = max(self.running, key=lambda s: (s.priority, s.arrival), default=None)
        if sequence is None:
            return False
        if sequence.priority <= below if below is not None else len(self.running) == 1:
            return False
        self._release(sequence)
        sequence.was_preempted = True
        self.enqueue(sequence)
        return True

    def _occupy(self, sequence: Sequence, placement: Placement) -> None:
        slot, source = placement.slot, placement.copy_from
        sequence.slot = slot
        slot.is_private = sequence.is_private
        self.running.append(sequence)
        num_cached = placement.num_cached
        if source is None:
            self.roll_back(sequence)
        else:
            self._model.trim(slot.seq_id, 0)
            if not self._model.copy(source.seq_id, slot.seq_id, num_cached):
                self._model.trim(slot.seq_id, 0)
                slot.token_ids = []
        if sequence.admitted_s is None:
            sequence.admitted_s = self._clock()
            sequence.num_cached = len(slot.token_ids)
        else:
            sequence.num_to_read = len(sequence.token_ids)

    def leave(self, sequence: Sequence) -> None:
        """Take a finished sequence out; `Slots.release` decides which of its tokens stay."""
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            sequence.slot.is_pinned = sequence.is_pinned
            self._release(sequence)

    def _release(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        self.running.remove(sequence)
        slot, sequence.slot = sequence.slot, None
        is_row = sequence.priority is Priority.BULK and sequence.finish_reason is not None
        next_ones = (*self.running, *self.waiting[:_MAX_WAITING_FOR_PREFIX])
        rows = [s.token_ids for s in next_ones if is_row and s.priority is Priority.BULK]
        for shortened in self._slots.release(slot, rows=rows):
            self._model.trim(shortened.seq_id, len(shortened.token_ids))

    def roll_back(self, sequence: Sequence, *, is_torn: bool = False) -> None:
        """Make the model's memory hold exactly the slot's tokens, or none if it cannot.

        `is_torn`: the evaluation was aborted or failed. A memory that cannot trim is then lost.
        """
        slot = sequence.slot
        assert slot is not None
        is_lost = is_torn and not self._slots.can_trim
        if is_lost or not self._model.trim(slot.seq_id, len(slot.token_ids)):
            self._model.trim(slot.seq_id, 0)
            slot.token_ids = []
            sequence.num_cached = 0
            sequence.num_to_read = len(sequence.token_ids)

    def lose(self, kept: Collection[Slot]) -> None:
        """Let all sequences wait again whose slot is not kept; their tokens stay theirs."""
        for sequence in [one for one in self.running if one.slot not in kept]:
            self.running.remove(sequence)
            sequence.slot = None
            self.enqueue(sequence)
