"""Measure how much of what an author wrote next a model suggests, in notebooks of other people.

Run as: python tests/benchmarks/next_lines.py --notebooks FOLDER [--model FILE.gguf]
        [--positions 100] [--seed 1] [--part look] [--lines]

Ours is ghost text as pages get it; the rival is the same model, greedy, which is given the current
cell alone: filling in where the vocabulary can, else going on. Wanted is the rest of the line, and
what is below the line is there. Of five cells in a row one line each is drawn, so that the cells
above are read once; half of these fives are for looking at, the others only for the report. Cells
above run in this process, as far as they can without a network. Prints Markdown, asserts nothing.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from functools import partial
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json

from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Usage
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.engine.request import Priority, RawPrompt, Request, Special
from jupyter_llm.notebook.cells.document import CellKind, Document, DocumentCell
from jupyter_llm.notebook.code.syntax import cell_python
from jupyter_llm.tasks.completing.completing import (
    GREEDY,
    GhostEnd,
    GhostRequest,
    GhostText,
    GhostWriter,
)

IN_A_ROW = 5  # cells
LEAST_WANTED = 2  # characters
PATIENCE_S = 900.0
OURS, RIVAL = "ours", "the cell alone"


@dataclass(frozen=True)
class Place:
    """A cursor in somebody's cell, and what they wrote from there to the line's end."""

    notebook: str
    cell_id: str
    row: int
    part: str
    where: str
    prefix: str
    suffix: str
    wanted: str


@dataclass(frozen=True)
class Answer:
    """What came of one place."""

    place: Place
    contestant: str
    line: str
    usage: Usage
    first_s: float | None

    @property
    def is_exact(self) -> float:
        return float(self.line.strip() == self.place.wanted.strip())

    @property
    def similarity(self) -> float:
        wanted, line = self.place.wanted.strip(), self.line.strip()
        return SequenceMatcher(None, wanted, line, autojunk=False).ratio()


def read(path: Path) -> Document:
    import nbformat

    cells: list[DocumentCell] = []
    for number, cell in enumerate(nbformat.read(path, 4).cells):
        kind: CellKind = cell.cell_type if cell.cell_type in ("code", "markdown") else "raw"
        cells.append(DocumentCell(str(number), kind, cell.source))
    return Document(tuple(cells))


def cursors(cell: DocumentCell) -> list[tuple[int, re.Match[str]]]:
    """The lines of code in a cell, each with where what is written on it begins."""
    lines = [
        (line.start() + len(line[1]), line) for line in re.finditer(r"([ \t]*)(.+)", cell.source)
    ]
    return [
        (start, line)
        for start, line in lines
        if line[2][0] not in "#%!" and len(line[2].strip()) > LEAST_WANTED
    ]


def draw(documents: dict[str, Document], count: int, seed: int) -> list[Place]:
    """Draw places, in the order of the notebooks; at a line's start every other time."""
    drawn = random.Random(seed)  # noqa: S311  no secret
    rows: list[tuple[str, list[DocumentCell]]] = []
    for name, document in documents.items():
        cells = [cell for cell in document.cells if cell.kind == "code" and cursors(cell)]
        rows += [
            (name, cells[at : at + IN_A_ROW])
            for at in range(0, len(cells) - IN_A_ROW + 1, IN_A_ROW)
        ]
    places: list[tuple[int, Place]] = []
    for number, row in enumerate(drawn.sample(range(len(rows)), -(-count // IN_A_ROW))):
        name, cells = rows[row]
        for cell in cells:
            start, line = drawn.choice(cursors(cell))
            end = start + len(line[2].rstrip())
            where = drawn.choice(["line start", "within"])
            at = start if where == "line start" else drawn.randint(start + 1, end - LEAST_WANTED)
            parts = (cell.source[:at], cell.source[line.end() :], cell.source[at:end])
            part = ("look", "report")[number % 2]
            places.append((row, Place(name, cell.cell_id, row, part, where, *parts)))
    return [place for _, place in sorted(places, key=lambda one: one[0])][:count]


class Kernel:
    """The variables of one notebook, whose cells run in this process one after another."""

    def __init__(self, document: Document) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__", "display": print}
        self.num_failed = self.num_run = 0
        self._document = document

    def run_above(self, cell_id: str) -> None:
        cells = [cell for cell in self._document.above(cell_id) if cell.kind == "code"]
        for cell in cells[self.num_run :]:
            self.num_run += 1
            try:
                self._run(cell.source)
            except (Exception, SystemExit):  # noqa: BLE001  whatever others wrote
                self.num_failed += 1

    def _run(self, source: str, limit_s: int = 10) -> None:
        def stop(*_: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, stop)
        signal.alarm(limit_s)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                exec(cell_python(source), self.namespace)  # noqa: S102  that is the purpose
        finally:
            signal.alarm(0)


def ours(writer: GhostWriter, document: Document, place: Place) -> Answer:
    """Ask as a page does."""
    began = time.perf_counter()
    firsts: list[float] = []

    def tell(news: GhostText | GhostEnd) -> None:
        if isinstance(news, GhostText) and news.text and not firsts:
            firsts.append(time.perf_counter() - began)

    request = GhostRequest(cell_id=place.cell_id, prefix=place.prefix, suffix=place.suffix)
    end = writer.complete(document, request, tell).result(PATIENCE_S)
    text, usage = (end.items[0].text, end.items[0].usage) if end.items else ("", Usage())
    return Answer(place, OURS, text.partition("\n")[0], usage, firsts[0] if firsts else None)


def rival(engine: Engine, place: Place) -> Answer:
    """Ask the model with the current cell alone."""
    fim = engine.info.fim
    parts: tuple[str | Special, ...] = (place.prefix,)
    if fim is not None:
        parts = (Special(fim.prefix), place.prefix, Special(fim.suffix), place.suffix)
        parts += (Special(fim.middle),)
    prompt = RawPrompt(tuple(part for part in parts if part))
    if not prompt.parts:
        return Answer(place, RIVAL, "", Usage(), None)
    params = replace(GREEDY, stop=("\n",))
    request = Request(prompt=prompt, params=params, priority=Priority.GHOST)
    completion = engine.submit(request).result()
    usage = completion.usage
    return Answer(place, RIVAL, completion.text, usage, usage.first_token_s)


def answered(
    engine: Engine, documents: dict[str, Document], places: Sequence[Place]
) -> Iterator[Answer]:
    """Ask everything, in the order that lets what was read be read once."""
    for name, document in documents.items():
        kernel = Kernel(document)
        writer = GhostWriter(lambda: engine, name, namespace=partial(getattr, kernel, "namespace"))
        for place in places:
            if place.notebook == name:
                kernel.run_above(place.cell_id)
                yield ours(writer, document, place)
                yield rival(engine, place)
        told = f"{kernel.num_run - kernel.num_failed} of {kernel.num_run}"
        print(f"{name}: {told} cells above ran", file=sys.stderr)


def means(answers: Iterable[Answer]) -> tuple[float, float]:
    """How much of some answers is exact, and how similar they are, in percent."""
    scores = [(answer.is_exact, answer.similarity) for answer in answers]
    exact, similar = (100 * statistics.fmean(column) for column in zip(*scores, strict=True))
    return exact, similar


def difference(answers: Sequence[Answer], rounds: int = 2000) -> list[str]:
    """By how much ours is above the rival, from where to where in 95 % of draws of the rows."""
    pairs = [
        (one.place.row, 100 * (one.is_exact - other.is_exact), one.similarity - other.similarity)
        for one in answers
        for other in answers
        if (one.contestant, other.contestant) == (OURS, RIVAL) and one.place == other.place
    ]
    rows: dict[int, list[tuple[float, float]]] = {}
    for row, exact, similar in pairs:
        rows.setdefault(row, []).append((exact, 100 * similar))

    def above(chosen: Iterable[list[tuple[float, float]]]) -> tuple[float, ...]:
        return tuple(map(statistics.fmean, zip(*chain(*chosen), strict=True)))

    drawn = random.Random(0)  # noqa: S311  no secret
    draws = [above(drawn.choices([*rows.values()], k=len(rows))) for _ in range(rounds)]
    texts = []
    for middle, values in zip(above(rows.values()), zip(*draws, strict=True), strict=True):
        cuts = statistics.quantiles(values, n=40)
        texts.append(f"{middle:+.1f} ({cuts[0]:+.1f} to {cuts[-1]:+.1f})")
    return texts


def table(answers: Sequence[Answer]) -> str:
    """What each got right, by part and place."""
    header = (
        "places",
        "",
        "exact, %",
        "similar, %",
        "nothing",
        "read (new)",
        "written",
        "first, s",
    )
    rows: list[Sequence[object]] = []
    groups: dict[str, Callable[[Place], bool]] = {
        "all": lambda _: True,
        "look": lambda place: place.part == "look",
        "report": lambda place: place.part == "report",
        "line start": lambda place: place.where == "line start",
        "within": lambda place: place.where == "within",
    }
    for group, is_in in groups.items():
        chosen = [answer for answer in answers if is_in(answer.place)]
        if not chosen:
            continue
        for name in (OURS, RIVAL):
            its = [answer for answer in chosen if answer.contestant == name]
            read = statistics.fmean(a.usage.prompt_tokens for a in its)
            new = read - statistics.fmean(a.usage.cached_tokens for a in its)
            written = statistics.fmean(a.usage.completion_tokens for a in its)
            first = statistics.median([a.first_s for a in its if a.first_s is not None] or [0.0])
            nothing = sum(not answer.line.strip() for answer in its)
            figures = [f"{mean:.1f}" for mean in means(its)]
            costs = [f"{read:.0f} ({new:.0f})", f"{written:.0f}", f"{first:.2f}"]
            rows.append((f"{group}: {len(its)}", name, *figures, nothing, *costs))
        rows.append((f"{group}: {len(its)}", "difference", *difference(chosen), "", "", "", ""))
    return markdown_table(header, rows)


def listed(answers: Sequence[Answer]) -> str:
    """Every answer beside what was wanted."""
    lines = []
    for one in answers:
        line = one.place.prefix.rpartition("\n")[2][-50:]
        if one.contestant == OURS:
            lines.append(
                f"\n{one.place.notebook} {one.place.cell_id} {line!r} {one.place.wanted!r}"
            )
        lines.append(f"  {'=' if one.is_exact else ' '} {one.contestant}: {one.line!r}")
    return "\n".join(lines)


def refuse(*_: object) -> None:
    raise OSError("There is no network here.")


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--notebooks", type=Path, required=True, help="a folder with .ipynb files")
    parser.add_argument("--positions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=("all", "look", "report"), default="all")
    parser.add_argument("--lines", action="store_true", help="print the answers, too")
    arguments = parser.parse_args()
    model = (arguments.model or default_model()).resolve()
    json = arguments.json and arguments.json.resolve()
    documents = {path.name: read(path) for path in sorted(arguments.notebooks.glob("*.ipynb"))}
    places = draw(documents, arguments.positions, arguments.seed)
    places = [place for place in places if arguments.part in ("all", place.part)]
    os.environ["MPLBACKEND"] = "agg"
    socket.socket.connect = refuse  # type: ignore[method-assign]
    warnings.simplefilter("ignore")
    setting = describe(model, 1) | {"seed": str(arguments.seed)}
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # what the cells write
        for answer in answered(CurrentEngine().get(model), documents, places):
            answers.append(answer)  # and written every time, so that an interrupt loses none
            write_json(json, setting, answers=[asdict(one) for one in answers])
    show(setting, table(answers), *([listed(answers)] if arguments.lines else []))


if __name__ == "__main__":
    main()
