"""Measure how long it takes to list thousands of models: the first time, and then.

Run as: python tests/benchmarks/listing.py [--files 5000]

The files are spread over the stores of three programs, ten to a folder. Each is a header of 24
keys, a vocabulary of 271 texts and one tensor; a vocabulary of 250,000 takes 60 ms more, the first
time. Each round is new to files and kernels. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.model_stores import (
    HUB,
    LM_STUDIO,
    OLLAMA,
    in_hugging_face,
    in_ollama,
    put,
    write_small_gguf,
)
from support.tiny_model import write_tiny_model

from jupyter_llm.common.tables import markdown_table

ROUNDS = 3
LIST = """import json, time
import platformdirs, msgspec
from jupyter_llm.common.database import store
from jupyter_llm.models.discover import list_models
times = []
for _ in range(3):
    begin, begin_cpu = time.perf_counter(), time.thread_time()
    number = len(list_models())
    times.append((time.perf_counter() - begin, time.thread_time() - begin_cpu))
    store().flush(60)
print(json.dumps([number, times]))"""


def fill(home: Path, num_files: int) -> None:
    """Put models where three programs keep theirs."""
    source = write_small_gguf(write_tiny_model(home / "tiny"), home / "small")
    for number in range(num_files):
        group, quant = f"model-{number // 30}", f"q{number % 30}"
        if number % 3 == 0:
            in_hugging_face(home / HUB, f"someone/{group}", f"{group}-{quant}.gguf", source)
        elif number % 3 == 1:
            in_ollama(home / OLLAMA, f"registry.ollama.ai/library/{group}/{quant}", source)
        else:
            put(source, home / LM_STUDIO / "someone" / group / f"{group}-{quant}.gguf")


def listed(home: Path) -> tuple[int, list[tuple[float, float]]]:
    """How many models a new kernel lists, and how long three lists take: by the clock, and of CPU.

    The second tells what a busy machine does not change.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    command = [sys.executable, "-c", LIST]
    done = subprocess.run(
        command, env={**environ, "HOME": str(home)}, cwd=home, capture_output=True, check=True
    )
    number, times = json.loads(done.stdout)
    return number, [(wall, cpu) for wall, cpu in times]


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=5000, help="how many models there are")
    num_files = parser.parse_args().files
    rounds = []
    for _ in range(ROUNDS):
        with TemporaryDirectory() as folder:
            fill(Path(folder), num_files)
            number, (first, second, third) = listed(Path(folder))
            _, (later, *_) = listed(Path(folder))
        rounds.append((first, min(second, third), later))
    names = ("the first time", "again in that kernel", "in the next kernel")
    rows = []
    for name, times in zip(names, zip(*rounds, strict=True), strict=True):
        medians = map(statistics.median, zip(*times, strict=True))
        rows.append((name, *(f"{median:.3f} s" for median in medians)))
    print(markdown_table((f"listing {number} models, median", "wall", "CPU"), rows))


if __name__ == "__main__":
    main()
