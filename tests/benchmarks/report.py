"""Turns raw figures into Markdown tables. Pure: takes values, returns text.

A contestant's figure in one round is the median of its samples there. A ratio is taken inside a
round, between figures measured minutes apart, so a machine that drifts from round to round moves
both sides of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Sequence

from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import RATIOS, Figure
from benchmarks.race import Run


def spread(values: Collection[float]) -> list[str]:
    """Write the smallest, middle and largest value, each with three significant digits."""
    three = min(values), statistics.median(values), max(values)
    return [f"{value:.{1 if value >= 100 else 2 if value >= 10 else 3}f}" for value in three]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; the columns of numbers, all but the first two, align right."""
    rule = ["---" if column < 2 else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def medians(runs: Iterable[Run], contestant: str, figure: Figure) -> dict[int, float]:
    return {
        run.round: statistics.median(run.figures[figure])
        for run in runs
        if run.contestant == contestant and figure in run.figures
    }


def disturbance(runs: Iterable[Run], contestant: str, figure: Figure) -> str:
    """Return the most that others took of the machine while a figure was measured, in cores."""
    cores = [
        run.others_cores for run in runs if run.contestant == contestant and figure in run.figures
    ]
    return f"{max(cores):.2f}"


def figures_table(runs: Sequence[Run]) -> str:
    rows = [
        [figure, name, *spread(values.values()), disturbance(runs, name, figure)]
        for figure in Figure
        for name in CONTESTANTS
        if (values := medians(runs, name, figure))
    ]
    return table(["figure", "contestant", "min", "median", "max", "others"], rows)


def ratios_table(runs: Sequence[Run]) -> str:
    rows = []
    for ratio in RATIOS:
        tops = medians(runs, ratio.contestant, ratio.figure)
        bases = medians(runs, ratio.peer, ratio.base or ratio.figure)
        if values := [tops[number] / bases[number] for number in tops if number in bases]:
            rows.append([ratio.figure, ratio.label, *spread(values), ratio.target])
    return table(["figure", "ratio", "min", "median", "max", "target"], rows)
