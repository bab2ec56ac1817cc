"""Measure how much of what a model writes as code is code: asked as usual, and as `-f code` asks.

Run as: python tests/benchmarks/code_cells.py [--generations 40] [--drafts 4] [--json FILE]

The usual way asks for code only and takes what stands in fences, or else the whole answer. Ours
opens the answer with a fence, and repairs what does not parse; then it also takes the best of some
drafts. All draw at temperature 1 with the same seeds. Names that the prompts speak of exist. Prints
Markdown and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe

from jupyter_llm.coding import code_prompt, write_code
from jupyter_llm.engine.base import Engine, Message, Request, SamplingParams
from jupyter_llm.engine.local import LocalEngine
from jupyter_llm.models.discover import find_model
from jupyter_llm.notebook.code import code_blocks
from jupyter_llm.notebook.names import unknown_names
from jupyter_llm.notebook.syntax import syntax_error
from jupyter_llm.status import markdown_table

PROMPTS = (
    "Load sales.csv into a DataFrame and show its first rows.",
    "Fill the missing values of the column age of df with the median.",
    "Group df by region and sum the revenue.",
    "Plot a histogram of the column price of df.",
    "Draw a sine and a cosine curve with a legend.",
    "Write a function that returns the first n Fibonacci numbers.",
    "Write a function that tells whether a number is prime.",
    "Count the words in the string text and print the ten most common.",
    "Solve the linear equations 2x + y = 5 and x - y = 1 with numpy.",
    "Compute the eigenvalues of a random 4x4 matrix.",
    "Read a JSON file and print its keys.",
    "Write a class Stack with push, pop and peek.",
    "Find all e-mail addresses in the string text.",
    "Merge the DataFrames orders and customers on customer_id.",
    "Write a decorator that measures how long a function takes.",
    "Simulate 1000 throws of two dice and plot the sums.",
    "Remove the duplicate rows from df and reset the index.",
    "Sort a list of dictionaries by the key name.",
    "Write a generator of the permutations of a list.",
    "Fit a straight line to the arrays x and y.",
)
NAMESPACE = frozenset({"df", "text", "orders", "customers", "x", "y", "pd", "np", "plt"})
FIRST_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one prompt came to: its code, and whether that needed repair or further drafts."""

    prompt: str
    source: str
    unknown_names: tuple[str, ...]
    parses: bool
    is_repaired: bool = False
    num_drafts: int = 1
    took_s: float = 0.0


def write_as_usual(engine: Engine, prompt: str, params: SamplingParams) -> Cell:
    """Ask for code only, and take what is in the fences."""
    messages = (Message("user", code_prompt(prompt)),)
    text = engine.submit(Request(prompt=messages, params=params)).result().text
    blocks = [block.source for block in code_blocks(text)]
    source = "\n\n".join(blocks) if blocks else text
    return Cell(
        prompt=prompt,
        source=source,
        unknown_names=unknown_names(source, NAMESPACE),
        parses=syntax_error(source) is None,
    )


def write_as_ours(engine: Engine, prompt: str, params: SamplingParams, *, num_drafts: int) -> Cell:
    """Ask as `-f code` does."""
    messages = (Message("user", code_prompt(prompt)),)
    answer = write_code(engine, messages, params, NAMESPACE, num_drafts=num_drafts)
    source = "\n\n".join(answer.sources)
    return Cell(
        prompt=prompt,
        source=source,
        unknown_names=answer.unknown_names,
        parses=bool(answer.cells) and all(syntax_error(cell) is None for cell in answer.sources),
        is_repaired=bool(answer.changes),
        num_drafts=answer.num_drafts,
    )


def measure(
    write: Callable[[str, SamplingParams], Cell], count: int, max_tokens: int
) -> list[Cell]:
    """Write so many cells, each with a seed of its own."""
    cells = []
    for number, prompt in enumerate(islice(cycle(PROMPTS), count)):
        seed = FIRST_SEED + 100 * number  # drafts count on from it
        params = SamplingParams(temperature=1, max_tokens=max_tokens, seed=seed, exact=False)
        began_s = time.perf_counter()
        cell = write(prompt, params)
        cells.append(replace(cell, took_s=time.perf_counter() - began_s))
    return cells


def row(name: str, cells: list[Cell]) -> tuple[str, ...]:
    """Summarise the cells of one way to ask."""
    count = len(cells)

    def share(number: int) -> str:
        return f"{number / count:.0%}"

    parsing = [cell for cell in cells if cell.parses]
    with_unknown = [cell for cell in parsing if cell.unknown_names]
    return (
        name,
        str(count),
        share(len(parsing)),
        share(len(with_unknown)),
        share(len(parsing) - len(with_unknown)),
        share(sum(cell.is_repaired for cell in cells)),
        f"{sum(cell.num_drafts for cell in cells) / count:.1f}",
        f"{sum(cell.took_s for cell in cells) / count:.1f}",
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a GGUF file (default: SmolLM2's)")
    parser.add_argument("--generations", type=int, default=40)
    parser.add_argument("--drafts", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=384)
    parser.add_argument("--json", type=Path, help="also write the cells to this file")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    model = arguments.model or default_model()
    setting = describe(model, arguments.generations)
    print("; ".join(f"{name}: {value}" for name, value in setting.items()), flush=True)
    engine = LocalEngine(find_model(model))
    ways = {
        "as usual": partial(write_as_usual, engine),
        "ours, one draft": partial(write_as_ours, engine, num_drafts=1),
        f"ours, up to {arguments.drafts}": partial(
            write_as_ours, engine, num_drafts=arguments.drafts
        ),
    }
    cells = {
        name: measure(write, arguments.generations, arguments.max_tokens)
        for name, write in ways.items()
    }
    engine.close()
    header = (
        *("code", "cells", "parse", "parse, names unknown", "parse, all names known"),
        *("repaired", "drafts", "s a cell"),
    )
    print(markdown_table(header, [row(name, each) for name, each in cells.items()]))
    if arguments.json is not None:
        record = {name: [asdict(cell) for cell in each] for name, each in cells.items()}
        raw = {"setting": setting, "cells": record}
        arguments.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
