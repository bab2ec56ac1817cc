"""Ghost text of the real model in code of our own: what it never does, and what a key costs."""

from __future__ import annotations

import ast
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from support.engines import closing, load, resident_tokens
from support.paths import TESTS
from support.waiting import until

from jupyter_llm.engine.base import Engine, Stream
from jupyter_llm.engine.completion import Usage
from jupyter_llm.engine.request import Request
from jupyter_llm.notebook.cells.document import CellKind, Document, DocumentCell
from jupyter_llm.notebook.code.syntax import cell_python, syntax_error
from jupyter_llm.tasks.completing.completing import (
    GhostEnd,
    GhostRequest,
    GhostRun,
    GhostText,
    GhostWriter,
)
from jupyter_llm.tasks.completing.ending import score

pytestmark = pytest.mark.slow

FOLDER = TESTS / "data" / "typed"
NAMES = ("houses", "words")


def read_typed(name: str) -> Document:
    """A notebook of ours."""
    cells = []
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    for number, piece in enumerate(text.split("# %%")[1:]):
        head, _, source = piece.partition("\n")
        kind: CellKind = "markdown" if "[markdown]" in head else "code"
        if kind == "markdown":
            source = "\n".join(line.removeprefix("# ") for line in source.split("\n"))
        cells.append(DocumentCell(str(number), kind, source.strip()))
    return Document(tuple(cells))


