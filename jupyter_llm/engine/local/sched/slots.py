"""The slots of a KV cache: which tokens are resident, and which prompt may use them.

Pure bookkeeping: only the lists of tokens change here. The caller changes the model's memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_MOST_SENT = 64  # texts of all senders, each perhaps as long as the context window
_MAX_ONE_OFFS = 4  # idle prompts without a conversation; every resident token slows all others


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence of the KV cache and the tokens that are resident in it.

    `num_prompt` is the length of the text for which the slot was taken; it may hold less of it. The
    first `num_shared` tokens were copied to or from another slot, or begin another row too. The
    first `num_saved` are on disk; tokens of a private slot are never written. A busy slot
    belongs to a running sequence. `conversation` is None for a prompt that no later prompt
    continues, a *one-off*.
    """

    seq_id: int
    token_ids: list[int] = field(default_factory=list)
    conversation: str | None = None
    is_busy: bool = False
    is_pinned: bool = False
    is_private: bool = False
    last_used: int = 0
    num_prompt: int = 0
    num_shared: int = 0
    num_saved: int = 0

    def clear(self) -> None:
        """Forget the tokens."""
        self.token_ids = []
        self.conversation = None
        self.is_pinned = self.is_private = False
        self.num_prompt = self.num_shared = self.num_saved = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """The slot of a prompt, and how many of its tokens are resident already.

    `num_cached` leading tokens count as resident. If `copy_from` is given, the caller must first
    copy them from that slot into `slot`.
    """

    slot: Slot
    num_cached: int
    copy_from: Slot | None = None


class Senders:
    """The latest texts of all senders, as tokens."""

    def __init__(self) -> None:
        self._sent: deque[tuple[str, list[int]]] = deque(maxlen=_MOST_SENT)

    def num_known(self, sender: str, token_ids: list[int]) -> int:
        """Return how many leading tokens a sender sent before.

        The list itself is kept: tokens that are appended to it later count as sent.
        """
        own = (before for other, before in self._sent if other == sender)
        num_known = max((common_prefix(token_ids, before) for before in own), default=0)
        self._sent.append((sender, token_ids))
        return num_known


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


def _worth(slot: Slot) -> tuple[bool, bool, bool, int]:
    """Order idle slots by what their loss costs: empty, a one-off, a conversation, a pinned prompt.

    Of two alike, the slot that was used longer ago is worth less.
    """
    is_used = bool(slot.token_ids)
    return is_used, slot.is_pinned, slot.conversation is not None, slot.last_used


