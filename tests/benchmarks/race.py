"""Runs the contestants fairly: alone, in turns, and with an eye on who else uses the machine."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from benchmarks.build_peers import peer_paths
from benchmarks.contestants import BENCHES, OURS_BEFORE, Entrant
from benchmarks.figures import Figures
from benchmarks.workloads import WORKLOADS, run_bench, run_entrant

QUIET_CORES = 0.15  # a machine is quiet while others keep fewer cores busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one contestant did in one workload of one round.

    `others_cores` is how many cores were busy with something else meanwhile, on average.
    """

    round: int
    workload: str
    contestant: str
    figures: Figures
    others_cores: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Who runs what, and how often.

    Where others use the machine too, each run may wait `patience_s` for a quiet moment, and is
    repeated within that time if it was disturbed.
    """

    model: Path
    peers: Path
    workloads: Sequence[str]
    contestants: Sequence[str]
    rounds: int
    patience_s: float
    before: Path | None = None

    def runs(self) -> Iterator[Run]:
        """Run everything; the contestants follow one another within each workload.

        Each round begins with another one, so none is always measured first.
        """
        present = [name for name in self.contestants if self._is_built(name)]
        for number in range(1, self.rounds + 1):
            for workload in self.workloads:
                names = [name for name in present if name in WORKLOADS[workload].contestants]
                first = (number - 1) % max(1, len(names))
                for name in names[first:] + names[:first]:
                    yield self._quiet_run(number, workload, name)

    def _is_built(self, name: str) -> bool:
        if name == OURS_BEFORE:
            return self.before is not None
        binary = peer_paths(self.peers).get("llama-bench" if name in BENCHES else name)
        if binary is None or binary.exists():
            return True
        how = f"python tests/benchmarks/build_peers.py {self.peers}"
        print(f"{name} is left out, since it is not built: {how}", file=sys.stderr)
        return False

    def _quiet_run(self, number: int, workload: str, name: str) -> Run:
        deadline = time.monotonic() + self.patience_s
        while True:
            while time.monotonic() < deadline and busy_cores(interval=3) > QUIET_CORES:
                pass
            run = self._run(number, workload, name)
            print(f"{number} {workload} {name}: others {run.others_cores:.2f}", file=sys.stderr)
            if run.others_cores <= QUIET_CORES or time.monotonic() > deadline:
                return run

    def _run(self, number: int, workload: str, name: str) -> Run:
        before = os.times()
        busy_cores()  # the next call counts from here
        figures = self._figures(workload, name)
        busy = busy_cores()
        after = os.times()
        own = sum(after[:4]) - sum(before[:4])  # CPU seconds of this process and ended children
        return Run(
            round=number,
            workload=workload,
            contestant=name,
            figures=figures,
            others_cores=max(0.0, busy - own / (after.elapsed - before.elapsed)),
        )

    def _figures(self, workload: str, name: str) -> Figures:
        if name in BENCHES:
            binary = peer_paths(self.peers)["llama-bench"]
            return run_bench(binary, self.model, flash_attention=BENCHES[name])
        with tempfile.TemporaryDirectory(prefix="jupyter-llm-benchmark-") as folder:
            entrant = Entrant(
                name=name,
                model=self.model,
                peers=self.peers,
                cache_folder=Path(folder),
                before=self.before,
            )
            if WORKLOADS[workload].is_restart:
                run_alone(entrant, workload)
            return run_alone(entrant, workload)


def run_alone(entrant: Entrant, workload: str) -> Figures:
    """Run a workload in a fresh process, which has imported little but the standard library."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(run_entrant, entrant, workload).result()


def busy_cores(interval: float | None = None) -> float:
    """Return how many cores were busy over the next `interval` seconds, or since the last call."""
    return psutil.cpu_percent(interval) / 100 * (os.cpu_count() or 1)
