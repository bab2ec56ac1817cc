"""Code for cells: asks a model for Python, takes the best of a few drafts and makes it parse."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from jupyter_llm.common.bars import TICK_S, Step
from jupyter_llm.engine.completion import Chunk, PromptInterrupted
from jupyter_llm.engine.options import MAX_SEED
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.rendering import shown_name
from jupyter_llm.notebook.code.blocks import code_blocks
from jupyter_llm.notebook.code.layout import without_last_statement
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.notebook.code.repair import repair
from jupyter_llm.notebook.values.secrets import HIDDEN
from jupyter_llm.records.records import landed
from jupyter_llm.tasks.hidden import without_hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from concurrent.futures import Future

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion, Progress
    from jupyter_llm.engine.provenance import Provenance
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.code.blocks import CodeBlock
    from jupyter_llm.notebook.code.landing import CellWriter
    from jupyter_llm.notebook.code.repair import Repaired

ANSWER_PREFIX = "```python\n"
"""What the answer to a request for code begins with, so that code must follow."""

NUM_DRAFTS = 4
_VARIED_TEMPERATURE = 0.7
_END = "\n```"
_CUT_OFF = "# The answer was cut off here."
_INSTRUCTION = "Answer with Python code only, in one code block, without explanations."


def code_prompt(prompt: str) -> str:
    """A prompt that asks for code and nothing else."""
    return f"{prompt.rstrip()}\n\n{_INSTRUCTION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCell:
    """Code that parses, ready to land in a cell.

    `changes` say what was done to what the model wrote. `unknown_names` exist neither in the code
    nor in the namespace, and `missing_modules` are imported but not installed.
    """

    source: str
    changes: tuple[str, ...] = ()
    unknown_names: tuple[str, ...] = ()
    missing_modules: tuple[str, ...] = ()
    is_cut_off: bool = False

    @property
    def landing(self) -> str:
        """The source as it lands, which says so where the end is missing."""
        return f"{self.source}\n{_CUT_OFF}" if self.is_cut_off else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAnswer:
    """The cells that a model wrote; none if there is no code in what it said.

    `completion` is the draft they were made of, as it was drawn, behind `ANSWER_PREFIX`. It is the
    best of `num_drafts`, and `request` is what it answers.
    """

    completion: Completion
    cells: tuple[CodeCell, ...]
    request: Request
    num_drafts: int = 1

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of the cells."""
        return tuple(cell.source for cell in self.cells)

    @property
    def landing(self) -> tuple[str, ...]:
        """The sources as they land."""
        return tuple(cell.landing for cell in self.cells)

    @property
    def source(self) -> str:
        """All cells as one, as they land."""
        return "\n\n".join(self.landing)

    @property
    def unknown_names(self) -> tuple[str, ...]:
        """The names that exist nowhere, over all cells."""
        return _merged(cell.unknown_names for cell in self.cells)

    @property
    def missing_modules(self) -> tuple[str, ...]:
        """The modules that are not installed, over all cells."""
        return _merged(cell.missing_modules for cell in self.cells)

    @property
    def changes(self) -> tuple[str, ...]:
        """What was done to make it parse, over all cells."""
        return _merged(cell.changes for cell in self.cells)

    @property
    def text(self) -> str:
        """The answer as Markdown: its code, or what it is without any."""
        if not self.cells:
            return fenced(self.completion.text)
        return "\n\n".join(fenced(source) for source in self.sources)

    @property
    def note(self) -> str:
        """What the user should know about the code, in one line; "" if nothing."""
        notes = [] if self.cells else ["there is no code in the answer"]
        if self.unknown_names:
            verb = "is" if len(self.unknown_names) == 1 else "are"
            notes.append(f"{_quoted(self.unknown_names)} {verb} defined nowhere")
        if self.missing_modules:
            verb = "is" if len(self.missing_modules) == 1 else "are"
            notes.append(f"{_quoted(self.missing_modules)} {verb} not installed")
        notes += self.changes
        if self.num_drafts > 1:
            notes.append(f"the best of {self.num_drafts} drafts")
        return "; ".join(notes)


def fenced(source: str) -> str:
    """Code as a block of Markdown."""
    marks = "```"
    while marks in source:
        marks += "`"
    return f"{marks}python\n{source}\n{marks}"


