"""Embedding: a vector for each of some texts, read in steps of the scheduler."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_llm.engine.local.native.memory import NUM_SEQUENCES
from jupyter_llm.engine.local.sched.sequence import Event, Sequence, Work
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ContextOverflowError, EmptyPromptError, EngineError

if TYPE_CHECKING:
    import collections.abc

    import numpy as np

    from jupyter_llm.engine.local.lane import Lane
    from jupyter_llm.engine.local.lanes import Lanes
    from jupyter_llm.engine.local.native.llama import Weights
    from jupyter_llm.engine.local.native.sampler import Pooler
    from jupyter_llm.engine.local.sched.batch import Model
    from jupyter_llm.engine.local.sched.sequence import Share
    from jupyter_llm.engine.options import FinishReason
    from jupyter_llm.errors import JupyterLLMError


class Embedding(Work):
    """Make one vector of a text: each of its tokens counts, the first one included."""

    max_tokens = 0
    is_given = True

    def __init__(self, pooler: Pooler) -> None:
        self.pooler = pooler

    def first_wanted(self, sequence: Sequence) -> int:
        """Return the position of the first token."""
        del sequence
        return 0

    def advance(self, share: Share, model: Model) -> tuple[list[Event], FinishReason | None]:
        """Add the vectors of a batch's tokens."""
        del model
        try:
            for index in range(share.first_index, share.first_index + share.num_wanted):
                self.pooler.observe(index)
        except EngineError as error:
            return [Event(share.sequence, error=error)], "error"
        if share.sequence.num_pending:
            return [], None
        return [Event(share.sequence)], "stop"


@dataclass(slots=True, eq=False)
class TextGroup:
    """Texts that are read together, as their tokens, and the future of their vectors."""

    texts: list[list[int]]
    future: Future[list[np.ndarray]] = field(default_factory=Future)
    poolers: dict[Sequence, Pooler] = field(default_factory=dict)
    lane: Lane | None = None
    num_finished: int = 0

    def finish_one(self) -> None:
        """Count one text as read; after the last one set the vectors as the result."""
        self.num_finished += 1
        if self.num_finished == len(self.poolers) and not self.future.done():
            self.future.set_result([pooler.pooled for pooler in self.poolers.values()])

    def fail(self, error: JupyterLLMError) -> None:
        """End with an error."""
        if not self.future.done():
            self.future.set_exception(error)


class Embedder:
    """Reads groups of texts in the embedding lane, on the engine thread."""

    def __init__(self, weights: Weights, lanes: Lanes) -> None:
        self._weights = weights
        self._lanes = lanes
        self.running: dict[Sequence, TextGroup] = {}

    def groups(self, texts: collections.abc.Sequence[str]) -> list[TextGroup]:
        """Divide texts into groups that fit one batch; a long text alone takes several batches.

        `ContextOverflowError` if a text is too long to be embedded.
        """
        tokenize = self._weights.tokenize
        tokenized = [tokenize(text, is_special=False, add_bos=True) for text in texts]
        longest, n_ctx = max(map(len, tokenized)), self._lanes.embedding_n_ctx
        if longest > n_ctx:
            raise ContextOverflowError(longest, n_ctx)
        if not all(tokenized):
            raise EmptyPromptError
        n_batch = self._lanes.embedding.context.n_batch
        groups: list[TextGroup] = []
        num_tokens = n_batch
        for text in tokenized:
            num_tokens += len(text)
            if num_tokens > n_batch or len(groups[-1].texts) == NUM_SEQUENCES:
                groups.append(TextGroup([]))
                num_tokens = len(text)
            groups[-1].texts.append(text)
        return groups

    def begin(self, group: TextGroup) -> None:
        """Queue the texts of a group."""
        lane = group.lane = self._lanes.embedding
        if lane.scheduler.is_idle:
            lane.clear()
        for token_ids in group.texts:
            pooler = self._lanes.pooler()
            sequence = Sequence(token_ids, Embedding(pooler), priority=Priority.BULK)
            lane.scheduler.submit(sequence)
            group.poolers[sequence] = pooler
            self.running[sequence] = group

    def end(self, group: TextGroup) -> None:
        """Cancel the texts of a group that are not read yet."""
        for sequence in group.poolers:
            if self.running.pop(sequence, None) is not None and group.lane is not None:
                group.lane.scheduler.finish(sequence, "cancelled")

    def hand_out(self, event: Event) -> None:
        """Note that a text was read; after an error, fail its whole group."""
        group = self.running.pop(event.sequence, None)
        if group is None:
            return
        if event.error is None:
            group.finish_one()
        else:
            self.end(group)
            group.fail(event.error)

    def close(self, error: JupyterLLMError) -> None:
        """Fail all groups."""
        for group in set(self.running.values()):
            group.fail(error)
        self.running.clear()
