"""Drafts repeat what stood before, and pay: on simulated machines, against plain decoding."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.engine.local.sched.lookup import MAX_DRAFT, Lookup, Payoff

# Tokens in a step → its milliseconds: a small model that computes, a large one that reads memory.
SMALL = {1: 9.0, 2: 15.0, 4: 25.0, 8: 37.0, 16: 70.0, 32: 140.0}
LARGE = {1: 100.0, 2: 103.0, 4: 108.0, 8: 120.0, 16: 180.0, 32: 330.0}
HOPELESS = {size: 9.0 * size for size in SMALL}
CURVES = {"small": SMALL, "large": LARGE, "hopeless": HOPELESS}


TOKENS = st.lists(st.integers(0, 2), max_size=60)


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311


class Machine:
    """Times of steps: a curve, noise, and now and then somebody else's work."""

    def __init__(self, curve: dict[int, float], seed: int, noise: float = 0.0) -> None:
        self._curve = curve
        self._random = dice(seed)
        self._noise = noise

    def undisturbed_s(self, num_tokens: int) -> float:
        return float(np.interp(num_tokens, [*self._curve], [*self._curve.values()])) / 1000

    def measured_s(self, num_tokens: int) -> float:
        held_up = 100 if self._noise and self._random.random() < 0.005 else 1
        noise = self._random.uniform(1 - self._noise, 1 + self._noise)
        return held_up * noise * self.undisturbed_s(num_tokens)


def decode(
    machine: Machine, prompt: list[int], text: list[int], payoff: Payoff | None = None
) -> tuple[float, list[int]]:
    """Write the text as a scheduler would; return the undisturbed time and the drafts' lengths."""
    payoff = payoff or Payoff()
    lookup = Lookup(prompt)
    time_s = 0.0
    lengths = []
    position = 0
    while position < len(text):
        room = min(MAX_DRAFT, len(text) - position - 1)
        draft = lookup.propose(payoff.num_draft(lookup.chances(room)))
        num_accepted = 0
        while num_accepted < len(draft) and draft[num_accepted] == text[position + num_accepted]:
            num_accepted += 1
        for token_id in text[position : position + num_accepted + 1]:
            lookup.append(token_id)
        position += num_accepted + 1
        payoff.observe(len(draft), num_accepted, machine.measured_s(len(draft) + 1))
        time_s += machine.undisturbed_s(len(draft) + 1)
        lengths.append(len(draft))
    return time_s, lengths


def speedup(
    machine: Machine, prompt: list[int], text: list[int], payoff: Payoff | None = None
) -> float:
    time_s, _ = decode(machine, prompt, text, payoff)
    return len(text) * machine.undisturbed_s(1) / time_s


def unlike(seed: int, num_tokens: int) -> list[int]:
    """Return tokens of a large vocabulary, drawn at random."""
    roll = dice(seed)
    return [roll.randrange(50_000) for _ in range(num_tokens)]


def babble(seed: int, num_tokens: int) -> list[int]:
    """Return tokens of ten kinds at random: what stood before says nothing of what comes."""
    roll = dice(seed)
    return [roll.randrange(10) for _ in range(num_tokens)]


@given(TOKENS, st.integers(0, 40))
def test_every_draft_continues_a_place_that_agrees_in_three_tokens(
    token_ids: list[int], max_tokens: int
) -> None:
    lookup = Lookup(token_ids)
    draft = lookup.propose(max_tokens)
    places = [p for p in range(3, len(token_ids)) if token_ids[p - 3 : p] == token_ids[-3:]]
    assert len(draft) == (max_tokens if places else 0)
    assert len(lookup.chances(max_tokens)) == len(draft)
    whole = token_ids + draft
    assert not draft or any(whole[p : p + len(draft)] == draft for p in places)


@pytest.mark.parametrize("noise", [0.0, 0.15])
@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("write", [unlike, babble])
def test_text_without_repetition_loses_next_to_nothing(
    write: Callable[[int, int], list[int]], name: str, noise: float
) -> None:
    for seed in range(8):
        machine = Machine(CURVES[name], seed, noise)
        assert speedup(machine, write(seed, 2000), write(seed + 100, 600)) >= 0.98


@pytest.mark.parametrize("noise", [0.0, 0.15])
@pytest.mark.parametrize(("name", "least"), [("small", 1.9), ("large", 8.0)])
def test_strongly_repeating_text_pays(name: str, least: float, noise: float) -> None:
    for seed in range(8):
        text = unlike(seed, 20)
        assert speedup(Machine(CURVES[name], seed, noise), text * 2, text * 30) >= least


# -- where tokens are evaluated in groups ----------------------------------------------------------
