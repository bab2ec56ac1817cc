"""Slots are pure bookkeeping: who holds which tokens, and who must give way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.engine.local.sched.slots import Placement, Slot, Slots


def place(slots: Slots, token_ids: list[int], conversation: str | None = None) -> Placement:
    placement = slots.place(token_ids, conversation)
    assert placement is not None
    return placement


def fill(slots: Slots, token_ids: list[int], conversation: str | None = None) -> Slot:
    """Run a prompt to its end, as the scheduler would: all of its tokens become resident."""
    slot = place(slots, token_ids, conversation).slot
    slot.token_ids += token_ids[len(slot.token_ids) :]
    slots.release(slot)
    return slot


def test_a_prompt_that_continues_a_slot_takes_it_over_in_place() -> None:
    slots = Slots(3)
    slot = fill(slots, [1, 2, 3], "a")
    placement = place(slots, [1, 2, 3, 4], "b")
    assert placement == Placement(slot, num_cached=3)
    assert slot.token_ids == [1, 2, 3]
    assert slot.conversation == "b"


@pytest.mark.parametrize(("one", "other"), [("a", None), ("a", "b"), (None, None)])
def test_another_conversation_forks_and_leaves_the_first_its_tail(
    one: str | None, other: str | None
) -> None:
    slots = Slots(3)
    first = fill(slots, [1, 2, 3, 4], one)
    placement = place(slots, [1, 2, 9], other)
    assert placement.copy_from is first
    assert (placement.slot.token_ids, placement.slot.conversation) == ([1, 2], other)
    assert (first.token_ids, first.conversation, first.is_busy) == ([1, 2, 3, 4], one, False)


def test_the_least_recently_used_slot_gives_way() -> None:
    slots = Slots(3)
    first, second, third = (fill(slots, [number, 0]) for number in (1, 2, 3))
    fill(slots, [1, 0, 5])  # used again
    assert place(slots, [7, 7]).slot is second
    assert place(slots, [8, 8]).slot is third
    assert place(slots, [9, 9]).slot is first


@given(
    num_slots=st.integers(1, 4),
    can_trim=st.booleans(),
    prompts=st.lists(
        st.tuples(st.lists(st.integers(0, 1), min_size=1, max_size=6), st.sampled_from("ab")),
        max_size=30,
    ),
)
def test_what_a_placement_calls_cached_is_the_start_of_the_prompt(
    num_slots: int,
    can_trim: bool,  # noqa: FBT001
    prompts: list[tuple[list[int], str]],
) -> None:
    slots = Slots(num_slots, can_trim=can_trim)
    for token_ids, conversation in prompts:
        placement = place(slots, token_ids, conversation)
        slot = placement.slot
        assert slot.token_ids == token_ids[: placement.num_cached]
        assert placement.num_cached < len(token_ids)
        if placement.copy_from is not None:
            assert can_trim
            assert placement.copy_from is not slot
        slot.token_ids += token_ids[placement.num_cached :]
        slots.release(slot)
    assert len(slots.used) <= num_slots
