"""Batches of tokens, and what the scheduler needs of the model that evaluates them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Decoded(Enum):
    """The outcome of the evaluation of a batch.

    Without room in the KV cache nothing was evaluated. After an abort or a failure the sequences of
    the batch must be trimmed to where they were.
    """

    OK = "ok"
    NO_ROOM = "the KV cache has no room"
    ABORTED = "the step was aborted"
    FAILED = "llama.cpp reports a failure"


@dataclass(slots=True)
class Batch:
    """Tokens to evaluate together, one list a column.

    `also` maps the index of a token to further sequences that the token belongs to.
    """

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    seq_ids: list[int] = field(default_factory=list)
    wants_logits: list[bool] = field(default_factory=list)
    also: dict[int, list[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.token_ids)

    def add(self, seq_id: int, token_ids: list[int], start: int, *, wants_from: int) -> None:
        """Add tokens of a sequence from position `start` on.

        The model computes the logits of the added tokens from index `wants_from` on.
        """
        count = len(token_ids)
        self.token_ids += token_ids
        self.positions += range(start, start + count)
        self.seq_ids += [seq_id] * count
        num_plain = min(wants_from, count)
        self.wants_logits += [False] * num_plain + [True] * (count - num_plain)


class Model(Protocol):
    """A model with one KV cache.

    `n_ctx` is the number of tokens of the longest sequence, `num_cells` the room of all sequences
    together. The sequences `spare_ids` belong to no slot; judging uses them within one step.
    """

    n_ctx: int
    n_batch: int
    num_cells: int
    spare_ids: range

    def decode(self, batch: Batch) -> Decoded:
        """Evaluate a batch."""

    def trim(self, seq_id: int, num_tokens: int) -> bool:
        """Keep the first tokens of a sequence; False if its memory cannot forget so."""

    def copy(self, source: int, target: int, num_tokens: int) -> bool:
        """Let an empty sequence share the first tokens of another; False if it cannot."""

    def is_end(self, token_id: int) -> bool:
        """Whether a token ends the text."""
