"""Who runs next: a state machine that steps.

It knows tokens, positions and sequence numbers; not llama.cpp, not text and not threads. Each
step runs one batch: the next token of every sequence that decodes, and as much of the waiting
prefill as fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as TokenIds
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from jupyter_llm.errors import ContextOverflowError, EngineError

if TYPE_CHECKING:
    from jupyter_llm.engine.base import FinishReason
    from jupyter_llm.engine.slots import Slot, Slots


class Decoded(Enum):
    """How the evaluation of a batch ended."""

    OK = "ok"
    NO_ROOM = "no room in the KV cache; nothing was evaluated"
    ABORTED = "aborted; the batch's sequences must be trimmed to where they were"
    FAILED = "failed; the batch's sequences must be trimmed to where they were"


class Sampler(Protocol):
    """Draws the tokens of one sequence, and remembers those it drew."""

    def sample(self, index: int) -> int:
        """Draw a token from the logits of the batch's `index`-th token."""

    def close(self) -> None:
        """Free what it holds; may be called twice."""


class Model(Protocol):
    """What the scheduler needs of a model."""

    n_ctx: int
    n_batch: int

    def decode(self, batch: Batch) -> Decoded:
        """Evaluate a batch."""

    def trim(self, seq_id: int, num_tokens: int) -> bool:
        """Keep the first tokens of a sequence; False if its memory cannot forget so."""

    def copy(self, source: int, target: int, num_tokens: int) -> None:
        """Let a sequence share the first tokens of another."""

    def is_end(self, token_id: int) -> bool:
        """Tell whether a token ends the text."""


@dataclass(slots=True)
class Batch:
    """Tokens to evaluate together, one list a column."""

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    seq_ids: list[int] = field(default_factory=list)
    wants_logits: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(slots=True, eq=False)
