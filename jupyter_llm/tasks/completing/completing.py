"""Ghost text for one notebook: what a model would write at the cursor, as it is written.

The front end asks with every key. Each request ends the one before, in the engine too; a model is
never loaded for it. A suggestion is ended in time, and begun again after a wrong name.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from string import ascii_letters, digits
from typing import Any, Final

from jupyter_llm.ask.asking import Origin, ask
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.base import Engine, Stream
from jupyter_llm.engine.completion import Usage
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Priority, RawPrompt, Request
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.document import CellKind, Document, DocumentCell
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.cells.timeline import Timeline
from jupyter_llm.notebook.code.syntax import split_cell_magic
from jupyter_llm.notebook.values.lookups import Names
from jupyter_llm.tasks.completing.ending import MAX_LINES, Ending, language_of
from jupyter_llm.tasks.completing.prompt import (
    CellText,
    GhostPrompt,
    PromptWriter,
    Visit,
    end_of,
    names_comment,
    shown_source,
)

NO_MODEL: Final = "no model loaded"
"""Why there is nothing while no model is resident."""

_NEAR: Final = 3  # cells above whose variables are included
_MAX_CELL: Final = 40_000  # characters; more take long to parse, for which all threads wait
_MAX_TOKENS: Final = 64  # and more where many lines are wanted
_LINE_TOKENS: Final = 8  # more or less

GREEDY: Final = SamplingParams(temperature=0, repeat_penalty=1, max_tokens=_MAX_TOKENS, exact=False)
"""How the first suggestion is drawn; not in the exact lane, which would read all again."""

VARIED: Final = replace(GREEDY, temperature=0.7, top_k=0, top_p=0.95, min_p=0.05)
"""How others are drawn, with a seed each."""

_MAX_SEEN: Final = 20_000  # characters
_MAX_TRIES: Final = 4  # after names that do not exist
# What statements begin with: no comment, which small models go on about, and no blank line.
_STARTS: Final = tuple(ascii_letters + digits + "_([{\"'-+~*@%!")
_NAME_ENDS: Final = re.compile(r"""\w*["']?\]{0,2}\s*""")


@dataclass(frozen=True, slots=True, kw_only=True)
class GhostRequest:
    """The place of the cursor, and how much is wanted there.

    `prefix` and `suffix`: the cell before and after the cursor. `is_invoked`: the user asked by a
    key, which also works in Markdown and in prompts.
    """

    cell_id: str
    prefix: str
    suffix: str = ""
    kind: CellKind = "code"
    num_items: int = 1
    max_lines: int = MAX_LINES
    is_invoked: bool = False

    @property
    def is_unasked(self) -> bool:
        """Whether nobody typed or pressed a key, as in the empty cell below one that ran."""
        return not (self.is_invoked or self.prefix or self.suffix)


@dataclass(frozen=True, slots=True)
class GhostText:
    """One suggestion as far as it is written, all of it each time; "" when final: none."""

    item: int
    text: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class GhostItem:
    """One suggestion that is finished, and what its last try had read and written."""

    text: str = ""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class GhostEnd:
    """The end of a request that was not cancelled; where there is nothing `reason` may say why."""

    items: tuple[GhostItem, ...] = ()
    reason: str = ""


Tell = Callable[[GhostText | GhostEnd], None]
"""Takes what there is to show; called on any thread."""


