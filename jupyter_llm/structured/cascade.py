"""A small model answers the rows it is sure of, a second one the others: which rows those are."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_llm.errors import JupyterLLMError

_RISK = 0.02  # how often fewer rows than promised may agree
_SAMPLED = 8  # times the root of all rows: about where a larger sample costs what it spares


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a row: a value and how likely it was, or an error; nothing if it was missing.

    `logprobs` are those of the texts that it was chosen from, where they are wanted.
    """

    value: Any = None
    confidence: Any = None
    logprobs: tuple[float, ...] = ()
    error: JupyterLLMError | None = None


@dataclass(frozen=True, slots=True)
class Cascade:
    """Which rows a second model answered: a sample, and those below the threshold; or all."""

    num_rows: int
    num_sampled: int
    num_checked: int
    threshold: float

    def __str__(self) -> str:
        return (
            f"answered {self.num_checked:,} of {self.num_rows:,} rows: a sample of "
            f"{self.num_sampled:,}, and those with a confidence below {self.threshold:.2f}"
        )


def cascaded(
    firsts: Sequence[Cell | None],
    ask: Callable[[Sequence[int]], Sequence[Cell | None]],
    agreement: float,
    seed: int = 0,
) -> tuple[list[Cell | None], Cascade]:
    """The first model's answers where it is to be trusted, the second's where not.

    `ask` has the second model answer rows by their numbers: first a sample, which `seed` draws
    blindly. What was not answered has no confidence. Of all rows at least the share `agreement`
    then has the second model's answer, with 98 % certainty.
    """
    answers, num_rows = list(firsts), len(firsts)
    sure = [(one and one.confidence) or 0.0 for one in firsts]
    size = min(round(_SAMPLED * math.sqrt(num_rows)), num_rows)
    sample = sorted(random.Random(seed).sample(range(num_rows), size))  # noqa: S311  no secret
    disagreeing = []
    for row, second in zip(sample, ask(sample), strict=True):
        first, answers[row] = answers[row], second
        if not (first and second and second.confidence and first.value == second.value):
            disagreeing.append(sure[row])
    left = most_disagreements(num_rows, size, math.floor((1 - agreement) * num_rows))
    threshold = 0.0
    if left < len(disagreeing):  # down to where there is one too many
        last = sorted(disagreeing, reverse=True)[left] if left >= 0 else math.inf
        threshold = min((sure[row] for row in sample if sure[row] > last), default=math.inf)
    rest = set(range(num_rows)).difference(sample)
    unsure = [row for row in sorted(rest) if sure[row] < threshold]
    for row, second in zip(unsure, ask(unsure) if unsure else (), strict=True):
        answers[row] = second
    return answers, Cascade(num_rows, size, size + len(unsure), threshold)


def most_disagreements(num_rows: int, num_sampled: int, num_allowed: int) -> int:
    """How many disagreements among a sample's trusted rows still promise enough agreement; or -1.

    Put all rows on which the models disagree in the order of the first one's confidence. How many
    sampled ones K come before `num_allowed` + 1 others do follows the negative hypergeometric
    distribution. Where that many others are trusted, at least K sampled ones are; so a threshold
    above which they are so few that P(K <= k) is no more than the risk is wrong with no more than
    that risk, however it was looked for. This is the exact bound for a finite number of rows
    (Wright, "Exact confidence bounds when sampling from small finite universes", 1991), for a
    threshold that is found as in "Distribution-free, risk-controlling prediction sets"
    (arXiv 2101.02703).
    """
    if num_rows - num_sampled <= num_allowed:
        return num_sampled
    all_ways, risk = _log_comb(num_rows, num_sampled), 0.0
    for k in range(num_sampled + 1):
        before = _log_comb(num_allowed + k, k)
        after = _log_comb(num_rows - num_allowed - 1 - k, num_sampled - k)
        risk += math.exp(before + after - all_ways)
        if risk > _RISK:
            return k - 1
    return num_sampled


def _log_comb(n: int, k: int) -> float:
    """The logarithm of how many ways there are to draw `k` of `n`."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
