"""Measure how much of what a model writes as code is code: asked as usual, and as `-f code` asks.

Run as: python tests/benchmarks/code_cells.py [--generations 40] [--drafts 4] [--json FILE]

The usual way asks for code only and takes what stands in fences, or else the whole answer. Ours
opens the answer with a fence, and repairs what does not parse; then it also takes the best of some
drafts. All draw at temperature 1 with the same seeds, over the five notebooks of the tests. Names
that the cells before a prompt define exist. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json
from support.notebook_session import NAMES, code_cells

from jupyter_llm.chat.asked import code_prompt
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.models.discover import find_model
from jupyter_llm.notebook.code.blocks import code_blocks
from jupyter_llm.notebook.code.names import defined_names, unknown_names
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.write import write_code

PROMPTS = (
    "Write the next step.",
    "Plot what was computed last.",
    "Write a function that does what the last cell does.",
    "Check the last result with assertions.",
    "Print a short summary of what there is so far.",
    "Do the last step again with other numbers.",
    "Put the results into a dictionary and print it.",
    "Handle missing and wrong values in what was made last.",
)
NUM_CELLS = 5  # that are told before a prompt
FIRST_SEED = 1


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt after some cells of a notebook, and the names that those have defined."""

    prompt: str
    cells: tuple[str, ...]
    namespace: frozenset[str]

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt as `-f code` sends it."""
        told = ("These cells ran in the notebook:\n\n", *(f"{cell}\n\n" for cell in self.cells))
        return (Message.of_parts("user", (*told, code_prompt(self.prompt))),)


def tasks() -> Iterator[Task]:
    """Yield prompts from place to place of the five notebooks, for ever."""
    notebooks = [code_cells(name) for name in NAMES]
    for number in count(1):
        cells = [cell["source"] for cell in notebooks[number % len(notebooks)]]
        end = 1 + number // len(notebooks) * 3 % len(cells)
        names = frozenset[str]().union(*map(defined_names, cells[:end]))
        yield Task(
            PROMPTS[number % len(PROMPTS)], tuple(cells[max(0, end - NUM_CELLS) : end]), names
        )


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


def write_as_usual(engine: Engine, task: Task, params: SamplingParams) -> Cell:
    """Ask for code only, and take what is in the fences."""
    text = engine.submit(Request(prompt=task.messages, params=params)).result().text
    blocks = [block.source for block in code_blocks(text)]
    source = "\n\n".join(blocks) if blocks else text
    return Cell(
        prompt=task.prompt,
        source=source,
        unknown_names=unknown_names(source, task.namespace),
        parses=syntax_error(source) is None,
    )


def write_as_ours(engine: Engine, task: Task, params: SamplingParams, *, num_drafts: int) -> Cell:
    request = Request(prompt=task.messages, params=params)
    judge = Judge(names=task.namespace)
    answer = write_code(engine, request, judge, num_drafts=num_drafts)
    source = "\n\n".join(answer.sources)
    return Cell(
        prompt=task.prompt,
        source=source,
        unknown_names=answer.unknown_names,
        parses=bool(answer.cells) and all(syntax_error(cell) is None for cell in answer.sources),
        is_repaired=bool(answer.changes),
        num_drafts=answer.num_drafts,
    )


def measure(
    write: Callable[[Task, SamplingParams], Cell], num_cells: int, max_tokens: int
) -> list[Cell]:
    cells = []
    for number, task in enumerate(islice(tasks(), num_cells)):
        seed = FIRST_SEED + 100 * number  # drafts count on from it
        params = SamplingParams(temperature=1, max_tokens=max_tokens, seed=seed, exact=False)
        began_s = time.perf_counter()
        cell = write(task, params)
        cells.append(replace(cell, took_s=time.perf_counter() - began_s))
    return cells


def row(name: str, cells: list[Cell]) -> tuple[str, ...]:
    total = len(cells)

    def share(number: int) -> str:
        return f"{number / total:.0%}"

    parsing = [cell for cell in cells if cell.parses]
    with_unknown = [cell for cell in parsing if cell.unknown_names]
    return (
        name,
        str(total),
        share(len(parsing)),
        share(len(with_unknown)),
        share(len(parsing) - len(with_unknown)),
        share(sum(cell.is_repaired for cell in cells)),
        f"{sum(cell.num_drafts for cell in cells) / total:.1f}",
        f"{sum(cell.took_s for cell in cells) / total:.1f}",
    )


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--generations", type=int, default=40)
    parser.add_argument("--drafts", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=384)
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    setting = describe(model, arguments.generations)
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
    show(setting, markdown_table(header, [row(name, each) for name, each in cells.items()]))
    raw = {name: [asdict(cell) for cell in each] for name, each in cells.items()}
    write_json(arguments.json, setting, cells=raw)


if __name__ == "__main__":
    main()
