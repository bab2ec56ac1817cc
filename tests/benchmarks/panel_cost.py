"""Measure what an open chat panel costs the engine: its decode speed with the panel and without.

Run as: python tests/benchmarks/panel_cost.py [--rounds 8] [--threads 1,2] [--json FILE]

A cell of a notebook in a real JupyterLab writes into a chat. The page shows the chat's panel in
one half of the generations, and in the other half the panel is closed and nothing else changes;
their order alternates. Everything is on one machine, so the browser's drawing takes its share of
the cores as well: with one thread fewer than cores it has one for itself. Prints Markdown and
asserts nothing.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json
from browser.lab import CHROMIUM_HINT, Notebook, find_chromium, running_chromium, running_lab
from playwright.sync_api import expect

from jupyter_llm.common.tables import markdown_table

NUM_TOKENS = 400
PROMPT = "Write a long story about a lighthouse and the sea, with many paragraphs."

LOAD = """%load_ext jupyter_llm
import json
from jupyter_llm import ChatPanel, llm
llm.use({model!r}, n_threads={n_threads})
chat = llm.chat("talk")
panels = []"""
SHOW = "panels.append(ChatPanel(chat))\npanels[-1]"
CLOSE = "panels.pop().close()"
WRITE = f"""chat.reset()
usage = chat({PROMPT!r}, max_tokens={NUM_TOKENS}, ignore_eos=True, temperature=1).usage
print(json.dumps([usage.completion_tokens, usage.tokens_per_s]))"""
CELLS = (SHOW, CLOSE, WRITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: how fast it was written, and whether a panel showed it."""

    n_threads: int
    is_open: bool
    tokens_per_s: float


class Session:
    """A notebook in a page, whose cells open a panel, close it, and write."""

    def __init__(self, notebook: Notebook, model: Path, n_threads: int) -> None:
        self._notebook = notebook
        self._n_threads = n_threads
        notebook.set_source(0, LOAD.format(model=str(model), n_threads=n_threads))
        notebook.run(0)
        self.write(is_open=False)  # a warm-up

    def write(self, *, is_open: bool) -> Generation:
        turns = self._notebook.cell(1).locator(".jllm-turn")
        if is_open:
            self._notebook.run(1)
            expect(self._notebook.cell(1).get_by_role("textbox", name="Message")).to_be_visible()
        self._notebook.run(3)
        num_tokens, tokens_per_s = json.loads(self._notebook.text(3))
        if num_tokens != NUM_TOKENS:
            sys.exit(f"An answer ended after {num_tokens} tokens instead of {NUM_TOKENS}.")
        if is_open:
            expect(turns).to_have_count(1)
            self._notebook.run(2)
        return Generation(n_threads=self._n_threads, is_open=is_open, tokens_per_s=tokens_per_s)


def generations(model: Path, threads: Sequence[int], rounds: int) -> Iterator[Generation]:
    """Measure: in each round one answer with the panel and one without, either first in turn."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit(CHROMIUM_HINT)
    with (
        TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        running_chromium(chromium) as browser,
    ):
        for n_threads in threads:
            path = lab.write(f"threads-{n_threads}.ipynb", "", *CELLS)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(120_000)
            page.goto(lab.page_url(path.name))
            notebook = Notebook(page, path)
            session = Session(notebook, model, n_threads)
            for number in range(rounds):
                for is_open in (True, False) if number % 2 else (False, True):
                    yield session.write(is_open=is_open)
            notebook.shut_down()
            page.close()


def table(measured: Sequence[Generation]) -> str:
    """Return the medians, and the median of the ratios within a round."""
    rows = []
    for n_threads in dict.fromkeys(generation.n_threads for generation in measured):
        speeds = {
            is_open: [
                generation.tokens_per_s
                for generation in measured
                if (generation.n_threads, generation.is_open) == (n_threads, is_open)
            ]
            for is_open in (False, True)
        }
        ratios = sorted(
            shown / alone for alone, shown in zip(speeds[False], speeds[True], strict=True)
        )
        rows.append(
            (
                str(n_threads),
                f"{statistics.median(speeds[False]):.1f}",
                f"{statistics.median(speeds[True]):.1f}",
                f"{ratios[0]:.3f}",
                f"{statistics.median(ratios):.3f}",
                f"{ratios[-1]:.3f}",
                "≥ 0.97",
            )
        )
    header = ("threads", "closed, tokens/s", "open, tokens/s", "min", "median", "max", "target")
    return markdown_table(header, rows)


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--threads",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[1, 2],
        help="how many threads decode (default: 1,2)",
    )
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    measured = list(generations(model, arguments.threads, arguments.rounds))
    setting = describe(model, arguments.rounds)
    write_json(arguments.json, setting, generations=[asdict(one) for one in measured])
    show(setting, table(measured))


if __name__ == "__main__":
    main()
