"""Ghost text of the real model in code of our own: what it never does, and what a key costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from support.engines import closing, load, resident_tokens
from support.typed import NAMES, missing_names, places, read_typed, run_above
from support.waiting import until

from jupyter_llm.engine.base import Engine, Stream
from jupyter_llm.engine.completion import Usage
from jupyter_llm.engine.request import Request
from jupyter_llm.notebook.cells.document import Document, DocumentCell
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.tasks.completing.completing import (
    GhostEnd,
    GhostRequest,
    GhostRun,
    GhostText,
    GhostWriter,
)
from jupyter_llm.tasks.completing.ending import score

pytestmark = pytest.mark.slow


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
