"""One KV cache over the model, and the requests that run in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jupyter_llm.engine.base import Priority, ResidentPrefix
from jupyter_llm.engine.lookup import MAX_DRAFT, Lookup, Payoff
from jupyter_llm.engine.scheduler import Scheduler
from jupyter_llm.engine.slots import Slots
from jupyter_llm.engine.width import BulkWidth

if TYPE_CHECKING:
    from jupyter_llm.engine.checkpoint import CheckpointStore
    from jupyter_llm.engine.llama import Context

logger = logging.getLogger(__name__)

_MIN_CHECKPOINT = 256  # tokens; less is read again in no time
_MIN_GAIN = 64  # tokens that a checkpoint must save over what is resident
_GROWTH = 8  # a checkpoint is renewed when its prefix has grown by one part in so many
_MAX_STATE_BYTES = 1 << 30
_FLUSH_S = 2.0  # the end of a kernel is not held up for longer


class LookupDrafter:
    """Guesses a sequence's next tokens from what it repeats, as far as that pays in its lane."""

    def __init__(self, token_ids: list[int], payoff: Payoff) -> None:
        self._lookup = Lookup(token_ids)
        self._payoff = payoff

    def propose(self, most: int) -> list[int]:
        """Return the tokens that may come next, none if guessing does not pay."""
        chances = self._lookup.chances(max(0, min(most, MAX_DRAFT)))
        return self._lookup.propose(self._payoff.num_draft(chances))

    def append(self, token_id: int) -> None:
        """Take in a token that was drawn."""
        self._lookup.append(token_id)


class Lane:
    """A context with its slots and scheduler.

    The fast lane shares one unified cache among many sequences. The exact one gives each sequence
    a stream of its own, so that no other can change the last bit of its logits. `store` is where
    prefixes outlive the process, if they may.
    """

    def __init__(
        self,
        context: Context,
        *,
        num_slots: int,
        can_trim: bool,
        is_exact: bool,
        min_copy: int = 1,
    ) -> None:
        self.context = context
        self.is_exact = is_exact
        self.slots = Slots(num_slots, can_trim=can_trim, min_copy=min_copy)
        self._width = BulkWidth(num_slots - 1)  # one is left for a chat
        self._payoff = Payoff()
        self.scheduler = Scheduler(context, self.slots, width=self._width)
        self.store: CheckpointStore | None = None
        self.num_passed = 0  # tokens that the other lane evaluated while this one had work
        self.last_step = 0
        self._can_trim = can_trim

    def drafter(self, token_ids: list[int]) -> LookupDrafter:
        """Make what guesses the continuation of a prompt."""
        return LookupDrafter(token_ids, self._payoff)

    def learn(self, step_s: float) -> None:
        """Learn from the time of the scheduler's last step."""
        scheduler = self.scheduler
        if scheduler.drafted is not None:
            self._payoff.observe(*scheduler.drafted, step_s)
        if scheduler.stepped is Priority.BULK:
            self._width.observe(scheduler.num_members, scheduler.num_evaluated, step_s)

    def prefixes(self) -> list[ResidentPrefix]:
        """Return what is resident, the latest used first."""
        return [
            ResidentPrefix(
                len(slot.token_ids), slot.conversation, slot.is_busy, slot.is_pinned, self.is_exact
            )
            for slot in self.slots.used
        ]

    def restore(self, token_ids: list[int]) -> None:
        """Make a prompt's longest checkpoint resident, if that saves more than is there."""
        if self.store is None:
            return
        more_than = self.slots.num_resident(token_ids) + _MIN_GAIN
        given = token_ids[:-1]  # the last one is evaluated in any case
        checkpoint = self.store.find(given, more_than=more_than, whole=not self._can_trim)
        state = checkpoint.read() if checkpoint is not None else None
        if checkpoint is None or state is None:
            return
        slot = self.slots.adopt(list(checkpoint.token_ids))
        if slot is None:
            return
        self.context.trim(slot.seq_id, 0)
        while not self.context.restore(slot.seq_id, state, len(slot.token_ids)):
            evicted = self.slots.evict()
            if evicted is None or evicted is slot:
                slot.clear()
                return
            self.context.trim(evicted.seq_id, 0)
        slot.num_saved = len(slot.token_ids)

    def save(self, *, most_bytes: int = _MAX_STATE_BYTES) -> bool:
        """Write the latest used prefix that has grown to disk; False if there is none.

        The state is copied here; the writing is the store's.
        """
        if self.store is None:
            return False
        for slot in self.slots.used:
            num_tokens = len(slot.token_ids)
            has_grown = num_tokens - slot.num_saved > max(_MIN_GAIN, num_tokens // _GROWTH)
            if slot.is_busy or num_tokens < _MIN_CHECKPOINT or not has_grown:
                continue
            slot.num_saved = num_tokens
            if self.context.state_size(slot.seq_id) <= most_bytes:
                state = self.context.state(slot.seq_id)
                self.store.write(slot.token_ids, state, whole=not self._can_trim)
                return True
        return False

    def close(self) -> None:
        """Free the cache; what is to be written is."""
        if self.store is not None:
            self.store.close()
            self.store.flush(_FLUSH_S)
        self.context.close()
