"""Ghost text for one notebook: what a model would write at the cursor, as it is written.

The front end asks with every key. Each request ends the one before, in the engine too; a model is
never loaded for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.request import Priority, RawPrompt, Request
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.cells.timeline import Timeline
from jupyter_llm.notebook.code.syntax import split_cell_magic
from jupyter_llm.tasks.completing.prompt import (
    CellText,
    PromptWriter,
    Visit,
    told_names,
    told_source,
)
from jupyter_llm.tasks.completing.suggestions import (
    GREEDY,
    VARIED,
    GhostEnd,
    GhostItem,
    GhostRequest,
    GhostRun,
    GhostText,
    Suggester,
    Tell,
)

if TYPE_CHECKING:
    from jupyter_llm.engine.base import Engine
    from jupyter_llm.notebook.cells.document import Document, DocumentCell
    from jupyter_llm.tasks.completing.prompt import GhostPrompt

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
        self._timeline = timeline or Timeline()
        self._namespace = namespace
        self._run: GhostRun | None = None
        self._visit: Visit | None = None
        self._lock = threading.Lock()

    def complete(self, document: Document, request: GhostRequest, tell: Tell) -> GhostRun:
        """Write at the cursor; whatever was being written for this notebook ends."""
        run = GhostRun(tell)
        with self._lock:
            before, self._run = self._run, run
        if before is not None:
            before.cancel()

        def work() -> None:
            end = GhostEnd()
            try:
                end = self._written(run, document, request)
            except JupyterLLMError as error:
                end = GhostEnd(reason=str(error))
            finally:
                run.tell(end)

        start_worker(work, "jupyter-llm-ghost")
        return run

    def cancel(self) -> None:
        """Stop what is being written."""
        if (run := self._run) is not None:
            run.cancel()

    def read_ahead(self, document: Document, cell_id: str) -> None:
        """Let the model read what a completion in a cell will need, while nothing else goes on."""
        engine = self._engine_of()
        cell = document.find(cell_id)
        if engine is None or cell is None:
            return

        def work() -> None:
            with suppress(JupyterLLMError):  # it was unloaded meanwhile, or the prompt is too long
                start = GhostRequest(cell_id=cell_id, prefix="", kind=cell.kind)
                prompt_with = self._prompt_at(engine, document, start)
                if prompt_with is None or not (parts := prompt_with("").ahead):
                    return
                request = Request(
                    prompt=RawPrompt(parts),
                    params=GREEDY,
                    priority=Priority.BACKGROUND,
                    conversation=self._conversation,
                )
                engine.prefill(request)

        start_worker(work, "jupyter-llm-ghost-ahead")

    def _written(self, run: GhostRun, document: Document, request: GhostRequest) -> GhostEnd:
        engine = self._engine_of()
        if engine is None:
            return GhostEnd(reason=NO_MODEL)
        prompt_with = self._prompt_at(engine, document, request) if _is_wanted(request) else None
        if prompt_with is None:
            return GhostEnd()
        suggester = Suggester(engine, run, request, prompt_with, dict(self._namespace()))
        return GhostEnd(_items(suggester, run, request.num_items, self._conversation))

    def _prompt_at(
        self, engine: Engine, document: Document, request: GhostRequest
    ) -> Callable[[str], GhostPrompt] | None:
        """The prompt, when some text has been added; None where a model may not look."""
        cells = self._cells_above(document, request.cell_id)
        cell = CellText.of(request.kind, request.prefix, request.suffix)
        if cells is None or cell is None:
            return None
        writer = PromptWriter(engine.info)
        visit = self._visit_of(writer, cells, request.cell_id, cell)
        return partial(writer.write, writer.above(cells), cell, visit)

    def _cells_above(self, document: Document, cell_id: str) -> list[DocumentCell] | None:
        """The cells above one that a model may see; None if it may not see that one."""
        snapshot = self._timeline.snapshot()
        hidden = {run.cell_id for run in snapshot.cells if snapshot.is_hidden(run)}
        hidden |= {cell.cell_id for cell in document.cells if cell.is_off}
        if cell_id in hidden:
            return None
        return [cell for cell in document.above(cell_id) if cell.cell_id not in hidden]

    def _visit_of(
        self, writer: PromptWriter, cells: Sequence[DocumentCell], cell_id: str, cell: CellText
    ) -> Visit:
        """What stays the same of the prompts for a cell while somebody writes there."""
        fixed, suffix = writer.fixed(cell)
        visit = self._visit
        if visit is None or visit.cell_id != cell_id:
            # The variables of the cell itself come first, then those of the nearest.
            near = [one for one in reversed(cells[-_NEAR:]) if one.kind == "code"]
            sources = [cell.prefix + cell.suffix, *map(told_source, near)]
            names = told_names(sources, self._namespace()) if cell.kind == "code" else ""
            visit = Visit(cell_id, names, fixed, suffix)
        elif visit.suffix != suffix or not fixed.startswith(visit.above):
            visit = replace(visit, above=fixed, suffix=suffix)
        self._visit = visit
        return visit


def _is_wanted(request: GhostRequest) -> bool:
    if len(request.prefix) + len(request.suffix) > _MAX_CELL:
        return False
    # Within a word nothing fits that does not change the word.
    if re.search(r"\w\Z", request.prefix) and re.match(r"\w", request.suffix):
        return False
    magic, _, _ = split_cell_magic(request.prefix)
    return request.is_invoked or (request.kind == "code" and magic != "llm")


def _items(
    suggester: Suggester, run: GhostRun, num_items: int, conversation: str
) -> tuple[GhostItem, ...]:
    """Let all suggestions be written: the likeliest first, and others that differ from it."""
    items = [GhostItem() for _ in range(max(num_items, 1))]
    others: list[threading.Thread] = []

    def other(number: int) -> None:
        with suppress(JupyterLLMError):  # there is the first one
            items[number] = suggester.write(replace(VARIED, seed=number))

    def begin_others() -> None:
        if others or run.is_cancelled:
            return
        for number in range(1, len(items)):  # they share what the first one has read
            name = f"jupyter-llm-ghost-{number}"
            others.append(threading.Thread(target=other, args=(number,), name=name, daemon=True))
            others[-1].start()

    items[0] = suggester.write(GREEDY, conversation, at_first=begin_others)
    begin_others()
    told = {""}
    for number in range(len(items)):
        for thread in others[number - 1 : number]:
            thread.join()
        if items[number].text in told:
            items[number] = replace(items[number], text="")
        told.add(items[number].text)
        run.tell(GhostText(number, items[number].text, is_final=True))
    return tuple(items)
