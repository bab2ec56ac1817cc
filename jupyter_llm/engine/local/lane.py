"""A lane: one KV cache of the model, and the requests that run in it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.engine.info import ResidentPrefix
from jupyter_llm.engine.local.kept.parking import ParkedPrefix, Parking
from jupyter_llm.engine.local.sched.lookup import MAX_DRAFT, Habits, Lookup, Payoff
from jupyter_llm.engine.local.sched.scheduler import Scheduler
from jupyter_llm.engine.local.sched.slots import Slot, Slots, common_prefix
from jupyter_llm.engine.local.sched.width import BulkWidth
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.local.kept.checkpoint import CheckpointStore
    from jupyter_llm.engine.local.native.llama import Context
    from jupyter_llm.engine.local.native.memory import Streams
    from jupyter_llm.engine.local.sched.scheduler import Step

logger = logging.getLogger(__name__)

_MIN_CHECKPOINT = 256  # tokens; fewer are quickly read again
_MIN_GAIN = 64  # tokens that a state must save over what is resident
_MIN_PARKED = 256  # tokens; fewer do not slow others
_GROWTH = 8  # a checkpoint is renewed when its prefix has grown by one part in so many
_MAX_STATE_BYTES = 1 << 30
FLUSH_S = 2.0  # the end of a kernel waits no longer


class LookupDrafter:
    """Guesses a sequence's next tokens from earlier text, as far as that pays in its lane."""

    def __init__(self, token_ids: list[int], payoff: Payoff, habits: Habits) -> None:
        self._lookup = Lookup(token_ids)
        self._payoff = payoff
        self._habits = habits
        self._num_free = payoff.size_of_plain - 1
        self._last = token_ids[-2:]
        if self._num_free:
            habits.learn(token_ids)

    def propose(self, most: int) -> list[int]:
        """Return tokens that may come next, none if guessing does not pay."""
        most = max(0, min(most, MAX_DRAFT))
        draft = self._lookup.propose(self._payoff.num_draft(self._lookup.chances(most)))
        return draft or self._habits.guess(self._last, min(most, self._num_free))

    def append(self, token_id: int) -> None:
        """Remember a token of the sequence."""
        self._lookup.append(token_id)
        self._last.append(token_id)
        if self._num_free:
            self._habits.learn(self._last)
        del self._last[:-2]


