"""A batch that is torn off leaves no trace in the exact context, not in the last bit.

llama.cpp evaluates a batch in pieces, and may forget where the streams end whose piece did not come
any more; see `Context._mend`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from support.engines import (
    ask,
    ask_together,
    assert_nothing_leaks,
    before_each_step,
    exact_context,
    load,
)
from support.logit_watch import Witness

from jupyter_llm.engine.local.native.llama import Context
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.local.trials.exactness import measure

pytestmark = pytest.mark.slow

LONG = "the quick brown fox jumps over the lazy dog and "


@dataclass(slots=True)
class Reader:
    """Reads made-up texts, one a stream, on the kernels of this machine."""

    context: Context
    texts: list[list[int]]

    def read(self, *parts: tuple[int, int, int], is_torn: bool = False) -> list[np.ndarray]:
        """Read from where to where of some streams, in one batch; return all logits."""
        batch = Batch()
        for seq_id, start, end in parts:
            batch.token_ids += self.texts[seq_id][start:end]
            batch.positions += range(start, end)
            batch.seq_ids += [seq_id] * (end - start)
            batch.wants_logits += [True] * (end - start)
        self.context.clear_abort()
        if is_torn:
            self.context.abort()
        decoded = self.context.decode(batch)
        assert decoded is (Decoded.ABORTED if is_torn else Decoded.OK)
        return [] if is_torn else [self.context.logits(n).copy() for n in range(len(batch))]

    def forget(self) -> None:
        for seq_id in range(self.context.num_slots):
            self.context.trim(seq_id, 0)


@contextmanager
def reader_of(path: Path) -> Iterator[Reader]:
    texts = np.random.default_rng(3).integers(1, 250, (4, 400)).tolist()
    with exact_context(path) as context:
        context.group_size = measure(context, 96)
        yield Reader(context, texts)


def test_a_sequence_whose_turn_did_not_come_is_read_as_if_nothing_had_been(
    touchy_gguf: Path,
) -> None:
    sizes = product((0, 9), ((150, 100), (33, 100), (77, 60), (20, 64)))
    with reader_of(touchy_gguf) as reader:
        for num_before, (num_others, count) in sizes:
            reader.forget()
            plain = reader.read((1, 0, count))
            reader.forget()
            if num_before:
                reader.read((1, 0, num_before))
            reader.read((0, 0, num_others))
            # llama.cpp evaluates stream 3 for itself first, and does not come to stream 1.
            reader.read((3, 0, 10), (1, num_before, count), is_torn=True)
            assert reader.context.trim(1, num_before)
            again = reader.read((1, num_before, count))
            assert all(map(np.array_equal, plain[num_before:], again)), (num_before, num_others)


@pytest.mark.parametrize("model", ["touchy_gguf", "tiny_window_gguf"])
def test_tearing_batches_off_again_and_again_changes_no_logit(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(request.getfixturevalue(model), n_threads=2, checkpoints=False)
    ask(engine, LONG, 1)
    lane = engine._model.lanes.exact
    witness = Witness(lane)
    dice = np.random.default_rng(5)

    def disturb(_number: int) -> None:
        if dice.random() < 0.2:
            lane.context.abort()
        if dice.random() < 0.2 and (slot := lane.slots.evict()) is not None:
            lane.context.trim(slot.seq_id, 0)

    before_each_step(engine, monkeypatch, disturb)
    for _ in range(40):
        kinds = dice.integers(0, 12, dice.integers(1, 6)).tolist()
        prompts = [f"{kind} dogs and {LONG * (kind % 7)}" for kind in kinds]
        assert all(answer.exact for answer in ask_together(engine, prompts, 6))
    assert len(witness.seen) > 1000
    assert witness.doubtful == []
    assert_nothing_leaks(engine)
