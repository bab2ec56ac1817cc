"""Batches of whole groups of tokens, so that other tokens in a batch change no bit of a result.

llama.cpp multiplies one token with other kernels than several tokens, and some kernels take four or
eight tokens at a time and the rest one by one. These kernels add in different orders (measured with
SmolLM2: of 40 tokens evaluated alone, 31 had other logits than in a prompt). So the logits of a
token depend on how many other tokens of its sequence are in the batch: on the chunks of a prompt,
on guesses, on resident tokens. They do not if no token is ever left over from a group. llama.cpp
splits a batch between sequences of different lengths and after tokens that want logits, so each of
these parts consists of whole groups.
"""

from __future__ import annotations

from jupyter_llm.engine.local.sched.batch import Batch

MAX_GROUP = 8  # tokens; llama.cpp's kernels take no more at a time


def fill_groups(batch: Batch, size: int) -> tuple[Batch, dict[int, int]]:
    """Fill each sequence's share up to groups of `size`; return also where its own tokens end.

    The fillers come last, so the other tokens keep their indices. The caller removes them after the
    evaluation. If one token of a group wants logits, all do.
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