def code_cells(
    answer: str, namespace: Container[str] = (), *, is_cut_off: bool = False
) -> tuple[CodeCell, ...]:
    """The code in an answer as cells that parse; several blocks are several cells.

    A cell may use the names that those before it define.
    """
    cells = []
    defined: set[str] = set()
    for block in code_blocks(answer):
        is_open = is_cut_off and not block.is_closed
        repaired = mended(block, is_cut_off=is_open)
        if not repaired.has_code:
            continue
        unknown = unknown_names(repaired.source, namespace)
        cells.append(
            CodeCell(
                source=repaired.source,
                changes=repaired.changes,
                unknown_names=tuple(name for name in unknown if name not in defined),
                missing_modules=missing_modules(repaired.source),
                is_cut_off=is_open and block.language == "python",
            )
        )
        defined |= defined_names(repaired.source)
    return tuple(cells)


def new_cells(cells: Sequence[CodeCell], namespace: Container[str]) -> tuple[CodeCell, ...]:
    """Cells that are to land beside those there are, none of which sets a secret to a mark."""
    found = []
    for cell in cells:
        source, names = without_hidden(cell.source, namespace)
        notes = (
            [f"{_quoted(names)} stays as it is, since the model has not seen it"] if names else []
        )
        if HIDDEN in source:
            notes.append("put in yourself what was hidden from the model")
        if source.strip():
            found.append(replace(cell, source=source, changes=(*cell.changes, *notes)))
    return tuple(found)


def mended(block: CodeBlock, *, is_cut_off: bool) -> Repaired:
    """A block as code that parses; of one that was cut off, without a last statement that is torn.

    It might parse as it is: the `plt` that was to become `plt.show()`.
    """
    if is_cut_off and block.is_torn:
        shorter = repair(without_last_statement(block.source))
        if shorter.has_code:
            return replace(shorter, changes=(*shorter.changes, "left out the unfinished end"))
    return repair(block.source, is_cut_off=is_cut_off)


def land(
    writer: CellWriter, sources: Sequence[str], completion: Completion | None, *, in_place: bool
) -> tuple[str, list[Provenance]]:
    """Put code into cells, marked if a model wrote it; return where they are and their records."""
    cells = [marked(source, completion) for source in sources]
    records = [record for _, record in cells if record is not None]
    metadata = [record.to_metadata() for record in records]  # of all, or there are none
    place = writer.write([source for source, _ in cells], replace=in_place, metadata=metadata)
    return place, records


def change(
    writer: CellWriter, cell: CellEvent, source: str, completion: Completion | None
) -> tuple[str, list[Provenance]]:
    """Put code in the place of a cell that ran, or below where that cannot be."""
    text, record = marked(source, completion)
    metadata = record.to_metadata() if record is not None else {}
    name = shown_name(cell)
    if writer.change(cell.cell_id, cell.source, text, metadata):
        place = f"{name} is changed; run it again"
    else:
        below = writer.write([text], metadata=[metadata])
        place = f"{name} cannot be changed from here, or is another by now, so {below}"
    return place, [record] if record is not None else []


def marked(source: str, completion: Completion | None) -> tuple[str, Provenance | None]:
    """Code out of an answer as a cell holds it, with the line that says whose it is.

    Without a record of the answer there is no such line, and no record of the code; nor where no
    model wrote it.
    """
    made = completion.provenance if completion is not None else None
    if made is None:
        return source, None
    record = landed(made, source)
    return mark(source, record.model.name, record.record_id), record


def write_code(
    engine: Engine,
    request: Request,
    namespace: Container[str] = (),
    *,
    begin: str = "",
    unlike: str | None = None,
    num_drafts: int = NUM_DRAFTS,
    show: Callable[[Stream], Completion] = lambda stream: stream.result(),
    show_progress: ShowProgress | None = None,
) -> CodeAnswer:
    """Let a model write code for a cell.

    The answer begins with a fence of Python and ends where that is closed. With `begin` that much
    of the code is given: the cells have it too, but a draft that adds nothing has none. If the
    first draft does not parse, uses names that exist nowhere or is what it should be `unlike`, more
    are drawn and the best is taken: one that parses, with the fewest such names, of which most can
    be kept. What does not parse is repaired.
    Of the namespace only the names are looked at. With a seed the drafts count on from it.
    Where the request leaves the temperature to the model, the first draft is drawn as code should
    be, and the others vary more.

    `show` is given the stream of the first draft, to read it to its end, and `show_progress` is
    told which of the others is being written.

    Raises
    ------
    PromptInterrupted
        The user interrupted; it holds the first draft as far as it was written.
    """
    asked = request.params
    params = asked.filled(engine.info.sampling.for_code)
    request = replace(
        request,
        params=replace(params, stop=(*params.stop, _END)),
        answer_prefix=ANSWER_PREFIX + begin,
    )
    stream = engine.submit(request)
    with stream:
        show(_FencedStream(stream))
        first = stream.result()
    answers = [_read(first, request, namespace)]
    is_settled = first.finish_reason == "cancelled" or params.temperature == 0
    if not is_settled and not _is_good(answers[0], unlike):
        try:
            again = request if asked.temperature is not None else _varied(request)
            answers += _more(engine, again, num_drafts - 1, namespace, show_progress, unlike)
        except KeyboardInterrupt:
            raise PromptInterrupted(_in_fence(first)) from None
    best = max(answers, key=lambda answer: _merit(answer, unlike))  # of equals the earliest
    return replace(best, num_drafts=len(answers))


