"""Batches in which each sequence has whole groups of tokens, so that company changes no bit.

llama.cpp multiplies with other kernels where it has one token than where it has several, and some
kernels take their tokens four or eight at a time and the rest one by one. They add in different
orders (measured with SmolLM2: of 40 tokens evaluated alone, 31 had other logits than in a prompt).
What a token comes to then depends on how many others of its sequence are in the batch: on the
chunks of a prompt, on guesses, on what was resident. It does not if none is ever left over: a batch
is split between sequences of different lengths and after what wants logits, so both come in groups.
"""

from __future__ import annotations

from jupyter_llm.engine.local.sched.scheduler import Batch

MAX_GROUP = 8  # tokens; llama.cpp's kernels take no more at a time


def fill_groups(batch: Batch, size: int) -> tuple[Batch, dict[int, int]]:
    """Fill each sequence's share up to groups of `size`; return also where its own tokens end.

    The fillers come last, so that the others keep their places, and are to be forgotten after the
    evaluation. Where one of a group wants logits, all do.
    """
    filled = Batch(
        list(batch.token_ids), list(batch.positions), list(batch.seq_ids), list(batch.wants_logits)
    )
    places: dict[int, list[int]] = {}
    for place, seq_id in enumerate(batch.seq_ids):
        places.setdefault(seq_id, []).append(place)
    ends = {}
    for seq_id, own in places.items():
        last = own[-1]
        ends[seq_id] = batch.positions[last] + 1
        for position in range(ends[seq_id], ends[seq_id] + -len(own) % size):
            own.append(len(filled))
            filled.token_ids.append(batch.token_ids[last])
            filled.positions.append(position)
            filled.seq_ids.append(seq_id)
            filled.wants_logits.append(False)
        for start in range(0, len(own), size):
            group = own[start : start + size]
            if any(filled.wants_logits[place] for place in group):
                for place in group:
                    filled.wants_logits[place] = True
    return filled, ends
