"""Workloads that only we have, each measured against ourselves in the same process.

background  The first token after a notebook of ~1,600 tokens that was prefilled while the engine
            had nothing else to do, and after one of the same length that was not.
busy        The decode speed beside busy Python processes, and what those lose.
repeat      The decode speed with prompt lookup and without: on a text that is copied with a
            change, where it pays, and on W5's tale, where it must not hurt.
"""

from __future__ import annotations

import os
import time
from functools import partial

from benchmarks.figures import Figure, Figures
from benchmarks.ours import Ours
from benchmarks.prompts import CLOSING, EDITING, TALE, TOPICS, long_notebook
from benchmarks.spinners import Spinners

REPEATS = 3
BUSY_TOKENS = 96
BUSY_ALONE_S = 2.0
EDITING_TOKENS = 140
TALE_TOKENS = 256


def background_prefill(ours: Ours) -> Figures:
    """Take turns between notebooks that were prefilled and others that were not."""
    figures: Figures = {Figure.COLD_FIRST: [], Figure.PREFILLED_FIRST: []}
    for cold, prefilled in zip(TOPICS[::2], TOPICS[1::2], strict=True):
        ours.prefill(long_notebook(prefilled))
        topics = {Figure.PREFILLED_FIRST: prefilled, Figure.COLD_FIRST: cold}
        for name, topic in topics.items():
            reply = ours.generate(long_notebook(topic) + CLOSING, 1)
            figures[name].append(reply.first_token_s)
    return figures


def busy_machine(ours: Ours) -> Figures:
    """Take turns between no, one and all cores busy; each loop is alone before we join it."""
    speed = partial(ours.generate, TALE, BUSY_TOKENS)
    one = Figure.BUSY_ONE_SPEED, Figure.BUSY_ONE_LOOP_ALONE, Figure.BUSY_ONE_LOOP_BESIDE
    every = Figure.BUSY_ALL_SPEED, Figure.BUSY_ALL_LOOPS_ALONE, Figure.BUSY_ALL_LOOPS_BESIDE
    levels = ((1, one), (os.cpu_count() or 1, every))
    figures: Figures = {Figure.BUSY_NONE_SPEED: []}
    for _ in range(REPEATS):
        figures[Figure.BUSY_NONE_SPEED].append(speed().tokens_per_s)
        for num_cores, (speed_name, alone_name, beside_name) in levels:
            with Spinners(num_cores) as spinners:
                alone, _none = spinners.rounds_per_s(partial(time.sleep, BUSY_ALONE_S))
                beside, reply = spinners.rounds_per_s(speed)
            figures.setdefault(speed_name, []).append(reply.tokens_per_s)
            figures.setdefault(alone_name, []).append(alone)
            figures.setdefault(beside_name, []).append(beside)
    return figures


def repetition(ours: Ours) -> Figures:
    """Take turns between prompt lookup and none."""
    cases = (
        (EDITING, EDITING_TOKENS, Figure.REPEAT_PLAIN_SPEED, Figure.REPEAT_LOOKUP_SPEED),
        (TALE, TALE_TOKENS, Figure.REPEAT_TALE_PLAIN_SPEED, Figure.REPEAT_TALE_LOOKUP_SPEED),
    )
    figures: Figures = {}
    for _ in range(REPEATS):
        for prompt, num_tokens, *names in cases:
            for is_on, name in enumerate(names):
                ours.switch_lookup(is_on=bool(is_on))
                speed = ours.generate(prompt, num_tokens).tokens_per_s
                figures.setdefault(name, []).append(speed)
    return figures
