"""Measure a column on workers of a Dask cluster: what the way there costs, and what two bring.

Run as: python tests/benchmarks/cluster.py [--model FILE] [--rows 1000] [--rounds 3] [--json FILE]

The same rows are answered by a model in this process, by one worker, and by two, each with one
thread, on this machine: once by choices, once freely. In a round the three come one after another.
What the way costs is told by the clock, and by what all processes computed, which says more on a
busy machine. Last, a map on two workers is interrupted. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json
from distributed import Client
from support.clusters import started

from jupyter_llm import llm
from jupyter_llm.common.bars import Step
from jupyter_llm.common.tables import markdown_table

TEMPLATE = (
    "Say whether the tone of this review is negative, neutral or positive. Answer with one of "
    "these words.\n\n{{item}}"
)
WAYS: dict[str, dict[str, Any]] = {
    "choices": {"choices": ["negative", "neutral", "positive"]},
    "free text, 24 tokens": {"temperature": 0, "max_tokens": 24, "may_repeat": True},
}
Found = dict[str, tuple[float, float]]
PARTS = (
    ("The parcel", "The phone", "The chair", "This lamp", "The second cable", "Their coat"),
    ("came two days late", "works as promised", "broke at once", "looks better than I thought"),
    ("and nobody answered my mail", "and I would buy it again", "which is a pity", "for the price"),
)


def texts(count: int) -> list[str]:
    drawn = random.Random(0)  # noqa: S311
    return [f"{', '.join(map(drawn.choice, PARTS))}. Order {n}." for n in range(count)]


@contextmanager
def workers(number: int) -> Iterator[Client | None]:
    """So many of them; with none, it is this process."""
    if not number:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with started(scratch, n_workers=number, processes=True, memory_limit=0) as client:
            yield client


def cpu_s() -> float:
    """What this process and its workers have computed so far."""
    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def timed(client: Client | None, rows: list[str], **options: Any) -> tuple[float, float]:
    """How many rows a second, and a second of computing."""
    began_s, began_cpu_s = time.perf_counter(), cpu_s()
    llm.map(rows, TEMPLATE, keep=False, client=client, **options)
    return len(rows) / (time.perf_counter() - began_s), len(rows) / (cpu_s() - began_cpu_s)


def stopped_s(client: Client, rows: list[str]) -> float:
    """How long it takes after an interrupt until no worker does anything."""
    began_s = 0.0

    def interrupt(step: Step) -> None:
        nonlocal began_s
        if "rows/s" in step.text:
            began_s = time.perf_counter()
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        llm.map(rows, TEMPLATE, keep=False, client=client, show_progress=interrupt)
    engine = llm.current.on_cluster(client)
    while engine._sent:
        time.sleep(0.001)
    return time.perf_counter() - began_s


def measured(model: Path, rows: list[str], number: int) -> Found:
    """How many rows each way makes, on so many workers."""
    # As it is loaded there, too; else the first load would choose as a chat needs it.
    llm.use(model, n_threads=1, flash_attention=True)
    if number:
        llm.unload()
    with workers(number) as client:
        if client is not None:
            engine = llm.current.on_cluster(client)
            while sum(place.info is not None for place in list(engine._places.values())) < number:
                time.sleep(0.1)
        found: Found = {}
        for name, options in WAYS.items():
            timed(client, rows[:32], **options)
            found[name] = timed(client, rows, **options)
            print(f"{number} workers, {name}: {found[name][0]:.1f} rows/s", file=sys.stderr)
        if client is not None and number > 1:
            found["interrupt"] = (stopped_s(client, rows), 0.0)
        llm.unload()
    return found


def line(rounds: list[list[Found]], name: str) -> tuple[str, ...]:
    """What came of a way to answer, as a line of the table."""
    speeds = [f"{median(each[n][name][0] for each in rounds):.1f}" for n in (0, 1, 2)]
    costs = [median(each[0][name][at] / each[1][name][at] - 1 for each in rounds) for at in (0, 1)]
    gain = median(each[2][name][0] / each[1][name][0] for each in rounds)
    return (name, *speeds, *(f"{cost:+.1%}" for cost in costs), f"{gain:.2f}")


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    rows = texts(arguments.rows)
    rounds = [[measured(model, rows, n) for n in (0, 1, 2)] for _ in range(arguments.rounds)]
    idle_s = median(each[2]["interrupt"][0] for each in rounds)
    costs = ("the way there costs", "computing")
    heads = ("rows/s", "here", "one worker", "two", *costs, "two over one")
    setting = describe(model, arguments.rounds) | {
        "rows": str(len(rows)),
        "after an interrupt all are idle": f"{idle_s:.2f} s",
    }
    show(setting, markdown_table(heads, [line(rounds, name) for name in WAYS]))
    write_json(arguments.json, setting, rounds=rounds)


if __name__ == "__main__":
    main()
