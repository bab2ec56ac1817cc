"""How long tries of code take in a kernel with much in it, and interrupts of them.

    python tests/benchmarks/tries.py [--tries 2000] [--interrupts 50] [--rows 1000000]

A try is what a draft costs before it lands: fork, seal, run, verdict. An interrupt is timed from
the signal to the KeyboardInterrupt.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import statistics
import threading
import time
from collections import Counter

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import psutil
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyter_llm.notebook.sealed.trying import try_code

CELLS = (
    "sales.groupby('city').price.sum()",
    "sales['citi']",
    "total = sales.price.sum()\ntotal * 2",
    "fig, ax = plt.subplots()\nax.plot(sales.price[:100])",
    "database.execute('select * from sales').fetchall()",
    "np.ones((100, 100)) @ np.ones((100, 100))",
    "sales.to_csv('out.csv')",
    "import asyncio\nawait asyncio.sleep(0)",
    "for i in range(100): print(i)",
    "def f(x):\n    return x.prise\nf(sales)",
)


def notebook(num_rows: int) -> InteractiveShell:
    """A shell with variables as a notebook has them."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    cities = np.random.default_rng(0).choice(["Bern", "Kyiv", "Oslo"], num_rows)
    database = sqlite3.connect(":memory:")
    database.execute("create table sales (city)")
    shell.user_ns |= {
        "np": np,
        "pd": pd,
        "plt": plt,
        "database": database,
        "sales": pd.DataFrame({"city": cities, "price": np.arange(num_rows)}),
    }
    return shell


def timed_tries(shell: InteractiveShell, number: int) -> tuple[list[float], Counter[str]]:
    """The seconds of each try, and what was seen."""
    seconds, seen = [], Counter[str]()
    for turn in range(number):
        start = time.perf_counter()
        found = try_code([CELLS[turn % len(CELLS)]], shell.user_ns, shell=shell)
        seconds.append(time.perf_counter() - start)
        seen[found.text] += 1
    return seconds, seen


def timed_interrupts(shell: InteractiveShell, number: int) -> list[float]:
    """The seconds from each signal to where it arrives."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seconds = []
    for _ in range(number):
        sent: list[float] = []

        def interrupt(sent: list[float] = sent) -> None:
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(random.uniform(0.01, 0.5), interrupt)  # noqa: S311
        timer.start()
        try:
            try_code(["x = sales.copy()\nwhile True: pass"], shell.user_ns, shell=shell)
            timer.join()
            time.sleep(1)
        except KeyboardInterrupt:
            seconds.append(time.perf_counter() - sent[0])
    return seconds


def told(name: str, seconds: list[float]) -> str:
    """What a row of figures says."""
    ms = sorted(1000 * second for second in seconds)
    high = ms[int(0.99 * (len(ms) - 1))]
    median = statistics.median(ms)
    return f"{name}: {len(ms)}, median {median:.0f} ms, 99 % {high:.0f} ms, max {ms[-1]:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--interrupts", type=int, default=50)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    shell = notebook(options.rows)
    own = psutil.Process()
    timed_tries(shell, len(CELLS))
    before = own.memory_full_info().uss
    seconds, seen = timed_tries(shell, options.tries)
    grown = own.memory_full_info().uss - before
    print(told("tries", seconds))
    for text, count in seen.most_common():
        print(f"  {count:5} {text}")
    print(told("interrupts", timed_interrupts(shell, options.interrupts)))
    print(f"memory of the kernel grew by {grown / 1e6:.1f} of {before / 1e6:.0f} MB")
    print(f"processes left: {len(own.children(recursive=True))}")


if __name__ == "__main__":
    main()