class GhostRun:
    """One request on its way."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._streams: list[Stream] = []
        self._lock = threading.Lock()
        self._end = GhostEnd()
        self.is_cancelled = False
        self.has_stopped = threading.Event()  # the model

    def cancel(self) -> None:
        """Tell nothing any more, and let the model stop. Returns at once; from any thread."""
        with self._lock:
            self.is_cancelled = True
            streams = [*self._streams]
        for stream in streams:
            stream.cancel()

    def result(self, timeout_s: float) -> GhostEnd:
        """Wait until the model has stopped; what it wrote until then, also if it was cancelled."""
        self.has_stopped.wait(timeout_s)
        return self._end

    def tell(self, news: GhostText | GhostEnd) -> None:
        """Pass something on, unless nobody wants it any more."""
        if not self.is_cancelled:
            self._tell(news)
        if isinstance(news, GhostEnd):
            self._end = news
            self.has_stopped.set()

    def follow(self, stream: Stream) -> None:
        """Let a stream end with this."""
        with self._lock:
            self._streams.append(stream)
            is_late = self.is_cancelled
        if is_late:
            stream.cancel()


class Suggester:
    """Suggests text at a cursor, by one model.

    `prompt_with` returns the prompt after some text was added at the cursor.
    """

    def __init__(
        self,
        engine: Engine,
        run: GhostRun,
        request: GhostRequest,
        prompt_with: Callable[[str], GhostPrompt],
        namespace: Mapping[str, Any],
    ) -> None:
        self._engine = engine
        self._run = run
        self._origin: Origin = "unasked" if request.is_unasked else "ghost"
        # Of a very long cell the names of its end are looked at.
        self._seen = end_of(request.prefix, _MAX_SEEN)
        self._rest = request.suffix.partition("\n")[0]
        self._prompt_with = prompt_with
        language = language_of(request.prefix) if request.kind == "code" else "text"
        self._names = Names(namespace if language == "python" else {})
        self._ending = Ending(request.prefix, request.suffix, language, max_lines=request.max_lines)
        self._max_tokens = max(_MAX_TOKENS, _LINE_TOKENS * request.max_lines)
        above = request.prefix.rstrip().rpartition("\n")[2]
        deeper = (" ", "\t") if above != above.lstrip() or above.endswith(":") else ()
        others = {name[0] for name in namespace if name and not name[0].isascii()}
        self._starts = (*_STARTS, *deeper, *sorted(others))

    def write(
        self,
        params: SamplingParams,
        conversation: str | None = None,
        *,
        at_first: Callable[[], None] | None = None,
    ) -> GhostItem:
        """Write it to its end.

        The first one is told as far as it can be accepted, and calls `at_first` when the prompt was
        read.
        """
        kept, is_set_next = "", _is_set_next(self._rest)
        usage = Usage()
        for _ in range(_MAX_TRIES):
            openings = self._names.openings(self._seen + kept, is_set_next=is_set_next)
            if openings is None and not kept and self._ending.is_statement_next:
                openings = self._starts
            prompt = self._prompt_with(kept)
            if openings == () or not prompt.parts.text.strip():
                break  # no name that exists can follow
            texts = tuple(prompt.piece + one for one in openings or ("",))
            request = Request(
                prompt=prompt.parts,
                params=replace(params, stop=prompt.stops, max_tokens=self._max_tokens),
                constraint=BeginsWith(texts) if all(texts) else None,
                conversation=conversation,
            )
            stream = ask(self._engine, request, self._origin)
            self._run.follow(stream)
            text, wrong = self._follow(stream, kept, prompt.piece, at_first)
            completion = stream.result()
            usage = completion.usage
            if self._run.is_cancelled:
                return GhostItem("", usage)
            if wrong is None:
                is_torn = completion.finish_reason in ("length", "repetition") or (
                    completion.finish_reason == "cancelled" and self._ending.end_of(text) is None
                )
                text = self._ending.final(text, is_torn=is_torn)
                wrong = self._wrong(text, is_whole=True)
            if wrong is None:
                return GhostItem(text, usage)
            kept, is_set_next = text[:wrong], False
        return GhostItem(self._without_end(kept), usage)

    def _follow(
        self,
        stream: Stream,
        kept: str,
        piece: str,
        at_first: Callable[[], None] | None,
    ) -> tuple[str, int | None]:
        """Read on to the end or to a name that does not exist: all behind what is kept, and where.

        The piece at the cursor is written once more.
        """
        written = ""
        for chunk in stream:
            if at_first is not None:
                at_first()
            written += chunk.text
            text = self._ending.normal(kept + written[len(piece) :])
            wrong = self._wrong(text)
            if wrong is not None or self._ending.end_of(text) is not None:
                stream.cancel()
                return text, wrong
            shown = self._ending.shown(text) if at_first is not None else ""
            if shown and not self._names.is_torn(self._seen + shown):
                self._run.tell(GhostText(0, shown, is_final=False))
        return self._ending.normal(kept + written[len(piece) :]), None

    def _wrong(self, text: str, *, is_whole: bool = False) -> int | None:
        """Return the position of the first name in a text that does not exist, None without one.

        If the text is not whole, its last name may still grow and is not judged.
        """
        whole = self._seen + text + (self._rest if is_whole else "")
        found = self._names.wrong(whole, len(self._seen), is_whole=is_whole)
        if found is None or not text:
            return None
        place = found.start - len(self._seen)
        return max(place, 0) if place < len(text) else None

    def _without_end(self, text: str) -> str:
        """Return a text without its last lines, until it has no unknown name; "" if none remain."""
        while text := self._ending.final(text, is_torn=True):
            if self._wrong(text, is_whole=True) is None:
                break
        return text


def _is_set_next(rest: str) -> bool | None:
    """Whether what follows the cursor on its line sets the name that is written; None: perhaps."""
    after = _NAME_ENDS.sub("", rest, count=1)
    return after.startswith("=") and not after.startswith("==") if after else None


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
        if request.is_unasked and engine.info.host:
            return GhostEnd()  # nothing would end it on a server
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
        if snapshot.is_hidden(cell_id):
            return None
        return [one for one in document.above(cell_id) if not snapshot.is_hidden(one.cell_id)]

    def _visit_of(
        self, writer: PromptWriter, cells: Sequence[DocumentCell], cell_id: str, cell: CellText
    ) -> Visit:
        """Return the fixed parts of the prompts for a cell, while somebody writes there."""
        fixed, suffix = writer.fixed(cell)
        visit = self._visit
        if visit is None or visit.cell_id != cell_id:
            # The variables of the cell itself come first, then those of the nearest.
            near = [one for one in reversed(cells[-_NEAR:]) if one.kind == "code"]
            sources = [cell.prefix + cell.suffix, *map(shown_source, near)]
            names = names_comment(sources, self._namespace()) if cell.kind == "code" else ""
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
    texts = {""}
    for number in range(len(items)):
        for thread in others[number - 1 : number]:
            thread.join()
        if items[number].text in texts:
            items[number] = replace(items[number], text="")
        texts.add(items[number].text)
        run.tell(GhostText(number, items[number].text, is_final=True))
    return tuple(items)
