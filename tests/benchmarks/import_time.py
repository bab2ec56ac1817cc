"""How much CPU time `import jupyter_llm` takes, as a share of `import IPython`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from statistics import median

NAMES = ("IPython", "jupyter_llm")


def cpu_ms(name: str, bytecode: str) -> float:
    """What an import takes in a process of its own, from compiled modules if there are any."""
    code = f"import time; start = time.process_time(); import {name}; "
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run(
        [sys.executable, "-c", f"{code}print(time.process_time() - start)"],
        env={**env, "PYTHONPYCACHEPREFIX": bytecode},
        stdout=subprocess.PIPE,
        check=True,
    )
    return 1e3 * float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as bytecode:
        for name in NAMES:  # compiles
            cpu_ms(name, bytecode)
        taken = [[cpu_ms(name, bytecode) for name in NAMES] for _ in range(rounds)]
    for name, times in zip(NAMES, zip(*taken, strict=True), strict=True):
        print(f"import {name}: {median(times):.0f} ms of CPU, at least {min(times):.0f}")
    print(f"ratio {median(ours / theirs for theirs, ours in taken):.2f}")


if __name__ == "__main__":
    main()