class Sequence:
    """One request on its way: waiting, then running in a slot, then finished.

    `token_ids` are the prompt's and then those drawn; the first `len(slot.token_ids)` of them have
    been evaluated.
    """

    token_ids: list[int]
    max_tokens: int
    sampler: Sampler
    conversation: str | None = None
    ignore_eos: bool = False
    num_prompt: int = field(init=False)
    num_cached: int = field(init=False, default=0)
    slot: Slot | None = field(init=False, default=None)
    finish_reason: FinishReason | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.num_prompt = len(self.token_ids)

    @property
    def completion_ids(self) -> list[int]:
        """The tokens drawn so far."""
        return self.token_ids[self.num_prompt :]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One outcome of a step: a sequence got a token, ended, or failed."""

    sequence: Sequence
    token_id: int | None = None
    error: EngineError | None = None


class Scheduler:
    """Runs sequences together on one model.

    A sequence is admitted when a slot is free and its prompt and longest completion fit the KV
    cache beside those of the running ones. Idle slots lose their tokens only when the room is
    needed.
    """

    def __init__(self, model: Model, slots: Slots) -> None:
        self._model = model
        self._slots = slots
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self.num_evaluated = 0  # tokens of the last step

    @property
    def num_waiting(self) -> int:
        """How many sequences have no slot yet."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """How many sequences have a slot."""
        return len(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return not self._running and not self._waiting

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence, or raise `ContextOverflowError` if it can never fit."""
        if sequence.num_prompt >= self._model.n_ctx:
            raise ContextOverflowError(sequence.num_prompt, self._model.n_ctx)
        room = self._model.n_ctx - sequence.num_prompt
        sequence.max_tokens = min(sequence.max_tokens, room)
        self._waiting.append(sequence)

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a sequence wherever it is; what it has read stays resident."""
        if sequence.finish_reason is not None:
            return
        sequence.finish_reason = reason
        sequence.sampler.close()
        if sequence.slot is None:
            self._waiting.remove(sequence)
        else:
            self._running.remove(sequence)
            self._slots.release(sequence.slot)

    def step(self) -> list[Drawn]:
        """Run one batch and return what came of it."""
        self._admit()
        batch, members = self._build_batch()
        result = self._decode(batch) if batch else Decoded.OK
        self.num_evaluated = len(batch) if result is Decoded.OK else 0
        if result is Decoded.OK:
            return [drawn for member in members for drawn in self._advance(*member)]
        for sequence, _, _ in members:
            self._roll_back(sequence)
        if result is Decoded.ABORTED:
            return []  # whoever asked for it finishes a sequence; the others run again
        return self._fail(result, members)

    def _admit(self) -> None:
        while self._waiting:
            sequence = self._waiting[0]
            reserved = sum(s.num_prompt + s.max_tokens for s in (*self._running, sequence))
            if self._running and reserved > self._model.n_ctx:
                return
            placement = self._slots.place(sequence.token_ids, sequence.conversation)
            if placement is None:
                return
            self._waiting.popleft()
            sequence.slot = placement.slot
            sequence.num_cached = placement.num_cached
            self._running.append(sequence)
            if placement.copy_from is not None:
                self._model.trim(placement.slot.seq_id, 0)
                self._model.copy(
                    placement.copy_from.seq_id, placement.slot.seq_id, placement.num_cached
                )
            else:
                self._roll_back(sequence)

    def _roll_back(self, sequence: Sequence) -> None:
        """Make the model's memory hold exactly the slot's tokens, or none if it cannot."""
        slot = sequence.slot
        assert slot is not None
        if not self._model.trim(slot.seq_id, len(slot.token_ids)):
            self._model.trim(slot.seq_id, 0)
            slot.token_ids = []
            sequence.num_cached = 0

    def _build_batch(self) -> tuple[Batch, list[tuple[Sequence, TokenIds[int], int]]]:
        """Take one token of each sequence that decodes, then prefill while there is room.

        Return the batch and its members: the sequence, the tokens taken of it, and the index of
        its logits in the batch, or -1 if its prefill goes on.
        """
        batch = Batch()
        members: list[tuple[Sequence, TokenIds[int], int]] = []
        by_length = sorted(self._running, key=self._num_pending)  # stable: first come, first served
        for sequence in by_length:
            room = self._model.n_batch - len(batch)
            if room <= 0:
                break
            slot = sequence.slot
            assert slot is not None
            start = len(slot.token_ids)
            taken = sequence.token_ids[start : start + room]
            is_complete = start + len(taken) == len(sequence.token_ids)
            batch.token_ids += taken
            batch.positions += range(start, start + len(taken))
            batch.seq_ids += [slot.seq_id] * len(taken)
            batch.wants_logits += [False] * (len(taken) - 1) + [is_complete]
            members.append((sequence, taken, len(batch) - 1 if is_complete else -1))
        return batch, members

    def _num_pending(self, sequence: Sequence) -> int:
        assert sequence.slot is not None
        return min(2, len(sequence.token_ids) - len(sequence.slot.token_ids))

    def _decode(self, batch: Batch) -> Decoded:
        while (result := self._model.decode(batch)) is Decoded.NO_ROOM:
            evicted = self._slots.evict()
            if evicted is None:
                break
            self._model.trim(evicted.seq_id, 0)
        return result

    def _advance(self, sequence: Sequence, taken: TokenIds[int], index: int) -> list[Drawn]:
        assert sequence.slot is not None
        sequence.slot.token_ids += taken
        if index < 0:
            return []
        token_id = sequence.sampler.sample(index)
        if self._model.is_end(token_id) and not sequence.ignore_eos:
            self.finish(sequence, "stop")
            return [Drawn(sequence)]
        sequence.token_ids.append(token_id)
        if len(sequence.token_ids) - sequence.num_prompt >= sequence.max_tokens:
            self.finish(sequence, "length")
        return [Drawn(sequence, token_id)]

    def _fail(
        self, result: Decoded, members: list[tuple[Sequence, TokenIds[int], int]]
    ) -> list[Drawn]:
        """Give up the youngest sequence of a batch that could not be evaluated."""
        sequence = max((member[0] for member in members), key=self._running.index)
        self.finish(sequence, "error")
        return [Drawn(sequence, error=EngineError(f"The model could not go on: {result.value}."))]
