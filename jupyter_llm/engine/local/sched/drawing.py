"""Drawing: one token after another, from the logits of the token before.

Three things let a step bring more than one token:

* A *drafter* guesses the next tokens. The model evaluates the guesses with the token before them,
  and those that the sampler draws as well are right. The first wrong guess ends the step.
* A *mask* knows tokens that are *certain*: the answer's shape leaves no choice. They are not drawn;
  the model reads them with the next batch.
* Where the logits of certain tokens are needed (`needs_logits`), they are evaluated like guesses
  that are always right.
"""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from jupyter_llm.engine.local.sched.sequence import Event, Work
from jupyter_llm.errors import EngineError

if TYPE_CHECKING:
    import numpy as np

    from jupyter_llm.engine.local.sched.batch import Batch, Model
    from jupyter_llm.engine.local.sched.sequence import Room, Sequence, Share
    from jupyter_llm.engine.options import FinishReason

MOST_CERTAIN = 32  # tokens in a step; each takes memory for its logits


class Sampler(Protocol):
    """Draws the tokens of one sequence, and remembers those it drew."""

    def sample(self, index: int) -> int:
        """Draw a token from the logits of the batch's `index`-th token.

        Raises `EngineError` if no token is possible.
        """

    def accept(self, token_id: int) -> None:
        """Remember a certain token, which was not drawn."""

    def close(self) -> None:
        """Free what it holds; may be called twice."""


class Mask(Protocol):
    """The tokens that may come next in one answer, given the tokens that came so far."""

    def apply(self, logits: np.ndarray) -> None:
        """Set the logits of all tokens that may not come to -inf, in place; no others are so."""

    def accept(self, token_id: int) -> None:
        """Remember a token of the answer, one of those that might come."""

    def forced(self) -> collections.abc.Sequence[int]:
        """Return the certain tokens that come next, as far as they can be computed."""

    def num_fitting(self, token_ids: collections.abc.Sequence[int]) -> int:
        """Return how many of some tokens may come one after the other."""

    @property
    def is_over(self) -> bool:
        """Whether only the end may come."""


class Drafter(Protocol):
    """Guesses the next tokens of one sequence."""

    def propose(self, most: int) -> list[int]:
        """Return guesses, none if guessing does not pay."""

    def append(self, token_id: int) -> None:
        """Remember a token of the sequence."""


@dataclass(eq=False)
class Drawing(Work):
    """Draw tokens after a prompt until the model ends, the mask is over, or `max_tokens` came.

    With `ignore_eos` the model's end token is a token like any other. If `pause_after` is not 0,
    the sequence pauses at its end, or once at least so many tokens follow the prompt, instead of
    finishing: it keeps its slot, and `Scheduler.go_on` gives it other work. `num_reported` tokens
    after the prompt need no further event.
    """

    sampler: Sampler
    max_tokens: int
    drafter: Drafter | None = None
    mask: Mask | None = None
    ignore_eos: bool = False
    needs_logits: bool = False
    pause_after: int = 0
    num_reported: int = field(init=False, default=0)
    is_paused: bool = field(init=False, default=False)

    def begin(self, sequence: Sequence) -> None:
        """Report only the tokens that come from now on."""
        self.num_reported = sequence.num_written

    def first_wanted(self, sequence: Sequence) -> int:
        """Return the position of the last token: the next one is drawn from its logits."""
        return len(sequence.token_ids) - 1

    def extend(self, share: Share, batch: Batch, room: Room, model: Model) -> None:
        """Add certain tokens whose logits are needed; without any, add guesses."""
        del model
        sequence, num_taken = share.sequence, len(share.taken)
        num_left = self.max_tokens - sequence.num_written - 1
        if self.mask is not None and self.needs_logits:
            # Certain tokens pay in any company, but each other sequence needs room for a token.
            most = min(room.num_tokens - room.num_others, num_left, MOST_CERTAIN)
            share.draft += self.mask.forced()[: max(0, most)]
        is_whole = sequence.num_pending == num_taken and not sequence.is_reading
        if not (share.draft or room.num_others) and is_whole:
            share.is_alone = num_taken == 1
            # Own tokens that fill a group leave room for guesses that cost nothing only.
            most = num_left if share.is_alone else min(num_left, -num_taken % (room.num_free + 1))
            share.draft += self._guesses(max(0, min(room.num_tokens, most)))
        if share.draft:
            start = len(share.slot.token_ids) + num_taken
            batch.add(share.slot.seq_id, share.draft, start, wants_from=0)
            share.num_wanted += len(share.draft)
        if not sequence.is_reading:
            share.num_joined = num_taken - 1 + max(0, len(share.draft) - room.num_free)

    def _guesses(self, most: int) -> list[int]:
        if self.drafter is None:
            return []
        draft = self.drafter.propose(most)
        return draft if self.mask is None else draft[: self.mask.num_fitting(draft)]

    def advance(self, share: Share, model: Model) -> tuple[list[Event], FinishReason | None]:
        """Draw the next token, and more while they equal the draft."""
        sequence = share.sequence
        if not share.num_wanted:
            return [], None
        errors: list[Event] = []
        reason = self._reason_to_end(sequence)
        while reason is None:
            try:
                token_id = self.sampler.sample(share.first_index + share.num_right)
            except EngineError as error:
                errors.append(Event(sequence, error=error))
                reason = "error"
                break
            if model.is_end(token_id) and not self.ignore_eos:
                reason = "stop"
                break
            self._append(sequence, token_id)
            reason = self._reason_to_end(sequence)
            if reason or share.draft[share.num_right : share.num_right + 1] != [token_id]:
                break
            share.slot.token_ids.append(token_id)
            share.num_right += 1
        if reason is None:
            self.add_certain(sequence)
            reason = self._reason_to_end(sequence)
        self.is_paused = self.pause_after > 0 and reason in ("stop", "length")
        events = self._unreported(sequence) + errors
        if reason and not events:  # an end without a token is an event too
            events.append(Event(sequence))
        return events, None if self.is_paused else reason

    def add_certain(self, sequence: Sequence) -> None:
        """Add the tokens that must come next; the model reads them with the next batch.

        The last of `max_tokens` tokens is always drawn, so that the sequence ends in a step.
        """
        if self.mask is None or self.needs_logits:
            return
        while sequence.num_written + 1 < self.max_tokens:
            token_id = next(iter(self.mask.forced()), None)
            if token_id is None:
                return
            self.sampler.accept(token_id)
            self._append(sequence, token_id)

    def close(self) -> None:
        """Free what the sampler holds; may be called twice."""
        self.sampler.close()

    def _append(self, sequence: Sequence, token_id: int) -> None:
        sequence.token_ids.append(token_id)
        if self.drafter is not None:
            self.drafter.append(token_id)

    def _reason_to_end(self, sequence: Sequence) -> FinishReason | None:
        if self.mask is not None and self.mask.is_over:
            return "stop"
        most = self.pause_after or self.max_tokens
        return "length" if sequence.num_written >= most else None

    def _unreported(self, sequence: Sequence) -> list[Event]:
        token_ids = sequence.completion_ids[self.num_reported :]
        self.num_reported += len(token_ids)
        return [Event(sequence, token_id) for token_id in token_ids]
