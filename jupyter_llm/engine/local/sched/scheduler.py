"""Runs many sequences on one model: a state machine that takes one step at a time.

A sequence (sequence.py) has these states:

```
 submit ──> WAITING ───── admit ──────> RUNNING ── its work is done, or it fails ──> FINISHED
            (no slot) <── preempt ───── (a slot) ── finish, from any state ────────> (no slot)
                                        │     ▲
                   pause_after tokens,  ▼     │ go_on: other work
                   or the end before  PAUSED ─┘ (still in its slot)
```

One step, `Scheduler.step`, does this:

1. **Admit.** Waiting sequences are taken in the order of their class, then of their arrival. One is
   admitted when a slot is free and its prompt and the start of its completion fit the KV cache
   beside the running ones. If not, the youngest sequences of *lower* classes are preempted, as many
   as are needed, if that makes enough room. A preempted sequence waits again and keeps the tokens
   it has drawn. A sequence also waits while one of its class or of a more urgent class is about to
   read at least 16 more tokens of their common start, if the start is then copied.
2. **Place.** `Slots` (slots.py) finds the slot that holds the longest start of the prompt. The slot
   is taken over, or the start is copied to another slot if that pays. The tokens that are resident
   then are not evaluated again.
3. **Choose a class.** All sequences of a step have the same `Priority`: ghost text, chats, guests
   (other programs), rows of a bulk, reading in the background, the most urgent first. `Rota`
   (turns.py) chooses the most urgent class that runs. A class past which others have evaluated 240
   tokens gets one step of at most 32 tokens. Background reading is admitted only while nothing
   runs.
4. **Build a batch.** Sequences that draw come first, each with all its pending tokens. One that is
   alone in its class may add guesses. Prompts and given texts fill the rest.
5. **Evaluate.** If the KV cache has no room, idle slots lose their tokens one by one. If that does
   not help, the youngest sequence of the lowest class waits again, and the batch is built anew; the
   last sequence fails. Another thread may abort the evaluation, because a sequence was cancelled or
   more urgent work came. Then nothing of the batch counts: each sequence of it is rolled back to
   where it was (to an empty memory, if the model cannot trim), and a later step of the class
   evaluates those tokens again. Each abort of more than 32 tokens halves the class's next batch,
   down to 32 tokens, so that some of them succeed. Each success doubles it again.
6. **Advance.** The work of each sequence (drawing.py, judging.py) uses the logits: it draws or
   judges tokens, and the sequence may end or pause.

`finish` cancels: it may be called between two steps, in any state. The slot becomes idle;
`Slots.release` decides which of its tokens stay resident for later prompts. `LocalEngine` queues a
cancel that comes during an evaluation. It aborts the evaluation if the sequence's class is
stepping. If the model cannot trim and other sequences are in the batch, the step ends first, since
an abort would empty their memory too.

The work of a PAUSED sequence is done: before the next step, `go_on` or `finish` must be called.

The model's memory holds exactly the tokens that the slots list, before and after each step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from jupyter_llm.engine.local.sched.admission import Admission, Width
from jupyter_llm.engine.local.sched.batch import Batch, Decoded, Model
from jupyter_llm.engine.local.sched.sequence import Event, Room, Sequence, Share, Work
from jupyter_llm.engine.local.sched.slots import Slot, Slots, common_prefix
from jupyter_llm.engine.local.sched.turns import Rota
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ContextOverflowError, EngineError

_SMALL_BATCH = 32  # tokens of a step ahead of more urgent work, and the least after aborts


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one step.

    `events`: what happened to which sequence. `priority`: the class that stepped, None if none
    could. `num_sequences`: sequences of the batch. `num_tokens`: tokens that were
    evaluated, without guesses that cost nothing; 0 if the evaluation did not succeed. `num_joined`
    of them were guesses or certain tokens. `guesses`: how many a sequence that drew alone made, and
    how many of them were right.
    """

    events: tuple[Event, ...] = ()
    priority: Priority | None = None
    num_sequences: int = 0
    num_tokens: int = 0
    num_joined: int = 0
    guesses: tuple[int, int] | None = None


