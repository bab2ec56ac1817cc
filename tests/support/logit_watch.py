"""Takes down what every logit of a context was, by the tokens that came before it.

That the same tokens have the same logits to the last bit is far more than that the same texts are
drawn: a bit that differs shows in one text of thousands.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from jupyter_llm.engine.local.sched.batch import Batch, Decoded

if TYPE_CHECKING:
    from jupyter_llm.engine.local.lane import Lane


class Witness:
    """Watches a lane evaluate; `seen` has the sums of all logits that some tokens ever had."""

    def __init__(self, lane: Lane) -> None:
        self.seen: dict[str, set[str]] = {}
        self._context = lane.context
        self._slots = lane.slots._slots
        self._decode = lane.context.decode
        lane.context.decode = self._watch  # type: ignore[method-assign]

    @property
    def doubtful(self) -> list[str]:
        """The sums of tokens that had different logits at different times."""
        return [tokens for tokens, logits in self.seen.items() if len(logits) > 1]

    def _watch(self, batch: Batch) -> Decoded:
        everything = Batch(batch.token_ids, batch.positions, batch.seq_ids, [True] * len(batch))
        decoded = self._decode(everything)
        if decoded is Decoded.OK:
            self._take_down(everything)
        return decoded

    def _take_down(self, batch: Batch) -> None:
        read = {seq_id: _sum(self._slots[seq_id].token_ids) for seq_id in set(batch.seq_ids)}
        for place, seq_id in enumerate(batch.seq_ids):
            read[seq_id].update(np.int32(batch.token_ids[place]).tobytes())
            logits = hashlib.blake2b(self._context.logits(place).tobytes(), digest_size=8)
            known = self.seen.setdefault(read[seq_id].hexdigest(), set())
            known.add(logits.hexdigest())


def _sum(token_ids: list[int]) -> hashlib.blake2b:
    return hashlib.blake2b(np.array(token_ids, np.int32).tobytes(), digest_size=8)
