"""Batches are filled up to whole groups, and nobody's tokens change places."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
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


def test_a_token_alone_gets_a_filler_behind_it_that_wants_logits_too() -> None:
    filled, ends = fill_groups(batch_of([(5, 1, 1)]), 2)
    assert filled.positions == [5, 6]
    assert filled.token_ids == [0, 0]
    assert filled.wants_logits == [True, True]
    assert ends == {0: 6}


def test_what_is_whole_stays_as_it_is() -> None:
    batch = batch_of([(0, 4, 0), (7, 2, 2)])
    filled, ends = fill_groups(batch, 2)
    assert filled == batch
    assert ends == {0: 4, 1: 9}


def test_the_partner_of_a_token_that_wants_logits_wants_them_too() -> None:
    filled, _ = fill_groups(batch_of([(0, 6, 3)]), 2)
    assert filled.wants_logits == [False, False, True, True, True, True]


SHARES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=5
)


@settings(deadline=None)
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
    assert all(b or not a for a, b in zip(batch.wants_logits, filled.wants_logits, strict=False))
    assert len(filled) - count <= (size - 1) * len(shares)
    for seq_id, (start, num_own, num_wanted) in enumerate(shares):
        own = [place for place, owner in enumerate(filled.seq_ids) if owner == seq_id]
        assert len(own) % size == 0
        assert [filled.positions[place] for place in own] == list(range(start, start + len(own)))
        assert ends[seq_id] == start + num_own
        wanted = [filled.wants_logits[place] for place in own]
        groups = [set(wanted[number : number + size]) for number in range(0, len(own), size)]
        assert all(len(group) == 1 for group in groups)
        assert any(wanted) == (num_wanted > 0)


@pytest.mark.parametrize("size", [2, 4, MAX_GROUP])
def test_the_given_batch_is_not_changed(size: int) -> None:
    batch = batch_of([(0, 3, 1), (4, 1, 1)])
    before = batch_of([(0, 3, 1), (4, 1, 1)])
    fill_groups(batch, size)
    assert batch == before
