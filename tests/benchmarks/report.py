"""Turns raw figures into Markdown tables. Pure: takes values, returns text.

A contestant's figure in one round is the median of its samples there. A ratio is taken inside a
round, between figures measured minutes apart, so a machine that drifts from round to round moves
both sides of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.workloads import (
    DISTURBANCE,
    W1_FIRST_TOKEN,
    W1_TOTAL,
    W2_FIRST_TOKEN,
    W5_SPEED,
    Figures,
)

Round = dict[str, Figures]
"""The figures of one round, by contestant."""

FIGURES = (W1_FIRST_TOKEN, W1_TOTAL, W2_FIRST_TOKEN, W5_SPEED, DISTURBANCE)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of ours divided by a peer's: below 1 is good for seconds, bad for tokens/s."""

    figure: str
    peer: str
    target: str = ""


RATIOS = (
    Ratio(W1_FIRST_TOKEN, "llama-server"),
    Ratio(W1_FIRST_TOKEN, "Llama"),
    Ratio(W1_FIRST_TOKEN, "Llama-flash"),
    Ratio(W2_FIRST_TOKEN, "llama-server", "≤ 1.0"),
    Ratio(W2_FIRST_TOKEN, "Llama", "≤ 0.05"),
    Ratio(W2_FIRST_TOKEN, "Llama-flash"),
    Ratio(W5_SPEED, "llama-server"),
    Ratio(W5_SPEED, "Llama"),
    Ratio(W5_SPEED, "Llama-flash"),
    Ratio(W5_SPEED, "llama-bench", "≥ 0.97"),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, middle and largest of the values that the rounds gave."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarize at least one value."""
        return cls(min(values), statistics.median(values), max(values))

    def cells(self) -> list[str]:
        """Format the three with three significant digits."""
        return [significant(value) for value in (self.minimum, self.median, self.maximum)]


def significant(value: float) -> str:
    """Write three significant digits, never in scientific notation."""
    digits = 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:.{digits}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; the columns of numbers, all but the first two, align right."""
    rule = ["---" if column < 2 else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def medians(rounds: Iterable[Round], contestant: str, figure: str) -> list[float]:
    """Return a contestant's figure in every round that has it."""
    samples = (figures[contestant].get(figure) for figures in rounds if contestant in figures)
    return [statistics.median(values) for values in samples if values]


def figures_table(rounds: Sequence[Round]) -> str:
    """Show each contestant's figures: minimum, median and maximum over the rounds."""
    contestants = list(dict.fromkeys(name for figures in rounds for name in figures))
    rows = [
        [figure, contestant, *Spread.of(values).cells()]
        for figure in FIGURES
        for contestant in contestants
        if (values := medians(rounds, contestant, figure))
    ]
    return table(["figure", "contestant", "min", "median", "max"], rows)


def ratios_table(rounds: Sequence[Round]) -> str:
    """Show ours over each peer's: minimum, median and maximum over the rounds."""
    rows = []
    for ratio in RATIOS:
        ours = medians(rounds, "ours", ratio.figure)
        peer = medians(rounds, ratio.peer, ratio.figure)
        if ours and peer:
            spread = Spread.of([mine / theirs for mine, theirs in zip(ours, peer, strict=True)])
            rows.append([ratio.figure, f"ours / {ratio.peer}", *spread.cells(), ratio.target])
    return table(["figure", "ratio", "min", "median", "max", "target"], rows)