def _more(
    engine: Engine,
    request: Request,
    count: int,
    namespace: Container[str],
    show_progress: ShowProgress | None,
    unlike: str | None,
) -> Iterator[CodeAnswer]:
    """Yield more drafts in the order of their seeds, up to the first good one.

    Those that fail are left out, since there is a draft already.
    """
    streams: list[tuple[Request, Stream]] = []
    try:
        for number in range(1, count + 1):
            again = _reseeded(request, number)
            with suppress(JupyterLLMError):
                streams.append((again, engine.submit(again)))
        for number, (again, stream) in enumerate(streams, 2):
            with suppress(JupyterLLMError):
                for _ in stream.chunks(TICK_S):
                    if show_progress is not None:
                        show_progress(Step(f"Draft {number} of {count + 1}"))
                answer = _read(stream.result(), again, namespace)
                yield answer
                if _is_good(answer, unlike):
                    return
    finally:
        for _request, stream in streams:
            stream.cancel()


def _varied(request: Request) -> Request:
    """A request for a draft that is to be unlike the first one."""
    params = request.params
    temperature = max(params.temperature or 0, _VARIED_TEMPERATURE)
    return replace(request, params=replace(params, temperature=temperature))


def _reseeded(request: Request, number: int) -> Request:
    params = request.params
    if params.seed is not None:
        params = replace(params, seed=(params.seed + number) % (MAX_SEED + 1))
    return replace(request, params=params, conversation=None)


def _read(completion: Completion, request: Request, namespace: Container[str]) -> CodeAnswer:
    is_cut_off = completion.finish_reason != "stop"
    said = completion.message.content  # what it said over and over, once
    is_more = bool(said.strip()) or request.answer_prefix == ANSWER_PREFIX
    text = request.answer_prefix + said
    return CodeAnswer(
        completion=completion,
        cells=code_cells(text, namespace, is_cut_off=is_cut_off) if is_more else (),
        request=request,
    )


def _is_good(answer: CodeAnswer, unlike: str | None) -> bool:
    is_clean = bool(answer.cells) and not answer.changes and not answer.unknown_names
    return is_clean and not _is_like(answer, unlike)


def _is_like(answer: CodeAnswer, source: str | None) -> bool:
    return source is not None and answer.source.split() == source.split()


def _merit(answer: CodeAnswer, unlike: str | None) -> tuple[bool, bool, bool, int, bool, float]:
    num_unknown = len(answer.unknown_names) + len(answer.missing_modules)
    num_kept = sum(map(_num_code, answer.sources))
    return (
        bool(answer.cells),
        not _is_like(answer, unlike),
        not answer.changes,
        -num_unknown,
        answer.completion.finish_reason == "stop",
        num_kept / max(_num_code(answer.completion.text), 1),
    )


def _num_code(source: str) -> int:
    """Count the lines that hold code."""
    lines = map(str.strip, source.split("\n"))
    return sum(bool(line) and not line.startswith("#") for line in lines)


def _merged(groups: Iterator[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for group in groups for item in group))


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _in_fence(completion: Completion) -> Completion:
    return replace(completion, text=fenced(completion.text), token_ids=None)


class _FencedStream:
    """The stream of an answer that was opened with a fence, as Markdown with it; see `Stream`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def future(self) -> Future[Completion]:
        return self._stream.future

    @property
    def written(self) -> str:
        return ANSWER_PREFIX + written if (written := self._stream.written) else ""

    @property
    def progress(self) -> Progress:
        return self._stream.progress

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    def chunks(self, tick_s: float | None = None) -> Iterator[Chunk]:
        has_begun = False
        try:
            for chunk in self._stream.chunks(tick_s):
                if chunk.text and not has_begun:
                    yield Chunk(ANSWER_PREFIX)
                    has_begun = True
                yield chunk
        except PromptInterrupted:
            raise self.interrupt() from None

    def cancel(self) -> None:
        self._stream.cancel()

    def interrupt(self) -> PromptInterrupted:
        completion = self._stream.interrupt().completion
        return PromptInterrupted(completion and _in_fence(completion))

    def result(self, timeout: float | None = None) -> Completion:
        try:
            return _in_fence(self._stream.result(timeout))
        except PromptInterrupted:
            raise self.interrupt() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()
