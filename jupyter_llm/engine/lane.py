"""One KV cache over the model, and the requests that run in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jupyter_llm.engine.base import ResidentPrefix
from jupyter_llm.engine.scheduler import Scheduler
from jupyter_llm.engine.slots import Slots

if TYPE_CHECKING:
    from jupyter_llm.engine.checkpoint import CheckpointStore
    from jupyter_llm.engine.llama import Context
    from jupyter_llm.engine.scheduler import Width

logger = logging.getLogger(__name__)

_MIN_CHECKPOINT = 256  # tokens; less is read again in no time
_MIN_GAIN = 64  # tokens that a checkpoint must save over what is resident
_GROWTH = 8  # a checkpoint is renewed when its prefix has grown by one part in so many
_MAX_STATE_BYTES = 1 << 30


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
        width: Width | None = None,
    ) -> None:
        self.context = context
        self.is_exact = is_exact
        self.slots = Slots(num_slots, can_trim=can_trim, min_copy=min_copy)
        self.scheduler = Scheduler(context, self.slots, width=width)
        self.store: CheckpointStore | None = None
        self.num_passed = 0  # tokens that the other lane evaluated while this one had work
        self.last_step = 0
        self._can_trim = can_trim

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
        checkpoint = self.store.find(token_ids, more_than=more_than, whole=not self._can_trim)
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
                self.store.write(slot.token_ids, self.context.state(slot.seq_id))
                return True
        return False

    def close(self) -> None:
        """Free the cache; what is to be written is."""
        if self.store is not None:
            self.store.close()
        self.context.close()
