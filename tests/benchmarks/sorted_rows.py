"""Measure what the order of rows brings: a frame with one long repeated field, in random order.

Run as: python tests/benchmarks/sorted_rows.py [MODEL] [--rounds 3] [--texts 24] [--questions 8]

The same frame is asked as `llm.map` does it, in an order in which rows share most, and in the order
of its rows; each time by a model that was loaded afresh and has read nothing. Prints Markdown and
asserts nothing.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.prompts import notebook

from jupyter_llm import llm
from jupyter_llm.columns import map as columns
from jupyter_llm.common.tables import markdown_table

CELLS = 6  # of about 51 tokens
ANSWER_TOKENS = 8


def frame_of(num_texts: int, num_questions: int) -> pd.DataFrame:
    """A row for each text and question, in random order."""
    rows = [
        {"text": notebook(f"topic{text}", CELLS), "number": number}
        for text in range(num_texts)
        for number in range(num_questions)
    ]
    random.Random(1).shuffle(rows)  # noqa: S311  a shuffle
    return pd.DataFrame(rows)


def seconds(model: str | None, frame: pd.DataFrame, *, is_sorted: bool) -> float:
    """How long a column takes."""
    llm.use(model, checkpoints=False)
    llm("Hello", max_tokens=2)
    try:
        if not is_sorted:
            vars(columns)["sorted"] = lambda rows, key: list(rows)  # noqa: ARG005
        began_s = time.perf_counter()
        llm.map(
            frame,
            "{{text}}\n\nWhat does cell {{number}} print?",
            keep=False,
            max_tokens=ANSWER_TOKENS,
        )
        return time.perf_counter() - began_s
    finally:
        vars(columns).pop("sorted", None)
        llm.unload()


def main() -> None:
    """Take turns between both ways, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    for name, default in {"rounds": 3, "texts": 24, "questions": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    frame = frame_of(asked.texts, asked.questions)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(asked.rounds):
        for is_sorted, some in times.items():
            some.append(seconds(asked.model, frame, is_sorted=is_sorted))
    medians = {is_sorted: statistics.median(some) for is_sorted, some in times.items()}
    rows = [
        ("as they come", f"{len(frame) / medians[False]:.2f}", "1.00x"),
        ("sorted", f"{len(frame) / medians[True]:.2f}", f"{medians[False] / medians[True]:.2f}x"),
    ]
    print(markdown_table((f"{len(frame)} rows", "rows/s", "speed"), rows))


if __name__ == "__main__":
    main()
