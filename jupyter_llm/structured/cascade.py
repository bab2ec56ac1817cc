"""What a row came to; choices without what a model prefers, or checked by a second model."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from jupyter_llm.structured.shape import Shape

_RISK = 0.02  # how often fewer rows than promised may agree
_SAMPLED = 8  # times the root of all rows: about where a larger sample costs what it spares


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a row: a value and how likely it was, or an error; nothing if it was missing.

    `logprobs` are those of the texts that it was chosen from.
    """

    value: Any = None
    confidence: Any = None
    logprobs: tuple[float, ...] = ()
    error: JupyterLLMError | None = None


def calibrate_all(cells: list[Cell | None], shape: Shape[Any]) -> None:
    """Divide how likely each choice was in each row by its mean over all rows.

    So batch calibration (arXiv 2309.17249) takes away what a model prefers in every row. It takes
    for granted that the choices are about equally frequent: where one truly dominates it harms.
    """
    import numpy as np

    rows = [row for row, cell in enumerate(cells) if cell and cell.logprobs]
    after = np.array([cell.logprobs for cell in cells if cell and cell.logprobs])
    for axis in (1, 0, 1) if rows else ():  # the mean but for a number that is one for all
        after -= np.logaddexp.reduce(after, axis=axis, keepdims=True)
    for row, chances in zip(rows, np.exp(after).tolist(), strict=True):
        chance, text = max(zip(chances, shape.choices, strict=True))
        cells[row] = Cell(shape.read(text), chance)


def cascade(
    cells: list[Cell | None],
    rows: Sequence[int],
    ask: Callable[[Sequence[int]], Sequence[Cell | None]],
    agreement: float,
    seed: int = 0,
) -> str:
    """Let a second model answer those of some rows of which the first is not sure; say which.

    `ask` has it answer rows by their numbers: first a sample, which `seed` draws blindly. What was
    not answered has no confidence. Of all rows at least the share `agreement` then has the second
    model's answer, with 98 % certainty.
    """
    num_rows = len(rows)
    sure = {row: (one.confidence if (one := cells[row]) else None) or 0.0 for row in rows}
    size = min(round(_SAMPLED * math.sqrt(num_rows)), num_rows)
    sample = sorted(random.Random(seed).sample(rows, size))  # noqa: S311  no secret
    disagreeing = []
    for row, second in zip(sample, ask(sample), strict=True):
        first, cells[row] = cells[row], second
        if not (first and second and second.confidence and first.value == second.value):
            disagreeing.append(sure[row])
    left = most_disagreements(num_rows, size, math.floor((1 - agreement) * num_rows))
    threshold = 0.0
    if left < len(disagreeing):  # down to where there is one too many
        last = sorted(disagreeing, reverse=True)[left] if left >= 0 else math.inf
        threshold = min((sure[row] for row in sample if sure[row] > last), default=math.inf)
    rest = sorted(set(rows).difference(sample))
    unsure = [row for row in rest if sure[row] < threshold]
    for row, second in zip(unsure, ask(unsure) if unsure else (), strict=True):
        cells[row] = second
    return (
        f"answered {size + len(unsure):,} of {num_rows:,} rows: a sample of {size:,}, and those "
        f"with a confidence below {threshold:.2f}"
    )


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
