"""Measure a column on workers of a Dask cluster: what the way there costs, and what two bring.

Run as: python tests/benchmarks/cluster.py [--model FILE] [--rows 1000] [--rounds 3] [--json FILE]

The same rows are answered by a model in this process, by one worker, and by two, each with one
thread, on this machine: once by choices, once freely. In a round the three come one after another.
Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json
from distributed import Client
from support.clusters import started

from jupyter_llm import llm
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.cluster.engine import ClusterEngine

TEMPLATE = (
    "Say whether the tone of this review is negative, neutral or positive. Answer with one of "
    "these words.\n\n{{item}}"
)
WAYS: dict[str, dict[str, Any]] = {
    "choices": {"choices": ["negative", "neutral", "positive"]},
    "free text, 24 tokens": {"temperature": 0, "max_tokens": 24, "may_repeat": True},
}
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


def rows_per_s(client: Client | None, rows: list[str], **options: Any) -> float:
    began_s = time.perf_counter()
    llm.map(rows, TEMPLATE, keep=False, client=client, **options)
    return len(rows) / (time.perf_counter() - began_s)


def measured(model: Path, rows: list[str], number: int) -> dict[str, float]:
    """How many rows a second each way makes, on so many workers."""
    llm.use(model, n_threads=1)  # how it is loaded there, too
    if number:
        llm.unload()
    with workers(number) as client:
        if client is not None:
            engine = llm.current.get(client=client)
            assert isinstance(engine, ClusterEngine)
            while len(engine._ready) < number:
                engine._look()
        found = {}
        for name, options in WAYS.items():
            rows_per_s(client, rows[:32], **options)
            found[name] = rows_per_s(client, rows, **options)
            print(f"{number} workers, {name}: {found[name]:.1f} rows/s", file=sys.stderr)
        llm.unload()
    return found


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    rows = texts(arguments.rows)
    rounds = [[measured(model, rows, n) for n in (0, 1, 2)] for _ in range(arguments.rounds)]
    lines = []
    for name in WAYS:
        here, one, two = (statistics.median(r[n][name] for r in rounds) for n in (0, 1, 2))
        cost = statistics.median(r[0][name] / r[1][name] - 1 for r in rounds)
        gain = statistics.median(r[2][name] / r[1][name] for r in rounds)
        speeds = (f"{speed:.1f}" for speed in (here, one, two))
        lines.append((name, *speeds, f"{cost:+.1%}", f"{gain:.2f}"))
    heads = ("rows/s", "here", "one worker", "two", "the way there costs", "two over one")
    setting = describe(model, arguments.rounds) | {"rows": str(len(rows))}
    show(setting, markdown_table(heads, lines))
    write_json(arguments.json, setting, rounds=rounds)


if __name__ == "__main__":
    main()
