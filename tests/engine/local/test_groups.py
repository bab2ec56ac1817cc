"""Batches are filled up to whole groups, and nobody's tokens change places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.engine.local.groups import MAX_GROUP, fill_groups
from jupyter_llm.engine.local.scheduler import Batch


def batch_of(shares: list[tuple[int, int, int]]) -> Batch:
    """Make a batch of sequences: from where, how many tokens, and how many want logits."""
    batch = Batch()
    for seq_id, (start, count, num_wanted) in enumerate(shares):
        batch.token_ids += [100 * seq_id + number for number in range(count)]
        batch.positions += range(start, start + count)
        batch.seq_ids += [seq_id] * count
        batch.wants_logits += [number >= count - num_wanted for number in range(count)]
    return batch


SHARES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=5
)


@given(SHARES, st.sampled_from([2, 4, MAX_GROUP]))
def test_whatever_comes_together_nothing_is_left_over(
    shares: list[tuple[int, int, int]], size: int
) -> None:
    batch = batch_of(shares)
    filled, ends = fill_groups(batch, size)
    count = len(batch)
    assert filled.token_ids[:count] == batch.token_ids
    assert filled.positions[:count] == batch.positions
    assert filled.seq_ids[:count] == batch.seq_ids
    assert len(filled) - count <= (size - 1) * len(shares)
    for seq_id, (start, num_own, num_wanted) in enumerate(shares):
        own = [place for place, owner in enumerate(filled.seq_ids) if owner == seq_id]
        assert len(own) % size == 0
        assert [filled.positions[place] for place in own] == list(range(start, start + len(own)))
        assert ends[seq_id] == start + num_own
        wanted = [number >= num_own - num_wanted for number in range(num_own)]
        groups = [any(wanted[number : number + size]) for number in range(0, len(own), size)]
        assert [filled.wants_logits[place] for place in own] == [
            is_wanted for is_wanted in groups for _ in range(size)
        ]
    assert batch == batch_of(shares)
