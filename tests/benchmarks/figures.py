"""What is measured, by name, and which figures are divided by which. Values only."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.contestants import (
    LLAMA,
    LLAMA_FLASH,
    OURS,
    OURS_BEFORE,
    OURS_EXACT,
    OURS_TUNED,
    SERVER,
)

Figures = dict[str, list[float]]
"""The samples of each figure, by name."""

W1_FIRST_TOKEN = "W1 follow-up: first token, s"  # noqa: S105 - a figure, no secret
W1_TOTAL = "W1 follow-up: 24 tokens, s"
W2_FIRST_TOKEN = "W2 interleaved: first token, s"  # noqa: S105
W3_ROWS = "W3 map: rows/s"
W4_FIRST_TOKEN = "W4 restarted kernel: first token, s"  # noqa: S105
W5_SPEED = "W5 long generation: tokens/s"
W7_ALONE_FIRST_TOKEN = "W7 chat alone: first token, s"  # noqa: S105
W7_BESIDE_FIRST_TOKEN = "W7 chat beside a map: first token, s"  # noqa: S105
W7_ALONE_SPEED = "W7 chat alone: tokens/s"
W7_BESIDE_SPEED = "W7 chat beside a map: tokens/s"
COLD_FIRST_TOKEN = "background: first token, not read before, s"  # noqa: S105
PREFILLED_FIRST_TOKEN = "background: first token, prefilled, s"  # noqa: S105
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

FIGURES = (
    *(W1_FIRST_TOKEN, W1_TOTAL, W2_FIRST_TOKEN, W3_ROWS, W4_FIRST_TOKEN, W5_SPEED),
    *(W7_ALONE_FIRST_TOKEN, W7_BESIDE_FIRST_TOKEN, W7_ALONE_SPEED, W7_BESIDE_SPEED),
    *(COLD_FIRST_TOKEN, PREFILLED_FIRST_TOKEN),
    *(BUSY_NONE_SPEED, BUSY_ONE_SPEED, BUSY_ALL_SPEED),
    *(BUSY_ONE_LOOP_ALONE, BUSY_ONE_LOOP_BESIDE, BUSY_ALL_LOOPS_ALONE, BUSY_ALL_LOOPS_BESIDE),
    *(REPEAT_PLAIN_SPEED, REPEAT_LOOKUP_SPEED),
    *(REPEAT_TALE_PLAIN_SPEED, REPEAT_TALE_LOOKUP_SPEED),
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of one contestant divided by another's: below 1 is good for seconds only.

    Both are the same figure unless `base` names what `figure` is divided by.
    """

    figure: str
    contestant: str
    peer: str
    target: str = ""
    base: str | None = None

    @property
    def label(self) -> str:
        """Who is divided by whom, or by which figure."""
        if self.base is None:
            return f"{self.contestant} / {self.peer}"
        return f"{self.contestant}, over: {self.base}"


def within(contestant: str, figure: str, base: str, target: str = "") -> Ratio:
    """Divide one figure of a contestant by another one of its own."""
    return Ratio(figure, contestant, contestant, target, base)


def fair_share(num_loops: int) -> str:
    """Say what busy loops keep if one thread of ours gets as much time as each of them."""
    num_cores = os.cpu_count() or 1
    return f"≈ {min(1.0, num_cores / (num_loops + 1)):.2f} (fair share)"


RATIOS = (
    Ratio(W1_FIRST_TOKEN, OURS, OURS_BEFORE, "≤ 1.03"),
    Ratio(W2_FIRST_TOKEN, OURS, OURS_BEFORE, "≤ 1.03"),
    Ratio(W3_ROWS, OURS, OURS_BEFORE, "≥ 0.97"),
    Ratio(W5_SPEED, OURS, OURS_BEFORE, "≥ 0.97"),
    Ratio(W1_FIRST_TOKEN, OURS, SERVER, "≤ 0.8"),
    Ratio(W1_FIRST_TOKEN, OURS, LLAMA, "≤ 0.9"),
    Ratio(W1_FIRST_TOKEN, OURS, LLAMA_FLASH),
    Ratio(W1_FIRST_TOKEN, OURS_EXACT, SERVER, "≤ 0.8"),
    Ratio(W1_FIRST_TOKEN, OURS_EXACT, LLAMA, "≤ 0.9"),
    Ratio(W2_FIRST_TOKEN, OURS, SERVER, "≤ 0.8"),
    Ratio(W2_FIRST_TOKEN, OURS_EXACT, SERVER, "≤ 0.8"),
    Ratio(W2_FIRST_TOKEN, OURS, LLAMA),
    Ratio(W2_FIRST_TOKEN, OURS, LLAMA_FLASH),
    Ratio(W3_ROWS, OURS, SERVER, "≥ 2.8"),
    Ratio(W3_ROWS, OURS, LLAMA, "≥ 1.6"),
    Ratio(W3_ROWS, OURS, LLAMA_FLASH),
    Ratio(W3_ROWS, OURS_TUNED, SERVER, "≥ 4.5"),
    Ratio(W4_FIRST_TOKEN, OURS, SERVER, "≤ 0.25"),
    Ratio(W4_FIRST_TOKEN, OURS, LLAMA),
    Ratio(W4_FIRST_TOKEN, OURS, LLAMA_FLASH),
    Ratio(W5_SPEED, OURS, SERVER, "≥ 1.1"),
    Ratio(W5_SPEED, OURS_EXACT, SERVER),
    Ratio(W5_SPEED, OURS_TUNED, SERVER),
    Ratio(W5_SPEED, OURS, LLAMA),
    Ratio(W5_SPEED, OURS, LLAMA_FLASH),
    Ratio(W5_SPEED, OURS, "llama-bench", "≥ 0.97"),
    within(OURS, W7_BESIDE_FIRST_TOKEN, W7_ALONE_FIRST_TOKEN, "≤ 2"),
    within(SERVER, W7_BESIDE_FIRST_TOKEN, W7_ALONE_FIRST_TOKEN),
    within(OURS, W7_BESIDE_SPEED, W7_ALONE_SPEED, "≥ 0.8"),
    within(SERVER, W7_BESIDE_SPEED, W7_ALONE_SPEED),
    within(OURS, PREFILLED_FIRST_TOKEN, COLD_FIRST_TOKEN, "≤ 0.05"),
    within(OURS, BUSY_ONE_SPEED, BUSY_NONE_SPEED, "≥ 0.5"),
    within(OURS, BUSY_ALL_SPEED, BUSY_NONE_SPEED, "≥ 0.4"),
    within(OURS, BUSY_ONE_LOOP_BESIDE, BUSY_ONE_LOOP_ALONE, fair_share(1)),
    within(OURS, BUSY_ALL_LOOPS_BESIDE, BUSY_ALL_LOOPS_ALONE, fair_share(os.cpu_count() or 1)),
    within(OURS, REPEAT_LOOKUP_SPEED, REPEAT_PLAIN_SPEED, "> 1"),
    within(OURS, REPEAT_TALE_LOOKUP_SPEED, REPEAT_TALE_PLAIN_SPEED, "≈ 1"),
)