def run_above(document: Document, cell_id: str) -> dict[str, Any]:
    """What the cells above one leave in the namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with redirect_stdout(StringIO()):
        for cell in document.above(cell_id):
            if cell.kind == "code":
                exec(cell_python(cell.source), namespace)  # noqa: S102  our own code
    return namespace


@dataclass(frozen=True)
class Place:
    """A cursor in a cell of a notebook whose cells above have run."""

    document: Document
    cell_id: str
    prefix: str
    suffix: str


def places(count: int, seed: int = 1) -> Iterator[Place]:
    """Places all over our notebooks: in words and lines, on blank ones, with more below or not."""
    drawn = random.Random(seed)  # noqa: S311  no secret
    documents = [read_typed(name) for name in NAMES]
    for number in range(count):
        document = documents[number * len(documents) // count]
        cell = drawn.choice([one for one in document.cells[2:] if one.kind == "code"])
        place = drawn.randrange(len(cell.source) + 1)
        prefix, rest = cell.source[:place], cell.source[place:]
        below = "".join(rest.partition("\n")[1:])
        suffix = drawn.choice(["", "", rest, below])
        if prefix.count('"') % 2 and drawn.random() < 0.5:
            suffix = '"' + suffix
        yield Place(document, cell.cell_id, prefix, suffix)


def missing_names(source: str, start: int, namespace: Mapping[str, Any]) -> list[str]:
    """The attributes, keys and columns that a cell reads and that do not exist, by running nothing.

    Told are those of variables that the cell itself gives no value, where the name ends behind
    `start`. Independent of the code under test: of a syntax tree, and with `hasattr`.
    """
    try:
        tree = ast.parse(python := cell_python(source))
    except SyntaxError:
        return []
    lines = python.splitlines(keepends=True)
    moved = len(source) - len(python)
    bound = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    bound |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    kept = {name: value for name, value in namespace.items() if name not in bound}
    set_here = {
        ast.unparse(n).replace("'", '"')
        for n in ast.walk(tree)
        if isinstance(n, ast.Subscript | ast.Attribute) and isinstance(n.ctx, ast.Store)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Subscript) or isinstance(node.ctx, ast.Store):
            continue
        end = (
            sum(map(len, lines[: (node.end_lineno or 1) - 1])) + (node.end_col_offset or 0) + moved
        )
        if end <= start or ast.unparse(node).replace("'", '"') in set_here:
            continue
        owner = _value(node.value, kept)
        if owner is not None and not _has(owner, node):
            found.append(ast.unparse(node))
    return found


def _value(node: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """What plain names, attributes and keys lead to, or None."""
    if isinstance(node, ast.Name):
        return namespace.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, namespace), node.attr, None)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        owner = _value(node.value, namespace)
        key = node.slice.value
        return (
            owner[key] if isinstance(key, str) and hasattr(owner, "keys") and key in owner else None
        )
    return None


def _has(owner: Any, node: ast.Attribute | ast.Subscript) -> bool:
    if isinstance(node, ast.Attribute):
        return hasattr(owner, node.attr)
    keys = node.slice.elts if isinstance(node.slice, ast.List) else [node.slice]
    texts = [key.value for key in keys if isinstance(key, ast.Constant)]
    texts = [key for key in texts if isinstance(key, str)]
    return not hasattr(owner, "keys") or all(key in owner for key in texts)


class Typist:
    """Somebody who writes in notebooks, and sees all that is shown."""

    def __init__(self, engine: Engine, notebook: str = "") -> None:
        self.engine = engine
        self.namespace: dict[str, Any] = {}
        self.streams: list[Stream] = []
        self.told: list[GhostText | GhostEnd] = []
        self.writer = GhostWriter(lambda: self.recorded, notebook, namespace=lambda: self.namespace)
        self.recorded = _Recorded(engine, self.streams)

    def begin(self, document: Document, cell_id: str, prefix: str, suffix: str = "") -> GhostRun:
        request = GhostRequest(cell_id=cell_id, prefix=prefix, suffix=suffix)
        return self.writer.complete(document, request, self.told.append)

    def ask(self, document: Document, cell_id: str, prefix: str, suffix: str = "") -> str:
        self.told.clear()
        self.begin(document, cell_id, prefix, suffix).result(60)
        (end,) = [one for one in self.told if isinstance(one, GhostEnd)]
        return end.items[0].text if end.items else ""


class _Recorded:
    """An engine that keeps the streams it has given out."""

    def __init__(self, engine: Engine, streams: list[Stream]) -> None:
        self._engine = engine
        self._streams = streams

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: Request) -> Stream:
        self._streams.append(stream := self._engine.submit(request))
        return stream


@pytest.fixture(scope="module")
def engine(smollm2: Path) -> Iterator[Engine]:
    with closing():
        yield load(smollm2, n_threads=2)


@pytest.fixture
def typist(engine: Engine) -> Typist:
    return Typist(engine)


@pytest.mark.timeout(1200)
@pytest.mark.soak
def test_no_completion_breaks_a_cell_or_reads_a_name_that_does_not_exist(typist: Typist) -> None:
    num_written = 0
    for place in places(300):
        typist.namespace = run_above(place.document, place.cell_id)
        text = typist.ask(place.document, place.cell_id, place.prefix, place.suffix)
        num_written += bool(text)
        before, cell = score(place.prefix + place.suffix), place.prefix + text + place.suffix
        assert score(cell) >= before, cell
        assert missing_names(cell, len(place.prefix), typist.namespace) == [], cell
        for one in typist.told:
            if before == score("") and isinstance(one, GhostText):
                assert syntax_error(place.prefix + one.text + place.suffix) is None
    assert num_written


def new_tokens(usage: Usage) -> int:
    return usage.prompt_tokens - usage.cached_tokens


def _writes(stream: Stream) -> bool:
    return stream.progress.state in ("writing", "finished")


def type_through(typist: Typist, document: Document, cell: DocumentCell, keys: int) -> list[int]:
    """Type the start of a cell, key by key, and tell how many tokens each of them had read."""
    costs = []
    for length in range(1, min(keys, len(cell.source)) + 1):
        typist.streams.clear()
        run = typist.begin(document, cell.cell_id, cell.source[:length])
        # As long as it takes to see something, or that there is nothing.
        while not any(map(_writes, typist.streams)) and not run.has_stopped.is_set():
            time.sleep(0.001)
        run.cancel()
        costs.append(sum(new_tokens(one.result().usage) for one in typist.streams))
    return costs


@pytest.mark.timeout(1200)
@pytest.mark.soak
def test_a_key_has_few_tokens_read(typist: Typist) -> None:
    costs = []
    for name in NAMES:
        document = read_typed(name)
        for cell in [one for one in document.cells[3:] if one.kind == "code"][:20]:
            typist.namespace = run_above(document, cell.cell_id)
            _, *later = type_through(typist, document, cell, keys=240)
            costs += later
    assert median(costs) <= 16
    assert max(costs) <= 64


def test_what_was_read_ahead_is_not_read_again(engine: Engine) -> None:
    typist = Typist(engine, "ahead")
    document = read_typed("words")
    engine.forget()
    typist.writer.read_ahead(document, "6")
    until(lambda: engine.status().num_running == 0 and sum(resident_tokens(engine.status())) > 100)
    typist.ask(document, "6", "def ")
    assert new_tokens(typist.streams[0].result().usage) <= 16