class Scheduler:
    """Runs sequences together on one model.

    `clock` returns seconds. With `has_fixed_steps` all batches are as large as possible, even if
    more urgent work waits, so that the same sequences always share the same batches.
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
        self._admission = Admission(model, slots, width, clock)
        self._has_fixed_steps = has_fixed_steps
        self._num_arrived = 0
        self._rota: Rota[Priority] = Rota()
        self._largest_batch = dict.fromkeys(Priority, model.n_batch)
        self._spare_ids = list(model.spare_ids)
        self.is_background_held = False
        self.num_free = 0
        """Guesses that the model evaluates with one token at no cost."""
        self.stepping: Priority | None = None
        """The class of the step in progress; other threads read it to decide on an abort."""

    @property
    def num_waiting(self) -> int:
        """The number of sequences without a slot."""
        return len(self._admission.waiting)

    @property
    def num_running(self) -> int:
        """The number of sequences with a slot."""
        return len(self._admission.running)

    @property
    def priority(self) -> Priority | None:
        """The highest class that could step; None if a step would do nothing."""
        classes = {sequence.priority for sequence in self.sequences}
        if self.is_background_held:
            classes.discard(Priority.BACKGROUND)
        return min(classes, default=None)

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return self.priority is None

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """All sequences that run or wait."""
        return (*self._admission.running, *self._admission.waiting)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence, or raise `ContextOverflowError` if it can never fit."""
        num_tokens = sequence.work.longest(sequence)
        if num_tokens >= self._model.n_ctx:
            raise ContextOverflowError(num_tokens, self._model.n_ctx)
        sequence.work.max_tokens = min(sequence.work.max_tokens, self._model.n_ctx - num_tokens)
        sequence.work.add_certain(sequence)
        self._num_arrived += 1
        sequence.arrival = self._num_arrived
        self._admission.enqueue(sequence)

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a sequence in any state; `Slots.release` decides which of its tokens stay."""
        if sequence.finish_reason is not None:
            return
        sequence.finish_reason = reason
        sequence.work.close()
        self._admission.leave(sequence)

    def go_on(self, sequence: Sequence, token_ids: list[int], work: Work) -> None:
        """Give a paused sequence other work; the start that `token_ids` share is not read again."""
        slot = sequence.slot
        assert slot is not None
        sequence.work.close()
        sequence.work, sequence.token_ids = work, token_ids
        work.begin(sequence)
        if num_lost := len(slot.token_ids) - common_prefix(slot.token_ids, token_ids):
            del slot.token_ids[-num_lost:]
            self._admission.roll_back(sequence)
        work.add_certain(sequence)

    def lose(self, kept: Collection[Slot]) -> None:
        """Let all sequences wait again whose slot is not kept; they keep what they have drawn."""
        self._admission.lose(kept)

    def of_class(self, priority: Priority) -> list[Sequence]:
        """Return the running and waiting sequences of a class."""
        return [sequence for sequence in self.sequences if sequence.priority is priority]

    def step(self, *, is_guest: bool = False) -> Step:
        """Run one batch, a small one as the guest of more urgent work elsewhere."""
        self._admission.admit(with_background=not self.is_background_held)
        while True:
            shares, batch = self._build_batch(is_guest=is_guest)
            num_tokens = len(batch) - sum(min(len(s.draft), self.num_free) for s in shares)
            result = self._evaluate(batch, num_tokens) if batch else Decoded.OK
            if result is not Decoded.NO_ROOM or not self._admission.preempt(below=None):
                break
        priority, self.stepping = self.stepping, None
        is_done = result is Decoded.OK
        events: list[Event] = []
        for share in shares:
            if is_done:
                events += self._advance(share)
            else:
                is_torn = result is not Decoded.NO_ROOM
                self._admission.roll_back(share.sequence, is_torn=is_torn)
        if result in (Decoded.NO_ROOM, Decoded.FAILED):
            events.append(self._fail(result, shares))
        alone = next((share for share in shares if share.is_alone and is_done), None)
        return Step(
            events=tuple(events),
            priority=priority,
            num_sequences=len(shares),
            num_tokens=num_tokens if is_done else 0,
            num_joined=sum(share.num_joined for share in shares) if is_done else 0,
            guesses=None if alone is None else (len(alone.draft), alone.num_right),
        )

    def _build_batch(self, *, is_guest: bool) -> tuple[list[Share], Batch]:
        """Take the pending tokens of sequences that draw, then of others, as many as fit."""
        batch = Batch()
        shares: list[Share] = []
        running = self._admission.running
        classes = {sequence.priority for sequence in running}
        if self.is_background_held:
            classes.discard(Priority.BACKGROUND)
        self.stepping = None
        if not classes:
            return shares, batch
        priority, is_late = self._rota.next({one: one for one in sorted(classes)})
        self.stepping = priority
        limit = self._model.n_batch
        if not self._has_fixed_steps:
            largest = self._largest_batch[priority]
            limit = min(largest, _SMALL_BATCH) if is_late or is_guest else largest
        turn = [sequence for sequence in running if sequence.priority is priority]
        is_judged = any(sequence.work.is_given for sequence in turn)
        num_cells = self._model.num_cells - (self._admission.num_held if is_judged else 0)
        for sequence in sorted(turn, key=lambda s: s.is_reading or s.work.is_given):  # stable
            if (num_left := limit - len(batch)) <= 0:
                break
            room = Room(num_left, len(turn) - 1, self.num_free, num_cells, self._spare_ids)
            shares.append(self._take(sequence, batch, room))
            num_cells -= len(shares[-1].beside)
        return shares, batch

    def _take(self, sequence: Sequence, batch: Batch, room: Room) -> Share:
        """Add a sequence's next tokens to a batch."""
        slot, work = sequence.slot, sequence.work
        assert slot is not None
        start = len(slot.token_ids)
        taken = sequence.token_ids[start : start + work.most_taken(sequence, room.num_tokens)]
        first = min(max(0, work.first_wanted(sequence) - start), len(taken))
        share = Share(sequence, slot, taken, len(batch) + first, len(taken) - first)
        batch.add(slot.seq_id, taken, start, wants_from=first)
        room.num_tokens -= len(taken)
        work.extend(share, batch, room, self._model)
        return share

    def _evaluate(self, batch: Batch, num_tokens: int) -> Decoded:
        priority = self.stepping
        assert priority is not None
        while (result := self._model.decode(batch)) is Decoded.NO_ROOM:
            evicted = self._slots.evict()
            if evicted is None:
                break
            self._model.trim(evicted.seq_id, 0)
        for seq_id in set(self._model.spare_ids).difference(self._spare_ids):
            self._model.trim(seq_id, 0)
        self._spare_ids = list(self._model.spare_ids)
        if result is Decoded.ABORTED and num_tokens > _SMALL_BATCH:
            self._largest_batch[priority] = max(_SMALL_BATCH, num_tokens // 2)
        elif result is Decoded.OK:
            larger = 2 * self._largest_batch[priority]
            self._largest_batch[priority] = min(self._model.n_batch, larger)
            self._rota.note(priority, num_tokens, {s.priority for s in self.sequences})
        return result

    def _advance(self, share: Share) -> list[Event]:
        sequence, slot = share.sequence, share.slot
        num_evaluated = len(slot.token_ids) + len(share.taken) + len(share.draft)
        slot.token_ids += share.taken
        events, reason = sequence.work.advance(share, self._model)
        if len(slot.token_ids) < num_evaluated:  # guesses were wrong, or another path is next
            self._admission.roll_back(sequence)
        if reason is not None:
            self.finish(sequence, reason)
        return events

    def _fail(self, result: Decoded, shares: list[Share]) -> Event:
        """Give up the youngest sequence of a batch that could not be evaluated."""
        sequence = max((share.sequence for share in shares), key=lambda s: s.arrival)
        self.finish(sequence, "error")
        error = EngineError(f"The model could not go on: {result.value}. Ask again.")
        return Event(sequence, error=error)