class Lane:
    """A context with its slots and scheduler.

    The fast lane shares one unified cache among many sequences. The exact lane gives each sequence
    a stream of its own, so no other sequence changes the last bit of its logits. The lane that
    `embeds` reads the same texts in the same batches each time, so their vectors are the same.

    `store`: the checkpoints on disk, None if there are none. `can_cut`: whether a part of a
    restored state can be used. `max_parked_bytes`: plain memory for idle conversations, which leave
    the cache while another one uses it.

    `divisions`: the ways to divide the exact lane's cache, the most streams first. The lane has as
    many streams as leave room for its longest text. With `can_move` the resident tokens move to the
    new streams.
    """

    def __init__(
        self,
        context: Context,
        *,
        num_slots: int,
        can_trim: bool,
        is_exact: bool,
        can_cut: bool,
        min_copy: int = 1,
        max_parked_bytes: int = 0,
        embeds: bool = False,
        divisions: Sequence[Streams] = (),
        can_move: bool = True,
    ) -> None:
        self.context = context
        self.n_ctx = divisions[-1].n_ctx if divisions else context.n_ctx  # of the longest text
        self._divisions = divisions
        self._can_move = can_move
        self.is_exact = is_exact
        self.embeds = embeds
        self.slots = Slots(num_slots, can_trim=can_trim, min_copy=min_copy)
        self._width = BulkWidth(num_slots - 1)  # one is left for a chat
        self._payoff, self._habits = Payoff(), Habits()
        width = None if embeds else self._width
        self.scheduler = Scheduler(context, self.slots, width=width, has_fixed_steps=embeds)
        self.store: CheckpointStore | None = None
        self._parking = Parking(max_parked_bytes) if max_parked_bytes else None
        self.used_s = time.monotonic()
        self._can_cut = can_cut

    def drafter(self, token_ids: list[int]) -> LookupDrafter:
        """Return a drafter for a prompt."""
        self._payoff.size_of_plain = self.context.group_size
        self.scheduler.num_free = self.context.group_size - 1
        return LookupDrafter(token_ids, self._payoff, self._habits)

    def learn(self, step: Step, step_s: float) -> None:
        """Learn from the time of a step how many guesses and how many rows at once pay."""
        if step.priority is not Priority.BACKGROUND:
            self.used_s = time.monotonic()
        if step.guesses is not None:
            self._payoff.observe(*step.guesses, step_s)
        if step.priority is Priority.BULK:
            num_drawn = step.num_tokens - step.num_joined
            self._width.observe(step.num_sequences, num_drawn, step_s)

    def prefixes(self) -> list[ResidentPrefix]:
        """Return the resident and the parked prefixes, the latest used first."""
        parked = self._parking.prefixes if self._parking is not None else ()
        kinds = ((self.slots.used, False), (tuple(one.held for one in parked), True))
        return [
            ResidentPrefix(
                num_tokens=len(slot.token_ids),
                conversation=slot.conversation,
                is_pinned=slot.is_pinned,
                is_parked=is_parked,
                is_exact=self.is_exact,
            )
            for slots, is_parked in kinds
            for slot in slots
        ]

    def spread(self) -> None:
        """Give several short texts a stream each after a long text had all of the cache."""
        if not self._divisions or self.context.num_slots == self._divisions[0].num_streams:
            return
        texts = self.scheduler.sequences
        # Tokens that cannot move are read again: no chat should wait for that.
        is_felt = any(text.slot and text.priority < Priority.BULK for text in texts)
        if len(texts) > 1 and not is_felt:
            try:
                self._divide(self._division(0), [], Priority.BULK)
            except ModelLoadError:  # more streams need larger buffers
                few = self.context.num_slots
                self._divisions = [one for one in self._divisions if one.num_streams <= few]

    def _division(self, num_tokens: int) -> Streams:
        """Return the most streams with room for a text of `num_tokens`, and for all others."""
        texts = self.scheduler.sequences
        longest = max(num_tokens, *(text.num_prompt + text.work.max_tokens for text in texts), 0)
        fitting = (one for one in self._divisions if one.n_ctx > longest)
        return next(fitting, self._divisions[-1])

    def _make_room(self, token_ids: list[int], num_tokens: int, priority: Priority) -> None:
        """Divide the cache so that a text of `num_tokens`, its answer included, has room."""
        if not self._divisions:
            return
        division, num_streams = self._division(num_tokens), self.context.num_slots
        if division.num_streams > num_streams:
            is_known = self.slots.num_resident(token_ids) >= _MIN_GAIN
            if is_known or self.slots.has_empty or self.scheduler.sequences:
                return
            resident = (len(slot.token_ids) for slot in self.slots.used)
            division = self._division(max(num_tokens, *resident))
        self._divide(division, token_ids, priority)

    def _divide(self, division: Streams, token_ids: list[int], priority: Priority) -> None:
        """Divide the cache anew; texts without room wait again, or are written to disk.

        Slots of texts that go before a prompt of a class are kept first, then those with a start of
        the prompt, then pinned, busy and latest used ones.
        """
        if division.num_streams == self.context.num_slots:
            return

        ahead = [text.slot for text in self.scheduler.sequences if text.priority <= priority]

        def rank(slot: Slot) -> tuple[bool, int, bool, bool]:
            num_common = common_prefix(slot.token_ids, token_ids)
            is_start = num_common >= _MIN_GAIN
            own = -num_common if is_start else 0
            return slot not in ahead, own, not slot.is_pinned, not slot.is_busy

        kept: dict[Slot, memoryview] = {}
        for slot in sorted(self.slots.used, key=rank):
            has_room = len(kept) < division.num_streams and len(slot.token_ids) < division.n_ctx
            if self._can_move and has_room:
                kept[slot] = self.context.state(slot.seq_id)
            elif not slot.is_busy and self._is_worth_saving(slot):
                self._write(slot.token_ids, self.context.state(slot.seq_id))
        self.scheduler.lose(kept)
        self.slots.resize(division.num_streams, list(kept))
        try:
            self.context.divide(division.n_ctx, division.num_streams)
        except ModelLoadError:
            self.scheduler.lose(())
            self.slots.resize(self.context.num_slots, [])
            raise
        for slot, state in kept.items():
            if not self.context.restore(slot.seq_id, state, len(slot.token_ids)):
                slot.token_ids = []

    def prepare(
        self, token_ids: list[int], conversation: str | None, priority: Priority, *, num_more: int
    ) -> None:
        """Restore the start of a prompt to the cache, and park conversations that would slow it.

        `num_more` tokens may follow the prompt. Raises `ModelLoadError` if the cache is lost.
        """
        self.context.check()
        self._make_room(token_ids, len(token_ids) + num_more, priority)
        scheduler = self.scheduler
        if self._parking is not None and not (scheduler.num_running or scheduler.num_waiting):
            self._park_others(token_ids)
        given = token_ids[:-1]  # the last one is evaluated in any case
        more_than = self.slots.num_resident(given) + _MIN_GAIN
        if self._parking is not None:
            prefix, length = self._parking.find(given, whole=not self._can_cut)
            if prefix is not None and length > more_than:
                held = prefix.held
                is_owner = length == len(held.token_ids) or (
                    conversation is not None and conversation == held.conversation
                )
                owner = held.conversation if is_owner else None
                slot = self._fill(held.token_ids, prefix.state, length, owner)
                if slot is not None:
                    slot.num_prompt = min(held.num_prompt, length)
                    slot.num_saved = min(held.num_saved, length)
                    slot.is_private = held.is_private
                    self._parking.take(prefix, is_owner=is_owner)
                return
        self._restore(given, more_than)

    def num_known(self, token_ids: list[int]) -> int:
        """Return how many tokens of a prompt are resident or parked."""
        given = token_ids[:-1]  # the last one is evaluated in any case
        num_parked = 0
        if self._parking is not None:
            _, num_parked = self._parking.find(given, whole=not self._can_cut)
        return max(self.slots.num_resident(given), num_parked)

    def clear(self) -> None:
        """Forget all resident tokens; nothing may be running."""
        while self.slots.evict() is not None:
            pass
        self.context.clear()

    def save(self, *, most_bytes: int = _MAX_STATE_BYTES) -> bool:
        """Write the latest used prefix that has grown to disk; False if there is none.

        The state is copied here; the store writes it in the background.
        """
        for slot in self.slots.used:
            if not slot.is_busy and self._is_worth_saving(slot):
                slot.num_saved = len(slot.token_ids)
                if self.context.state_size(slot.seq_id) <= most_bytes:
                    self._write(slot.token_ids, self.context.state(slot.seq_id))
                    return True
        return False

    def _park_others(self, token_ids: list[int]) -> None:
        """Move idle conversations out of the cache if they share little with a prompt."""
        assert self._parking is not None
        others = [
            slot
            for slot in self.slots.used
            if not (slot.is_busy or slot.is_pinned)
            and 4 * common_prefix(slot.token_ids, token_ids) < len(slot.token_ids)
        ]
        if sum(len(slot.token_ids) for slot in others) < _MIN_PARKED:
            return
        for slot in reversed(others):  # the latest used one is parked last
            if self.context.state_size(slot.seq_id) > self._parking.max_bytes:
                continue  # it stays: slower steps are better than reading it again
            state = self.context.state(slot.seq_id)
            if self._is_worth_saving(slot):
                self._write(slot.token_ids, state)
                slot.num_saved = len(slot.token_ids)
            self._parking.park(ParkedPrefix(replace(slot), state))
            slot.clear()
            self.context.trim(slot.seq_id, 0)

    def _restore(self, given: list[int], more_than: int) -> None:
        """Restore a prompt's longest checkpoint if that saves enough tokens."""
        if self.store is None:
            return
        checkpoint = self.store.find(given, more_than=more_than, whole=not self._can_cut)
        state = checkpoint.read() if checkpoint is not None else None
        if checkpoint is not None and state is not None:
            slot = self._fill(checkpoint.token_ids, state, checkpoint.num_common)
            if slot is not None:
                slot.num_saved = len(slot.token_ids)

    def _fill(
        self,
        token_ids: Sequence[int],
        state: bytes | memoryview,
        num_common: int,
        conversation: str | None = None,
    ) -> Slot | None:
        """Restore a state into an idle slot; other idle slots are cleared if it needs their room.

        Without a conversation, the slot keeps only the tokens that it shares with the prompt.
        """
        slot = self.slots.adopt(token_ids, conversation)
        if slot is None:
            return None
        self.context.trim(slot.seq_id, 0)
        is_restored = False
        while not (is_restored := self.context.restore(slot.seq_id, state, len(token_ids))):
            evicted = self.slots.evict()
            if evicted is None:
                break
            self.context.trim(evicted.seq_id, 0)
        if is_restored and conversation is None:
            is_restored = self._cut(slot, num_common)
        if not is_restored:
            slot.clear()
            self.context.trim(slot.seq_id, 0)
        for shortened in self.slots.release(slot):
            self.context.trim(shortened.seq_id, len(shortened.token_ids))
        return slot if is_restored else None

    def _cut(self, slot: Slot, num_tokens: int) -> bool:
        """Keep the first tokens of a slot; False if its memory cannot forget so."""
        if num_tokens == len(slot.token_ids):
            return True
        del slot.token_ids[num_tokens:]
        slot.num_prompt = min(slot.num_prompt, num_tokens)
        return self.context.trim(slot.seq_id, num_tokens)

    def _is_worth_saving(self, slot: Slot) -> bool:
        if slot.is_private:
            return False
        num_tokens = len(slot.token_ids)
        has_grown = num_tokens - slot.num_saved > max(_MIN_GAIN, num_tokens // _GROWTH)
        return self.store is not None and num_tokens >= _MIN_CHECKPOINT and has_grown

    def _write(self, token_ids: list[int], state: memoryview) -> None:
        assert self.store is not None
        if len(state) <= _MAX_STATE_BYTES:
            self.store.write(token_ids, state, whole=not self._can_cut)

    def forget(self) -> None:
        """Forget all that was read, but not what is on the disk; busy slots are never saved."""
        self._habits = Habits()
        if self._parking is not None:
            self._parking.clear()
        for slot in self.slots.used:
            if slot.is_busy:
                slot.is_private = True
            else:
                slot.clear()
                self.context.trim(slot.seq_id, 0)

    def close(self) -> None:
        """Free the cache once the pending checkpoints are written."""
        if self.store is not None:
            self.store.flush(FLUSH_S)
        self.context.close()
