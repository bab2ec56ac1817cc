"""A chain of sealed copies over a large frame: time of a fork, memory of a step, processes left.

Run as: python tests/benchmarks/chain.py [--gigabytes 1] [--depth 20]

A cell in three adds a number, one takes a mean of a column, and one adds a column.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import psutil

from jupyter_llm.notebook.sealed import chain as sealed
from jupyter_llm.notebook.sealed import copy
from jupyter_llm.notebook.sealed.trying import try_code

_NUM_COLUMNS = 16
_CELLS = ("x += 1", "mean = df.c1.mean()\nx += 1", "df[f'n{x}'] = df.c1 * x\nx += 1")


class _Timed(sealed.Chain):
    """A chain that notes when it allowed the last fork."""

    allowed = 0.0

    def _answer(self, question: int, error: int = 0, flags: int = 0) -> None:
        self.allowed = time.monotonic() if flags else self.allowed
        super()._answer(question, error, flags)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--depth", type=int, default=20)
    options = parser.parse_args()
    num_rows = int(options.gigabytes * 1e9 / 8 / _NUM_COLUMNS)
    values = np.random.default_rng(1).random((num_rows, _NUM_COLUMNS))
    frame = pd.DataFrame(values, columns=[f"c{n}" for n in range(_NUM_COLUMNS)], copy=False)
    measure({"df": frame, "x": 0}, options.depth)


def measure(names: dict[str, Any], depth: int) -> None:
    """Print the figures of a chain, and the time of a try of its first cell."""
    born: list[float] = []  # of each process, in its own memory
    die_with = copy.die_with

    def noted(parent: int) -> None:
        born.append(time.monotonic())
        die_with(parent)

    vars(sealed)["die_with"] = noted
    forks: list[float] = []
    times: dict[str, list[float]] = {cell: [] for cell in _CELLS}
    with _Timed({**names, "born": born}) as chain:
        for number in range(depth):
            cell = _CELLS[number % len(_CELLS)]
            began = time.monotonic()
            seen = chain.push(f"{cell}\nborn[-1]", timeout_s=60)
            assert seen.runs, seen
            times[cell].append(1000 * (time.monotonic() - began))
            forks.append(1000 * (float(seen.result) - chain.allowed))
        pids = [one.pid for one in psutil.Process().children(recursive=True)]
        private = [*map(_private_mb, pids)]
        print(f"fork, ms: {_spread(forks)}; private, MB: {_spread(private[:-1])}", end="")
        print(f", with what its cell made {private[-1]:.1f}")
        began = time.monotonic()
    closing_ms, num_left = 1000 * (time.monotonic() - began), sum(map(psutil.pid_exists, pids))
    print(f"{len(pids)} processes, closed in {closing_ms:.0f} ms, left: {num_left}")
    for cell, all_ms in times.items():
        print(f"{cell.splitlines()[0]}, ms: {_spread(all_ms)}")
    began = time.monotonic()
    assert try_code([_CELLS[0]], names, timeout_s=60).runs
    print(f"a try of one cell, ms: {1000 * (time.monotonic() - began):.0f}")


def _private_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(one.split()[1]) for one in lines if one.startswith("Private_")) / 1024


def _spread(figures: list[float]) -> str:
    return f"median {statistics.median(figures):.1f}, most {max(figures):.1f}"


if __name__ == "__main__":
    main()
