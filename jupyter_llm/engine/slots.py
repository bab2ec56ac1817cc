"""Which tokens are resident in which sequence of the KV cache. Pure bookkeeping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence of the KV cache and the tokens it holds."""

    seq_id: int
    token_ids: list[int] = field(default_factory=list)
    conversation: str | None = None
    is_busy: bool = False
    last_used: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a prompt goes and what of it is resident already.

    `slot` keeps its first `num_cached` tokens; if `copy_from` is given, they are that slot's and
    must be copied first.
    """

    slot: Slot
    num_cached: int
    copy_from: Slot | None = None


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    low, high = 0, length  # a[:low] == b[:low] always; slices compare in C
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low


def _worth(slot: Slot) -> tuple[bool, bool, int]:
    """Order idle slots by what is lost with them: nothing, a one-off prompt, a conversation.

    Of two alike the one that was used longer ago is worth less.
    """
    return bool(slot.token_ids), slot.conversation is not None, slot.last_used


class Slots:
    """The sequences of one KV cache.

    `can_trim` says whether the model's memory can forget the end of a sequence. Where it cannot
    (recurrent models), a slot is only reused by a prompt that continues everything it holds.
    """

    def __init__(self, num_slots: int, *, can_trim: bool = True) -> None:
        self._slots = [Slot(seq_id) for seq_id in range(num_slots)]
        self._can_trim = can_trim
        self._clock = 0

    def place(self, token_ids: list[int], conversation: str | None = None) -> Placement | None:
        """Find where a prompt goes, or None while every slot is busy.

        The prompt's last token never counts as resident: the model must evaluate one token to
        have logits to draw from. A slot is taken over in place if the prompt continues all of it,
        or the same conversation goes on from inside it (a turn was replaced). Otherwise the
        prefix is shared with a slot of its own, so that no conversation loses its tail to another.
        """
        best, num_cached = self._longest_prefix(token_ids, conversation)
        if best is not None and not best.is_busy:
            continues_all = num_cached == len(best.token_ids)
            same = conversation is not None and best.conversation == conversation
            if continues_all or (same and self._can_trim):
                return self._take(Placement(best, num_cached), conversation)
        if not self._can_trim:
            best, num_cached = None, 0
        free = self._least_worth(without=best)
        if free is not None:
            return self._take(Placement(free, num_cached, copy_from=best), conversation)
        if best is None or best.is_busy:
            return None
        return self._take(Placement(best, num_cached), conversation)

    def release(self, slot: Slot) -> None:
        """Let others use the slot; its tokens stay resident until somebody needs the room."""
        slot.is_busy = False
        self._touch(slot)

    def evict(self) -> Slot | None:
        """Forget the idle slot that is worth least and return it, or None if there is none."""
        idle = [slot for slot in self._slots if slot.token_ids and not slot.is_busy]
        if not idle:
            return None
        slot = min(idle, key=_worth)
        slot.token_ids = []
        slot.conversation = None
        return slot

    @property
    def resident_tokens(self) -> tuple[int, ...]:
        """How many tokens each slot in use holds, the latest used first."""
        used = sorted(self._slots, key=lambda slot: -slot.last_used)
        return tuple(len(slot.token_ids) for slot in used if slot.token_ids)

    def _longest_prefix(
        self, token_ids: list[int], conversation: str | None
    ) -> tuple[Slot | None, int]:
        def rank(slot: Slot) -> tuple[int, bool, bool, int]:
            length = min(common_prefix(slot.token_ids, token_ids), len(token_ids) - 1)
            # Of equals the one that can be taken over, then the one that loses least by it.
            is_own = conversation is not None and slot.conversation == conversation
            return (length, not slot.is_busy, is_own, -len(slot.token_ids))

        best = max(self._slots, key=rank)
        length = rank(best)[0]
        return (best, length) if length else (None, 0)

    def _least_worth(self, without: Slot | None) -> Slot | None:
        idle = [slot for slot in self._slots if not slot.is_busy and slot is not without]
        return min(idle, key=_worth, default=None)

    def _take(self, placement: Placement, conversation: str | None) -> Placement:
        slot = placement.slot
        source = placement.copy_from or slot
        slot.token_ids = source.token_ids[: placement.num_cached]
        slot.conversation = conversation
        slot.is_busy = True
        self._touch(slot)
        if placement.copy_from is not None:
            self._touch(placement.copy_from)
        return placement

    def _touch(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock
