"""What is measured, by name, and which figures are divided by which. Values only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.contestants import (
    LLAMA,
    LLAMA_FLASH,
    OURS,
    OURS_BEFORE,
    OURS_EXACT,
    SERVER,
)


class Figure(StrEnum):
    """What is measured, as the tables call it."""

    W1_FIRST = "W1 follow-up: first token, s"
    W1_TOTAL = "W1 follow-up: 24 tokens, s"
    TYPED_FIRST = "W1, typed: first token after Enter, s"
    W2_FIRST = "W2 interleaved: first token, s"
    W3_ROWS = "W3 map: rows/s"
    W3_CHAT_ROWS = "W3 map after a chat: rows/s"
    W4_FIRST = "W4 restarted kernel: first token, s"
    W5_SPEED = "W5 long generation: tokens/s"
    W7_ALONE_FIRST = "W7 chat alone: first token, s"
    W7_BESIDE_FIRST = "W7 chat beside a map: first token, s"
    W7_ALONE_SPEED = "W7 chat alone: tokens/s"
    W7_BESIDE_SPEED = "W7 chat beside a map: tokens/s"
    COLD_FIRST = "background: first token, not read before, s"
    PREFILLED_FIRST = "background: first token, prefilled, s"
    BUSY_NONE_SPEED = "busy, no core: tokens/s"
    BUSY_ONE_SPEED = "busy, one core: tokens/s"
    BUSY_ALL_SPEED = "busy, all cores: tokens/s"
    BUSY_ONE_LOOP_ALONE = "busy, one core: the loop alone, rounds/s"
    BUSY_ONE_LOOP_BESIDE = "busy, one core: the loop beside us, rounds/s"
    BUSY_ALL_LOOPS_ALONE = "busy, all cores: the loops alone, rounds/s"
    BUSY_ALL_LOOPS_BESIDE = "busy, all cores: the loops beside us, rounds/s"
    REPEAT_PLAIN_SPEED = "repeat, an edited text, no lookup: tokens/s"
    REPEAT_LOOKUP_SPEED = "repeat, an edited text, lookup: tokens/s"
    REPEAT_TALE_PLAIN_SPEED = "repeat, W5's tale, no lookup: tokens/s"
    REPEAT_TALE_LOOKUP_SPEED = "repeat, W5's tale, lookup: tokens/s"


Figures = dict[Figure, list[float]]  # the samples of each


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of one contestant divided by another's: below 1 is good for seconds only.

    Both are the same figure unless `base` names what `figure` is divided by.
    """

    figure: Figure
    contestant: str
    peer: str
    target: str = ""
    base: Figure | None = None

    @property
    def label(self) -> str:
        if self.base is None:
            return f"{self.contestant} / {self.peer}"
        return f"{self.contestant}, over: {self.base}"


PEERS = (OURS_BEFORE, SERVER, LLAMA, LLAMA_FLASH, "llama-bench")


def beside(contestant: str, figure: Figure, *targets: str | None) -> Iterator[Ratio]:
    """Divide a figure of a contestant by that of each peer for which there is a target."""
    for peer, target in zip(PEERS, targets, strict=False):
        if target is not None:
            yield Ratio(figure, contestant, peer, target)


def within(contestant: str, figure: Figure, base: Figure, target: str = "") -> Ratio:
    """Divide one figure of a contestant by another one of its own."""
    return Ratio(figure, contestant, contestant, target, base)


def fair_share(num_loops: int = os.cpu_count() or 1) -> str:
    """Say what busy loops keep if one thread of ours gets as much time as each of them."""
    num_cores = os.cpu_count() or 1
    return f"≈ {min(1.0, num_cores / (num_loops + 1)):.2f} (fair share)"


RATIOS = (
    *beside(OURS, Figure.W1_FIRST, "≤ 1.03", "≤ 0.8", "≤ 0.9", ""),
    *beside(OURS_EXACT, Figure.W1_FIRST, None, "≤ 0.8", "≤ 0.9"),
    *beside(OURS, Figure.TYPED_FIRST, None, "≤ 0.3"),
    *beside(OURS_EXACT, Figure.TYPED_FIRST, None, "≤ 0.3"),
    *beside(OURS, Figure.W2_FIRST, "≤ 1.03", "≤ 0.8", "", ""),
    *beside(OURS_EXACT, Figure.W2_FIRST, None, "≤ 0.8"),
    *beside(OURS, Figure.W3_ROWS, "≥ 0.97", "≥ 2.8", "≥ 1.6", ""),
    *beside(OURS, Figure.W3_CHAT_ROWS, "", "≥ 3.5", "", ""),
    *beside(OURS, Figure.W4_FIRST, None, "≤ 0.25", "", ""),
    *beside(OURS, Figure.W5_SPEED, "≥ 0.97", "≥ 1.1", "", "", "≥ 0.97"),
    *beside(OURS_EXACT, Figure.W5_SPEED, None, ""),
    within(OURS, Figure.W7_BESIDE_FIRST, Figure.W7_ALONE_FIRST, "≤ 2"),
    within(SERVER, Figure.W7_BESIDE_FIRST, Figure.W7_ALONE_FIRST),
    within(OURS, Figure.W7_BESIDE_SPEED, Figure.W7_ALONE_SPEED, "≥ 0.8"),
    within(SERVER, Figure.W7_BESIDE_SPEED, Figure.W7_ALONE_SPEED),
    within(OURS, Figure.PREFILLED_FIRST, Figure.COLD_FIRST, "≤ 0.05"),
    within(OURS, Figure.BUSY_ONE_SPEED, Figure.BUSY_NONE_SPEED, "≥ 0.5"),
    within(OURS, Figure.BUSY_ALL_SPEED, Figure.BUSY_NONE_SPEED, "≥ 0.4"),
    within(OURS, Figure.BUSY_ONE_LOOP_BESIDE, Figure.BUSY_ONE_LOOP_ALONE, fair_share(1)),
    within(OURS, Figure.BUSY_ALL_LOOPS_BESIDE, Figure.BUSY_ALL_LOOPS_ALONE, fair_share()),
    within(OURS, Figure.REPEAT_LOOKUP_SPEED, Figure.REPEAT_PLAIN_SPEED, "> 1"),
    within(OURS, Figure.REPEAT_TALE_LOOKUP_SPEED, Figure.REPEAT_TALE_PLAIN_SPEED, "≈ 1"),
)
