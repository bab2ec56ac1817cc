"""Judging: how likely given texts are after a prompt. Nothing is drawn.

The texts are given as *paths* of tokens, in order, and none begins with another. A sequence's own
tokens are the prompt and one path. Further paths are evaluated in the same batch if the batch, the
KV cache and the model's spare sequences have room: each path takes one spare sequence, and tokens
that several paths begin with are evaluated once, for all of them. The other paths follow in later
steps: the slot is cut to what its own path and the next one have in common.
"""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass, field
from typing import Protocol

from jupyter_llm.engine.local.sched.batch import Batch, Model
from jupyter_llm.engine.local.sched.sequence import Event, Room, Sequence, Share, Work
from jupyter_llm.engine.local.sched.slots import common_prefix
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.errors import EngineError

_MOST_WANTED = 64  # tokens of one path in a step; each takes memory for its logits


class Scorer(Protocol):
    """Keeps the log-probabilities of given texts."""

    def observe(self, index: int, number: int, size: int) -> None:
        """Keep what the logits of the batch's `index`-th token say of a path.

        The token is the last of the first `size` tokens of path `number`; with `size` 0 it is the
        last token before the paths.
        """


@dataclass(eq=False)
class Judging(Work):
    """Judge `paths` after a prompt.

    `num_before`: tokens before the paths. `num_done`: paths that were judged. `num_judged`:
    judged positions of the current path; the first is the token before it.
    """

    scorer: Scorer
    paths: collections.abc.Sequence[tuple[int, ...]]
    max_tokens: int = 0
    num_before: int = field(init=False, default=0)
    num_done: int = field(init=False, default=0)
    num_judged: int = field(init=False, default=0)
    is_given = True

    def begin(self, sequence: Sequence) -> None:
        """Add the first path."""
        self.num_before = len(sequence.token_ids)
        sequence.token_ids = [*sequence.token_ids, *self.paths[0]]

    def longest(self, sequence: Sequence) -> int:
        """Return the number of tokens with the longest path."""
        return max(len(sequence.token_ids), self.num_before + max(map(len, self.paths)))

    def first_wanted(self, sequence: Sequence) -> int:
        """Return the position of the first token that was not judged."""
        del sequence
        return self.num_before - 1 + self.num_judged

    def most_taken(self, sequence: Sequence, room: int) -> int:
        """Return how many tokens one batch may take, with a limit for those that are judged."""
        assert sequence.slot is not None
        num_unjudged = max(0, self.first_wanted(sequence) - len(sequence.slot.token_ids))
        return min(room, num_unjudged + _MOST_WANTED)

    def extend(self, share: Share, batch: Batch, room: Room, model: Model) -> None:
        """Add further paths, each in a spare sequence of the model.

        `share.num_paths` counts all paths of the batch. `share.beside` lists the tokens of further
        paths: the index in the batch, the path's number, and the length of the path up to there.
        """
        slot, start = share.slot, len(share.slot.token_ids)
        if start + len(share.taken) < len(share.sequence.token_ids):
            return
        num_tokens = min(room.num_tokens, room.num_cells)
        begin = len(batch) - len(share.taken) - start  # index in the batch minus position
        before = own = self.paths[self.num_done]
        first = begin + self.num_before
        places = list(range(first, first + len(own)))  # the indices of the tokens of `before`
        for number in range(self.num_done + 1, len(self.paths)):
            path = self.paths[number]
            num_common = common_prefix(before, path)
            num_copied = min(start, self.num_before + common_prefix(own, path))
            num_new = len(path) - num_common
            if num_new > num_tokens or not room.spare_ids:
                return
            num_tokens -= num_new
            seq_id = room.spare_ids.pop()
            if not model.copy(slot.seq_id, seq_id, num_copied):
                return
            num_shared = max(0, num_copied - self.num_before)  # of the path
            for place in (*range(begin + num_copied, first), *places[num_shared:num_common]):
                batch.also.setdefault(place, []).append(seq_id)
            new = range(len(batch), len(batch) + num_new)
            batch.add(seq_id, list(path[num_common:]), self.num_before + num_common, wants_from=0)
            share.beside += [(place, number, num_common + n + 1) for n, place in enumerate(new)]
            before, places = path, [*places[:num_common], *new]
            share.num_paths += 1

    def advance(self, share: Share, model: Model) -> tuple[list[Event], FinishReason | None]:
        """Judge the tokens of a batch, then go over to the next path."""
        del model
        sequence, slot = share.sequence, share.slot
        try:
            for index in range(share.first_index, share.first_index + share.num_wanted):
                self.scorer.observe(index, self.num_done, self.num_judged)
                self.num_judged += 1
            for place in share.beside:
                self.scorer.observe(*place)
        except EngineError as error:
            return [Event(sequence, error=error)], "error"
        if sequence.num_pending:
            return [], None
        self.num_done += share.num_paths
        if self.num_done == len(self.paths):
            return [Event(sequence)], "stop"
        before, path = self.paths[self.num_done - 1 : self.num_done + 1]
        self.num_judged = 1 + common_prefix(before, path)
        sequence.token_ids = [*sequence.token_ids[: self.num_before], *path]
        del slot.token_ids[common_prefix(slot.token_ids, sequence.token_ids) :]
        return [], None
