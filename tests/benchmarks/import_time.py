"""How much CPU time our imports take, as a share of `import IPython`, from compiled modules."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from statistics import median

STATEMENTS = ("import IPython", "import jupyter_llm", "from jupyter_llm import llm")


def cpu_ms(statement: str, bytecode: str) -> float:
    """What a statement takes in a process of its own."""
    code = f"import time; start = time.process_time(); {statement}; "
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
        for statement in STATEMENTS:  # compiles
            cpu_ms(statement, bytecode)
        taken = [[cpu_ms(statement, bytecode) for statement in STATEMENTS] for _ in range(rounds)]
    for number, statement in enumerate(STATEMENTS):
        ratio = median(times[number] / times[0] for times in taken)
        ms = median(times[number] for times in taken)
        print(f"{statement}: {ms:.0f} ms of CPU, {ratio:.2f} x `{STATEMENTS[0]}`")


if __name__ == "__main__":
    main()