class Slots:
    """The sequences of one KV cache, searched for the longest common prefix.

    `can_trim`: whether the model's memory can forget the end of a sequence. If not (recurrent
    models), only a prompt that continues all tokens of a slot can use it. `min_copy`: the shortest
    prefix worth copying to another slot, 1 if copying is free.
    """

    def __init__(self, num_slots: int, *, can_trim: bool = True, min_copy: int = 1) -> None:
        self._slots = [Slot(seq_id) for seq_id in range(num_slots)]
        self.can_trim = can_trim
        self.min_copy = min_copy
        self._clock = 0

    def resize(self, num_slots: int, kept: list[Slot]) -> None:
        """Have `num_slots` slots: first the kept ones, in this order, then empty ones."""
        for seq_id, slot in enumerate(kept):
            slot.seq_id = seq_id
        self._slots[:] = [*kept, *(Slot(seq_id) for seq_id in range(len(kept), num_slots))]

    def place(
        self,
        token_ids: list[int],
        conversation: str | None = None,
        *,
        most_cached: int | None = None,
        is_pinned: bool = False,
    ) -> Placement | None:
        """Choose the slot of a prompt and mark it busy; None while every slot is busy.

        At most `most_cached` tokens count as resident, by default all but the last: the model must
        evaluate one token to have logits to draw from. The slot with the longest common prefix is
        taken over in place in three cases: the prompt continues all of its tokens; the prompt
        belongs to the same conversation (a turn was replaced); or the slot holds a one-off whose
        prompt begins this one, but for its last token. In all other cases the idle slot of least
        worth loses its text, and the prefix is copied there if that pays. So no conversation loses
        its end to another, unless its slot is the only idle one. While another slot is idle, only a
        pinned prompt takes over a pinned slot.
        """
        limit = len(token_ids) - 1 if most_cached is None else most_cached
        best, num_cached = self._longest_prefix(token_ids, conversation, limit)
        if (
            best is not None
            and (is_pinned or not best.is_pinned)
            and self._may_take_over(best, num_cached, conversation)
        ):
            return self._take(Placement(best, num_cached), token_ids, conversation)
        if not self.can_trim:
            best, num_cached = None, 0
        free = self._least_worth(without=best)
        if free is not None:
            # The slot may itself hold a start of the prompt; a copy must bring more than that.
            num_own = min(common_prefix(free.token_ids, token_ids), limit) if self.can_trim else 0
            if num_cached - num_own < self.min_copy:
                best, num_cached = None, num_own
            return self._take(Placement(free, num_cached, copy_from=best), token_ids, conversation)
        if best is None or best.is_busy:
            return None
        return self._take(Placement(best, num_cached), token_ids, conversation)

    def release(self, slot: Slot, *, rows: Iterable[list[int]] = ()) -> list[Slot]:
        """Let others use a slot; return the slots that lost tokens, which the model must trim.

        The tokens of a slot stay resident until the room is needed, with two exceptions. `rows` are
        the tokens of rows that run or wait next: no later prompt repeats a row's own tokens, so the
        slot of a row without a conversation keeps only the longest start that it shares, or has
        shared, with other rows. If it shares none, or no other row is left, it is kept whole, since
        a later column may share any start of it. And no more than
        `_MAX_ONE_OFFS` one-offs are kept.
        """
        slot.is_busy = False
        self._touch(slot)
        shortened = []
        if self.can_trim and slot.conversation is None:
            sizes = [common_prefix(slot.token_ids, row) for row in rows]
            slot.num_shared = max([slot.num_shared, *sizes])
            if sizes and slot.num_shared:
                self._keep_shared(slot)
                shortened.append(slot)
        one_offs = [
            one
            for one in self._slots
            if one.token_ids and not (one.is_busy or one.is_pinned or one.conversation)
        ]
        for one in sorted(one_offs, key=_worth)[:-_MAX_ONE_OFFS]:
            one.clear()
            shortened.append(one)
        return shortened

    def adopt(self, token_ids: Sequence[int], conversation: str | None = None) -> Slot | None:
        """Give tokens from disk or plain memory to an idle slot; None if there is no idle slot.

        The slot counts as busy, so that it is not evicted. `release` it once its state is restored.
        """
        free = self._least_worth(without=None)
        if free is not None:
            free.clear()
            free.token_ids = list(token_ids)
            free.num_prompt = len(token_ids)
            free.conversation = conversation
            free.is_busy = True
        return free

    def evict(self) -> Slot | None:
        """Clear the idle slot of least worth and return it; None if no idle slot has tokens."""
        idle = (slot for slot in self._slots if slot.token_ids and not slot.is_busy)
        slot = min(idle, key=_worth, default=None)
        if slot is not None:
            slot.clear()
        return slot

    def num_resident(self, token_ids: list[int]) -> int:
        """Return how many tokens of a prompt are resident in any slot."""
        return max(
            self._usable(slot, common_prefix(slot.token_ids, token_ids)) for slot in self._slots
        )

    @property
    def used(self) -> tuple[Slot, ...]:
        """The slots with tokens, the latest used first."""
        by_use = sorted(self._slots, key=lambda slot: -slot.last_used)
        return tuple(slot for slot in by_use if slot.token_ids)

    @property
    def has_pinned(self) -> bool:
        """Whether a slot holds a pinned prompt."""
        return any(slot.is_pinned for slot in self._slots)

    @property
    def has_empty(self) -> bool:
        """Whether an idle slot has no tokens."""
        return not all(slot.token_ids or slot.is_busy for slot in self._slots)

    def _usable(self, slot: Slot, length: int) -> int:
        return length if self.can_trim or length == len(slot.token_ids) else 0

    def _longest_prefix(
        self, token_ids: list[int], conversation: str | None, limit: int
    ) -> tuple[Slot | None, int]:
        def rank(slot: Slot) -> tuple[int, bool, bool, int]:
            length = min(common_prefix(slot.token_ids, token_ids), limit)
            # Of equals first a slot that can be taken over, then the one that loses least by it.
            is_own = conversation is not None and slot.conversation == conversation
            return (length, not slot.is_busy, is_own, -len(slot.token_ids))

        best = max(self._slots, key=rank)
        length = rank(best)[0]
        return (best, length) if length else (None, 0)

    def _may_take_over(self, slot: Slot, num_cached: int, conversation: str | None) -> bool:
        if slot.is_busy:
            return False
        if num_cached == len(slot.token_ids):
            return True
        is_same = conversation is not None and slot.conversation == conversation
        is_repeated = slot.conversation is None and num_cached >= slot.num_prompt - 1
        return self.can_trim and (is_same or is_repeated)

    def _least_worth(self, without: Slot | None) -> Slot | None:
        idle = [slot for slot in self._slots if not slot.is_busy and slot is not without]
        return min(idle, key=_worth, default=None)

    def _take(
        self, placement: Placement, token_ids: list[int], conversation: str | None
    ) -> Placement:
        slot, num_cached, source = placement.slot, placement.num_cached, placement.copy_from
        num_shared = min(slot.num_shared, num_cached) if source is None else num_cached
        resident = (source or slot).token_ids[:num_cached]
        num_saved = min((source or slot).num_saved, num_cached)
        slot.clear()
        slot.token_ids = resident
        slot.conversation = conversation
        slot.is_busy = True
        slot.num_prompt = len(token_ids)
        slot.num_shared = num_shared
        slot.num_saved = num_saved
        self._touch(slot)
        if source is not None:
            source.num_shared = max(source.num_shared, num_cached)
            self._touch(source)
        return placement

    def _keep_shared(self, slot: Slot) -> None:
        """Keep the shared start of a slot, or nothing if another has it and copies are free."""
        start = slot.token_ids[: slot.num_shared]
        others = [other for other in self._slots if other is not slot and self.min_copy <= 1]
        if any(other.token_ids[: len(start)] == start for other in others):
            slot.clear()
        else:
            slot.token_ids = start
            slot.num_prompt = len(start)
            slot.num_saved = min(slot.num_saved, len(start))

    def _touch(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock
