"""Ghost text for one notebook: what a model would write at the cursor, as it is written.

The front end asks with every key. Each request ends the one before, in the engine too; a model is
never loaded for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.request import Priority, RawPrompt, Request
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.code.syntax import split_cell_magic
from jupyter_llm.notebook.values.mentions import used
from jupyter_llm.tasks.completing.draft import GREEDY, VARIED, Draft
from jupyter_llm.tasks.completing.names import names_worth_telling
from jupyter_llm.tasks.completing.prompt import CellText, PromptWriter, Visit, told_source, visible
from jupyter_llm.tasks.completing.suggestions import (
    GhostEnd,
    GhostItem,
    GhostRequest,
    GhostRun,
    GhostText,
    Tell,
)

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.request import Special
    from jupyter_llm.notebook.cells.document import Document, DocumentCell
    from jupyter_llm.notebook.cells.timeline import Timeline

NO_MODEL: Final = "no model loaded"
"""Why there is nothing while no model is resident."""

_NEAR: Final = 3  # cells above whose variables are told
_MAX_CELL: Final = 40_000  # characters; more take long to parse, for which all threads wait


class GhostWriter:
    """Completes code in one notebook. Safe from any thread; its calls return at once.

    `engine_of` returns the resident engine, or None. `namespace` returns the live variables, of
    which names alone are looked at. Cells that are hidden on the timeline are in no prompt.
    """

    def __init__(
        self,
        engine_of: Callable[[], Engine | None],
        notebook: str = "",
        *,
        timeline: Timeline | None = None,
        namespace: Callable[[], Mapping[str, Any]] = user_namespace,
    ) -> None:
        self._engine_of = engine_of
        self._conversation = f"ghost:{notebook}"
        self._timeline = timeline
        self._namespace = namespace
        self._run: GhostRun | None = None
        self._visit: Visit | None = None
        self._counts: dict[tuple[Path, str], int] = {}
        self._lock = threading.Lock()

    def complete(self, document: Document, request: GhostRequest, tell: Tell) -> GhostRun:
        """Write at the cursor; whatever was being written for this notebook ends."""
        run = GhostRun(tell)
        with self._lock:
            before, self._run = self._run, run
        if before is not None:
            before.cancel()

        def work() -> None:
            try:
                self._work(run, document, request)
            except JupyterLLMError as error:
                run.tell(GhostEnd(reason=str(error)))
            finally:
                if not run.is_stopped:
                    run.tell(GhostEnd())

        start_worker(work, "jupyter-llm-ghost")
        return run

    def cancel(self) -> None:
        """Stop what is being written."""
        with self._lock:
            run = self._run
        if run is not None:
            run.cancel()

    def read_ahead(self, document: Document, cell_id: str, prefix: str = "") -> None:
        """Let the model read what a completion in a cell will need, while nothing else goes on."""
        engine = self._engine_of()
        cell = document.find(cell_id)
        if engine is None or cell is None or cell.is_off or cell_id in self._hidden(document):
            return

        def work() -> None:
            writer = PromptWriter(engine.info, self._counter(engine))
            told = CellText.of(cell.kind, prefix, "")
            if told is None:
                return
            above = self._above(writer, document, cell_id)
            visit = self._visit_of(writer, document, cell_id, told)
            parts = (*above, *writer.start(cell.kind, visit))
            if engine.info.fim is None:
                parts = writer.write(above, told, visit).parts.parts
            if parts:
                engine.prefill(
                    Request(
                        prompt=RawPrompt(parts),
                        params=GREEDY,
                        priority=Priority.BACKGROUND,
                        conversation=self._conversation,
                    )
                )

        def work_quietly() -> None:
            with suppress(JupyterLLMError):  # it was unloaded meanwhile, or the prompt is too long
                work()

        start_worker(work_quietly, "jupyter-llm-ghost-ahead")

    def _work(self, run: GhostRun, document: Document, request: GhostRequest) -> None:
        engine = self._engine_of()
        if engine is None:
            run.tell(GhostEnd(reason=NO_MODEL))
            return
        if not self._is_wanted(document, request):
            return
        cell = CellText.of(request.kind, request.prefix, request.suffix)
        if cell is None:
            return
        writer = PromptWriter(engine.info, self._counter(engine))
        above = self._above(writer, document, request.cell_id)
        visit = self._visit_of(writer, document, request.cell_id, cell)
        draft = Draft(
            engine, run, request, partial(writer.write, above, cell, visit), dict(self._namespace())
        )
        run.tell(GhostEnd(_items(draft, run, request.num_items, self._conversation)))

    def _is_wanted(self, document: Document, request: GhostRequest) -> bool:
        cell = document.find(request.cell_id)
        if (cell is not None and cell.is_off) or request.cell_id in self._hidden(document):
            return False
        if len(request.prefix) + len(request.suffix) > _MAX_CELL:
            return False
        # Within a word nothing fits that does not change the word.
        if re.search(r"\w\Z", request.prefix) and re.match(r"\w", request.suffix):
            return False
        if request.is_invoked:
            return True
        magic, _, _ = split_cell_magic(request.prefix)
        return request.kind == "code" and magic != "llm"

    def _hidden(self, document: Document) -> frozenset[str]:
        if self._timeline is None:
            return frozenset()
        snapshot = self._timeline.snapshot()
        runs = ((one.cell_id, self._timeline.latest(one.cell_id)) for one in document.cells)
        return frozenset(
            cell_id for cell_id, run in runs if run is not None and snapshot.is_hidden(run)
        )

    def _above(
        self, writer: PromptWriter, document: Document, cell_id: str
    ) -> tuple[str | Special, ...]:
        return writer.above(visible(document.above(cell_id), self._hidden(document)))

    def _counter(self, engine: Engine) -> Callable[[str], int]:
        def count(text: str) -> int:
            key = (engine.info.path, text)
            if key not in self._counts:
                if len(self._counts) > 1000:  # noqa: PLR2004
                    self._counts.clear()
                self._counts[key] = len(engine.tokenize_texts([text])[0])
            return self._counts[key]

        return count

    def _visit_of(
        self, writer: PromptWriter, document: Document, cell_id: str, cell: CellText
    ) -> Visit:
        """What stays the same of the prompts for a cell while somebody writes there."""
        fixed, suffix = writer.fixed(cell)
        with self._lock:
            visit = self._visit
        if visit is None or visit.cell_id != cell_id:
            near = visible(document.above(cell_id), self._hidden(document))[-_NEAR:]
            names = self._told_names(near, cell) if cell.kind == "code" else ""
            visit = Visit(cell_id, writer.names_line(names), fixed, suffix)
        elif visit.suffix != suffix or not fixed.startswith(visit.above):
            visit = replace(visit, above=fixed, suffix=suffix)
        with self._lock:
            self._visit = visit
        return visit

    def _told_names(self, near: list[DocumentCell], cell: CellText) -> str:
        """What is in the variables that the cells around use, those of the nearest first."""
        namespace = dict(self._namespace())  # cells go on running meanwhile
        sources = [cell.prefix + cell.suffix]
        sources += [told_source(one) for one in reversed(near) if one.kind == "code"]
        names = dict.fromkeys(name for source in sources for name in used(source, namespace))
        return names_worth_telling({name: namespace[name] for name in names})


def _items(draft: Draft, run: GhostRun, num_items: int, conversation: str) -> tuple[GhostItem, ...]:
    """Let all suggestions be written: the likeliest first, and others that differ from it."""
    items = [GhostItem() for _ in range(max(num_items, 1))]
    told = {""}
    lock = threading.Lock()
    is_first_written = threading.Event()

    def settle(number: int, item: GhostItem) -> None:
        with lock:
            if item.text in told:
                item = replace(item, text="")
            told.add(item.text)
            items[number] = item
        run.tell(GhostText(number, item.text, is_final=True))

    def other(number: int) -> None:
        item = GhostItem()
        with suppress(JupyterLLMError):  # there is the first one
            item = draft.write(replace(VARIED, seed=number))
        is_first_written.wait()  # of two that are the same, the one that is shown stays
        settle(number, item)

    others = [
        threading.Thread(
            target=other, args=(number,), name=f"jupyter-llm-ghost-{number}", daemon=True
        )
        for number in range(1, len(items))
    ]

    def begin_others() -> None:
        # They share what the first one has read.
        for thread in others:
            if thread.ident is None and not run.is_cancelled:
                thread.start()

    def show(text: str) -> None:
        run.tell(GhostText(0, text, is_final=False))

    try:
        settle(0, draft.write(GREEDY, conversation, show=show, at_first=begin_others))
    finally:
        is_first_written.set()
    begin_others()
    for thread in others:
        if thread.ident is not None:
            thread.join()
    return tuple(items)
