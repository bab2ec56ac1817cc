"""A small model answers what it is sure of, a second one the rest: which rows that is."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from jupyter_llm.common.tables import count_of
from jupyter_llm.errors import OptionError


class Sure(Protocol):
    """An answer, and how sure its model is of it."""

    @property
    def value(self) -> object:
        """What was answered."""

    @property
    def confidence(self) -> float | None:
        """Its probability, if it has one."""


T = TypeVar("T", bound=Sure)

_RISK = 0.02  # how often fewer rows than promised may agree
_SAMPLED = 8  # times the root of all rows: about where a larger sample costs what it spares


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What a second model was asked: of `num_rows` it answered `num_checked`.

    `num_sampled` of these were drawn to find out where the first model is to be trusted: from a
    confidence of `threshold` on, or nowhere if it is None. Of the sample, `sample_agreement` had
    the same answer from both.
    """

    model: str
    agreement: float
    num_rows: int
    num_sampled: int
    num_checked: int
    threshold: float | None
    sample_agreement: float

    def __str__(self) -> str:
        rows = count_of(self.num_rows, "row")
        return (
            f"{self.model} answered {self.num_checked:,} of {rows}: a sample of "
            f"{self.num_sampled:,}, in which {self.sample_agreement:.0%} agreed, and "
            + (
                "all others, since the first model's confidence tells too little."
                if self.threshold is None
                else f"those with a confidence below {self.threshold:.2f}."
            )
        )


def cascaded(
    firsts: Sequence[T | None],
    ask: Callable[[Sequence[int]], Sequence[T | None]],
    *,
    model: str,
    agreement: float,
    seed: int = 0,
) -> tuple[list[T | None], Cascade]:
    """The first model's answers where it is to be trusted, the second's where not.

    `ask` has the second model answer rows by their numbers, in two goes: a sample, which is drawn
    by `seed`, and what is left. None is what could not be answered. At least the share `agreement`
    of all rows then has the second model's answer, with 98 % certainty.
    """
    answers = list(firsts)
    sample = sample_of(len(answers), seed)
    sure = [(one and one.confidence) or 0.0 for one in firsts]
    agree = []
    for row, second in zip(sample, ask(sample), strict=True):
        first, answers[row] = answers[row], second
        agree.append(first is not None and second is not None and first.value == second.value)
    threshold = trusted_from([sure[row] for row in sample], agree, len(answers), agreement)
    rest = set(range(len(answers))).difference(sample)
    unsure = [row for row in sorted(rest) if threshold is None or sure[row] < threshold]
    for row, second in zip(unsure, ask(unsure) if unsure else (), strict=True):
        answers[row] = second
    return answers, Cascade(
        model=model,
        agreement=agreement,
        num_rows=len(answers),
        num_sampled=len(sample),
        num_checked=len(sample) + len(unsure),
        threshold=threshold,
        sample_agreement=sum(agree) / max(len(agree), 1),
    )


def check_agreement(agreement: object) -> float:
    """Refuse what is no share of rows."""
    if not isinstance(agreement, int | float) or not 0 < agreement < 1:
        raise OptionError(f"agreement is a share above 0 and below 1, not {agreement!r}.")
    return float(agreement)


def most_disagreements(num_rows: int, num_sampled: int, num_allowed: int) -> int:
    """How many disagreements among a sample's trusted rows still promise enough agreement; or -1.

    Put all rows on which the models disagree in the order of the first one's confidence, and draw
    a sample blindly. How many sampled ones K come before `num_allowed` + 1 others do follows the
    negative hypergeometric distribution. A threshold below which that many others are trusted has
    at least K sampled ones above it, so one that is refused unless these are so few that
    P(K <= k) is no more than the risk is wrong with no more than that risk, however it was
    looked for. This is the exact bound for a finite number of rows (Wright, "Exact confidence
    bounds when sampling from small finite universes", 1991) for a threshold that is found as in
    "Distribution-free, risk-controlling prediction sets" (arXiv 2101.02703).
    """
    if num_rows - num_sampled <= num_allowed:
        return num_sampled
    all_ways = _log_comb(num_rows, num_sampled)
    risk = 0.0
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


def trusted_from(
    confidences: Sequence[float], agree: Sequence[bool], num_rows: int, agreement: float
) -> float | None:
    """The least confidence at which the first model is trusted, as a sample tells; or None.

    Of `num_rows`, at least the share `agreement` then has the second model's answer, with 98 %
    certainty.
    """
    left = most_disagreements(num_rows, len(agree), math.floor((1 - agreement) * num_rows))
    disagreeing = sorted(
        (one for one, same in zip(confidences, agree, strict=True) if not same), reverse=True
    )
    if left < 0:
        return None
    if left >= len(disagreeing):
        return 0.0
    barred = disagreeing[left]  # with this one there would be too many
    above = [one for one in confidences if one > barred]
    return min(above, default=None)


def sample_of(num_rows: int, seed: int = 0) -> list[int]:
    """The rows that both models answer, drawn blindly; the same ones each time."""
    size = min(round(_SAMPLED * math.sqrt(num_rows)), num_rows)
    return sorted(random.Random(seed).sample(range(num_rows), size))  # noqa: S311  no secret
