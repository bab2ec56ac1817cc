"""Measure what several kernels with the same model file take together, with and without repacking.

Run as: python tests/benchmarks/shared_pages.py [--processes 4] [--json FILE]

Weights are mapped from the file, so that all processes have the same pages; weights that llama.cpp
repacks become each process's own. Prints Markdown and asserts nothing. USS is what a process has
for itself; PSS adds its share of what it has in common with others, so the PSS of all processes
add up to what they take. Linux only: elsewhere nobody counts PSS.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json

from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Request
from jupyter_llm.models.discover import find_model

N_CTX = 2048
# Reads every weight: a page that nobody has read is in nobody's memory.
PROMPT = "A notebook is a document that " * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory of one process, in bytes; `own` is its growth in USS through loading."""

    rss: int
    pss: int
    uss: int
    own: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What the processes took that had one file loaded in one way."""

    model: str
    repack: bool
    processes: list[Memory]


def serve(model: Path, *, repack: bool) -> None:
    """Load the model, say so, and report this process's memory when asked."""
    process = psutil.Process()
    before = process.memory_full_info().uss
    engine = LocalEngine(find_model(model), EngineOptions(n_ctx=N_CTX, repack=repack))
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
    engine.submit(Request(prompt=PROMPT, params=params)).result()
    print("ready", flush=True)
    input()
    info = process.memory_full_info()
    memory = Memory(rss=info.rss, pss=info.pss, uss=info.uss, own=info.uss - before)
    print(json.dumps(asdict(memory)), flush=True)
    input()
    engine.close()


@contextmanager
def kernel(model: Path, *, repack: bool) -> Iterator[subprocess.Popen[str]]:
    """Start a process that has the model loaded and has used it."""
    command = [sys.executable, __file__, "--model", str(model), "--serve"]
    command += ["--repack"] if repack else []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if read_line(process) != "ready":
            sys.exit("A process could not load the model; what it wrote stands above.")
        yield process
        tell(process)


def read_line(process: subprocess.Popen[str]) -> str:
    """Read the next line a process prints, "" if it is over."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def measure(model: Path, num_processes: int, *, repack: bool) -> Measurement:
    with ExitStack() as stack:
        # One after another: models that compute at the same time hinder one another.
        kernels = [stack.enter_context(kernel(model, repack=repack)) for _ in range(num_processes)]
        memories = []
        for process in kernels:
            tell(process)
            memories.append(Memory(**json.loads(read_line(process))))
    return Measurement(model=model.name, repack=repack, processes=memories)


def table(measurements: list[Measurement], sizes: dict[str, int]) -> str:
    """Return the measurements as a Markdown table, in MB."""
    header = ["file", "its size", "repacking", "RSS", "USS", "PSS", "loading added", "all PSS"]
    header += ["if nothing were shared"]
    rows = []
    for measurement in measurements:
        processes = measurement.processes
        middle = [
            statistics.median(getattr(memory, field) for memory in processes)
            for field in ("rss", "uss", "pss", "own")
        ]
        together = [
            sum(memory.pss for memory in processes),
            sum(memory.rss for memory in processes),
        ]
        figures = [f"{size / 1e6:.0f}" for size in (*middle, *together)]
        size = f"{sizes[measurement.model] / 1e6:.0f}"
        rows.append([measurement.model, size, "on" if measurement.repack else "off", *figures])
    return markdown_table(header, rows)


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repack", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    if arguments.serve:
        serve(model, repack=arguments.repack)
        return
    sizes = {model.name: model.stat().st_size}
    measurements = [measure(model, arguments.processes, repack=repack) for repack in (False, True)]
    setting = describe(model, rounds=1) | {"processes": str(arguments.processes)}
    show(setting, table(measurements, sizes))
    write_json(arguments.json, setting, measurements=[asdict(each) for each in measurements])


if __name__ == "__main__":
    main()
