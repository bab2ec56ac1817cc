"""A sequence: one request on its way through the scheduler, and its work.

`Sequence` has the fields by which the scheduler orders and places any request. Its `work` says what
the tokens are evaluated for: `Prefill` (here), `Drawing` (drawing.py), `Judging` (judging.py) or
`Embedding` (../embedding.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jupyter_llm.engine.local.sched.batch import Batch, Model
from jupyter_llm.engine.local.sched.slots import Slot
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import EngineError


@dataclass(slots=True, eq=False)
class Sequence:
    """One request: first waiting, then running in a slot, then finished.

    `token_ids` are the prompt's tokens and those that the work adds. The model has evaluated the
    first `len(slot.token_ids)` of them. The first `num_prompt` are the prompt. The first
    `num_to_read` are read before more is drawn: the prompt and, after a second admission or a lost
    memory, all tokens that it had then.

    `num_cached`: prompt tokens that were resident when the sequence first got a slot, at the time
    `admitted_s`; 0 after that memory was lost. `arrival`: the number by which sequences of one
    class are ordered. A sequence that `was_preempted` lost its slot once; its whole completion is
    reserved when it is admitted again.
    """

    token_ids: list[int]
    work: Work
    conversation: str | None = None
    priority: Priority = Priority.CHAT
    is_pinned: bool = False
    is_private: bool = False
    num_prompt: int = field(init=False)
    num_to_read: int = field(init=False)
    num_cached: int = field(init=False, default=0)
    slot: Slot | None = field(init=False, default=None)
    finish_reason: FinishReason | None = field(init=False, default=None)
    admitted_s: float | None = field(init=False, default=None)
    arrival: int = field(init=False, default=0)
    was_preempted: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.num_prompt = self.num_to_read = len(self.token_ids)
        self.work.begin(self)

    @property
    def completion_ids(self) -> list[int]:
        """The tokens after the prompt."""
        return self.token_ids[self.num_prompt :]

    @property
    def num_written(self) -> int:
        """The number of tokens after the prompt."""
        return len(self.token_ids) - self.num_prompt

    @property
    def is_reading(self) -> bool:
        """Whether some of the first `num_to_read` tokens are unread, apart from the last one."""
        num_to_read = min(self.num_to_read, len(self.token_ids))
        return self.slot is not None and len(self.slot.token_ids) < num_to_read - 1

    @property
    def num_pending(self) -> int:
        """The number of tokens that are still to be evaluated."""
        return len(self.token_ids) - self.num_resident

    @property
    def num_resident(self) -> int:
        """The number of tokens that the model has evaluated."""
        return len(self.slot.token_ids) if self.slot is not None else 0


@dataclass(slots=True)
class Share:
    """One sequence's share of a batch.

    `taken` are the next of its own tokens, `draft` guessed or certain tokens after them. From
    index `first_index` of the batch on, the work needs the logits of `num_wanted` tokens.

    A sequence that draws `is_alone` if it has the whole batch and one token of its own in it.
    `num_joined`: its guesses and certain tokens, without those that cost nothing. `num_right`
    guesses were right. `num_paths` and `beside` are explained in judging.py.
    """

    sequence: Sequence
    slot: Slot
    taken: list[int]
    first_index: int
    num_wanted: int
    draft: list[int] = field(default_factory=list)
    is_alone: bool = False
    num_joined: int = 0
    num_right: int = 0
    num_paths: int = 1
    beside: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Room:
    """Room for a share of a batch beyond the sequence's own tokens.

    `num_tokens`: tokens that the batch can still take. `num_others`: other sequences of the batch's
    class. `num_free`: guesses after one token that cost no time. `num_cells`: free cells of the KV
    cache. `spare_ids`: empty sequences of the model that a share may take away and fill.
    """

    num_tokens: int
    num_others: int
    num_free: int
    num_cells: int
    spare_ids: list[int]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a step did to a sequence: it got a token, ended, paused or failed."""

    sequence: Sequence
    token_id: int | None = None
    error: EngineError | None = None


class Work:
    """The purpose of a sequence: the base of `Prefill`, `Drawing`, `Judging` and `Embedding`.

    The scheduler calls these methods in the order of a step: `first_wanted` when it places the
    sequence, `most_taken` and `extend` when it builds a batch, `advance` after the evaluation.

    `max_tokens`: how many tokens may follow the prompt, so that room is left for them. Work that
    `is_given` evaluates given tokens, many at a time; other work draws one token after another.
    """

    max_tokens: int
    is_given = False

    def begin(self, sequence: Sequence) -> None:
        """Add tokens that are to be evaluated after those that the sequence has."""

    def longest(self, sequence: Sequence) -> int:
        """Return the number of tokens that the sequence has at the most before any is drawn."""
        return len(sequence.token_ids)

    def first_wanted(self, sequence: Sequence) -> int:
        """Return the position of the first token whose logits the work needs.

        The tokens before it need no evaluation if they are resident.
        """
        raise NotImplementedError

    def most_taken(self, sequence: Sequence, room: int) -> int:
        """Return how many of the sequence's own tokens one batch may take, `room` at the most."""
        del sequence
        return room

    def extend(self, share: Share, batch: Batch, room: Room, model: Model) -> None:
        """Add to the batch what goes beyond the sequence's own tokens."""

    def advance(self, share: Share, model: Model) -> tuple[list[Event], FinishReason | None]:
        """Use the logits of a batch; return what happened, and the reason if the work is done.

        The slot already counts the share's `taken` tokens. Guesses that were right are added to
        it; tokens that the slot does not count are removed from the model's memory afterwards.
        """
        raise NotImplementedError

    def add_certain(self, sequence: Sequence) -> None:
        """Add tokens that must come next whatever the model computes."""

    def close(self) -> None:
        """Free what the work holds; may be called twice."""


class Prefill(Work):
    """Read a prompt, so that it is resident when an answer is asked for."""

    max_tokens = 0

    def first_wanted(self, sequence: Sequence) -> int:
        """Return the position after the last token: no logits are needed."""
        return len(sequence.token_ids)

    def advance(self, share: Share, model: Model) -> tuple[list[Event], FinishReason | None]:
        """End once the whole prompt is resident."""
        del model
        if share.sequence.num_pending:
            return [], None
        return [Event(share.sequence)], "length"
