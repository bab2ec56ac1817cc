"""One prompt for every row of a column: asked in bulk, kept as it is done, back in its order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from jupyter_llm.ask.many import answered, check_count
from jupyter_llm.ask.question import (
    PromptOptions,
    Question,
    ShapeOptions,
    check_ends,
    take_shape,
)
from jupyter_llm.columns import kept
from jupyter_llm.columns.cells import Cell
from jupyter_llm.columns.tables import Rows, free_name, rows_of
from jupyter_llm.common.bars import ShowProgress, Step, note, showing
from jupyter_llm.common.tables import count_of, duration
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, Priority, Request, chat_prompt
from jupyter_llm.errors import (
    EngineClosedError,
    JupyterLLMError,
    ModelFileError,
    OptionError,
    ServerError,
)

if TYPE_CHECKING:
    from jupyter_llm.ask.answer import ShapedAnswer
    from jupyter_llm.ask.prompt_store import PromptStore
    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.engine.base import BulkEngine, Stream
    from jupyter_llm.engine.current import CurrentEngine

OnError = Literal["raise", "null"]


class ColumnOptions(PromptOptions, total=False):
    """What may be said of any column beside its prompt; see `LLM.map`."""

    on_error: OnError
    keep: bool
    client: Any
    show_progress: ShowProgress | None


class MapOptions(ShapeOptions, ColumnOptions, total=False):
    """What may be said of a column with a prompt of its own."""

    confidence: bool
    limit: int | None
    params: SamplingParams | None  # the sampling options as one value


MOST_ROWS = 10_000  # that are put in order at a time
_MOST_CHARS = 8 << 20  # of their prompts
_MOST_KNOWN = 100_000  # prompts of which is known that they were asked
_FATAL = (EngineClosedError, ModelFileError)  # no other row would be answered
_NO_SERVER = (0, 401, 403, 404)  # nor by one that is gone, or lets nobody in


@dataclass(slots=True, eq=False)
class _Open:
    """Rows with one prompt, which is asked once, and what has come of it."""

    prompt: str
    question: Question[Any]
    secret: bytes
    rows: list[int] = field(default_factory=list)
    answer: ShapedAnswer[Any] | None = None  # while it is judged
    judging: list[Stream] = field(default_factory=list)


@dataclass(kw_only=True)
class _Column:
    """Asks an engine for rows: `cells` are what comes of them, in their order; None is not done.

    Equal prompts are asked once, in an order in which they share most. A bounded number of prompts
    is held, however many there are, and of an answer nothing but what is to be known of it.
    """

    engine: BulkEngine
    ask: Callable[[str], Question[Any]]
    count: int | None
    store: PromptStore | None
    is_judged: bool
    tell: ShowProgress

    cells: list[Cell | None] = field(default_factory=list, init=False)
    _num_done: int = field(default=0, init=False)  # rows
    _num_new: int = field(default=0, init=False)  # rows that were not kept
    _firsts: dict[bytes, int] = field(default_factory=dict, init=False)  # rows by their secrets

    def run(self, prompts: Iterable[str | None]) -> list[Cell | None]:
        """Ask for all rows that are not kept, and return the cells.

        Raises
        ------
        PromptInterrupted, EngineClosedError, ModelFileError, ServerError
            What is done by then is in `cells`, and kept.
        """
        from jupyter_llm.models.fingerprint import FileState

        try:
            info = self.engine.info
            model = info.identity or FileState.of(info.path).key
        except OSError:  # nobody can tell which one it was, so nothing is kept
            model, self.store = "", None
        try:
            self._began_s = time.monotonic()
            for part in self._parts(prompts, model):
                answered(self.engine, self._requests(part), self._settle, tick=self._tick)
        except KeyboardInterrupt:
            then = "kept: run the same again to go on" if self.store else "in the exception's best"
            said = f"stopped after {self._how_far}, which are {then}."
            said = said if self._num_done else "stopped before the first row."
            raise PromptInterrupted(said=said) from None
        return self.cells

    @property
    def seconds_a_row(self) -> float | None:
        """How long a row takes that is not kept, all in all; None if there was none."""
        return (time.monotonic() - self._began_s) / self._num_new if self._num_new else None

    @property
    def _how_far(self) -> str:
        if self.count is None:
            return count_of(self._num_done, "row")
        return f"{self._num_done:,} of {self.count:,} rows"

    def _tick(self) -> None:
        text, count, row_s = self._how_far, self.count, self.seconds_a_row
        if host := self.engine.info.host:
            text += f", sent to {host}"
        if row_s:
            text += f", {1 / row_s:.3g} rows/s"
        if row_s and count is not None:
            text += f", {duration((count - self._num_done) * row_s)} left"
        self.tell(Step(text, self._num_done / count if count else None))

    def _parts(self, prompts: Iterable[str | None], model: str) -> Iterator[Iterable[_Open]]:
        """Yield what was not asked before, of some rows at a time."""
        part: dict[bytes, _Open] = {}
        num_chars = 0
        for row, prompt in enumerate(prompts):
            self.cells.append(None)
            if prompt is None:
                self._fill([row], Cell())
                continue
            try:
                question = self.ask(prompt)
            except JupyterLLMError as error:
                self._fill([row], Cell(error=error.with_traceback(None)))
                continue
            secret = kept.secret_of(question.request, model)
            if (cell := self.cells[self._firsts.setdefault(secret, row)]) is not None:
                self._fill([row], cell)
                continue
            part.setdefault(secret, _Open(prompt, question, secret)).rows.append(row)
            num_chars += len(prompt)
            if len(part) >= MOST_ROWS or num_chars >= _MOST_CHARS:
                yield part.values()
                part, num_chars = {}, 0
                while len(self._firsts) > _MOST_KNOWN:
                    del self._firsts[next(iter(self._firsts))]
        yield part.values()

    def _requests(self, some: Iterable[_Open]) -> Iterator[tuple[_Open, Request | Stream]]:
        """Yield what is not kept, or still to be judged; those that begin alike stand together."""
        part = sorted(some, key=lambda same: same.prompt)
        found = kept.find([same.secret for same in part]) if self.store is not None else {}
        for same in part:
            if (known := found.get(same.secret)) is not None:
                completion = known.completion(self.engine.info.name)
                with suppress(JupyterLLMError):  # or it is no answer any more
                    if (stream := self._take(same, completion, known)) is not None:
                        yield same, stream
        for same in part:
            if same.answer is None and self.cells[same.rows[0]] is None:
                yield same, same.question.request

    def _settle(self, same: _Open, outcome: Completion | JupyterLLMError) -> Stream | None:
        """Take in what a request came to, and return what is to be known of it yet."""
        if isinstance(outcome, ServerError) and outcome.status in _NO_SERVER:
            raise outcome
        if isinstance(outcome, _FATAL):
            raise outcome
        if self.cells[same.rows[0]] is not None:  # it is told once more
            return None
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            if same.answer is not None:
                return self._judge(same, same.answer)
            self._num_new += len(same.rows)
            return self._take(same, outcome)
        except JupyterLLMError as error:
            # Without a traceback, which holds what was going on.
            self._fill(same.rows, Cell(error=error.with_traceback(None)))
            return None

    def _take(
        self, same: _Open, completion: Completion, known: kept.KeptAnswer | None = None
    ) -> Stream | None:
        answer = same.question.answer(completion, self.engine)
        if known is None:
            self._keep(same, completion)
        confidence = known.confidence if known is not None else None
        if isinstance(answer, Completion):
            self._fill(same.rows, Cell(answer.text))
        elif completion.choice is not None:
            self._fill(same.rows, Cell(answer.value, answer.confidence))
        elif self.is_judged and confidence is None:
            same.answer, same.judging = answer, [*answer.judged.values()]
            return self._judge(same, answer)
        else:
            self._fill(same.rows, Cell(answer.value, confidence))
        return None

    def _judge(self, same: _Open, answer: ShapedAnswer[Any]) -> Stream | None:
        """Wait for how likely each field was; with the last one the rows are done."""
        if same.judging:
            return same.judging.pop()
        self._keep(same, answer.completion, answer.confidence)
        self._fill(same.rows, Cell(answer.value, answer.confidence))
        same.answer = None  # which is held no longer than it must
        return None

    def _keep(self, same: _Open, done: Completion, confidence: Any = None) -> None:
        if self.store is not None:
            answer = kept.KeptAnswer(done.text, done.reasoning, done.choice, confidence)
            kept.put(same.secret, answer, self.store.owner)

    def _fill(self, rows: Sequence[int], cell: Cell) -> None:
        for row in rows:
            self._num_done += self.cells[row] is None
            self.cells[row] = cell


def map_rows(*call: Any, show_progress: ShowProgress | None = None, **options: Any) -> Any:
    """Ask for a column, telling how far it is; see `_mapped` for what else it takes."""
    with showing(show_progress) as tell:
        column, said = _mapped(*call, tell=tell, **options)
    note(said, show_progress)
    return column


async def amap_rows(*call: Any, show_progress: ShowProgress | None = None, **options: Any) -> Any:
    """What `map_rows` does, while the event loop goes on; cancelling the task stops it."""
    import asyncio

    loop, is_over = asyncio.get_running_loop(), threading.Event()
    with showing(show_progress) as show:

        def tell(step: Step) -> None:
            if is_over.is_set() or not threading.main_thread().is_alive():
                raise KeyboardInterrupt
            loop.call_soon_threadsafe(show, step)

        try:
            column, said = await asyncio.to_thread(_mapped, *call, tell=tell, **options)
        finally:
            is_over.set()
    note(said, show_progress)
    return column


def placed(current: CurrentEngine, client: Any) -> Callable[..., BulkEngine]:
    """What loads a model: here, or on the cluster of a client."""
    return current.get if client is None else partial(current.on_cluster, client)


def _mapped(
    current: CurrentEngine,
    store: PromptStore,
    items: Any,
    template: str,
    *,
    tell: ShowProgress,
    model: str | None = None,
    system: str | None = None,
    raw: bool = False,
    before: tuple[Message, ...] = (),
    params: SamplingParams | None = None,
    on_error: OnError = "raise",
    confidence: bool = False,
    limit: int | None = None,
    keep: bool = True,
    client: Any = None,
    finish: Callable[[Rows, list[Cell]], Any] | None = None,
    place: Callable[[int], str] = "at index {}".format,
    **options: Any,
) -> tuple[Any, str]:
    """Ask for what is not kept; return a value a row, or several, as the rows came.

    `current` loads a model, and `tell` hears how far it is. With a limit, the text says how long
    all rows would take. `finish` makes something else of the cells, and `place` names the row that
    failed.
    """
    shape = take_shape(options)
    params = params or sampling_params(options)  # what is left
    if on_error not in get_args(OnError):
        raise OptionError(f'on_error must be "raise" or "null", not {on_error!r}.')
    if shape is not None:
        check_ends(params)
    elif confidence:
        raise OptionError("confidence=True is for answers with a shape, such as choices=[…].")
    rows = rows_of(items)
    prompts: Any = rows.prompts(template)
    count = rows.count
    if limit is not None:
        prompts = islice(prompts, check_count("limit", limit))
        count = None if count is None else min(count, limit)
    finish = finish or partial(_result, shape, confidence=confidence, errors=on_error == "null")
    cells: list[Cell | None] = []
    said = ""

    def result() -> Any:
        rest = [Cell()] * ((count or 0) - len(cells))
        return finish(rows, [*(one or Cell() for one in cells), *rest])

    def ask(prompt: str) -> Question[Any]:
        """Ask about a row.

        Its seed follows from the prompt and the one given. So rows are drawn independently, and
        each in the same way whatever the others are, which of them are kept, and their order.
        """
        number = int.from_bytes(sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8])
        asked = chat_prompt(prompt, system, raw=raw, before=before)
        counted = params.counted_on(number)
        return Question.of(Request(prompt=asked, params=counted, priority=Priority.BULK), shape)

    if count == 0:
        return result(), ""
    get = placed(current, client)
    column = _Column(
        engine=get(model, show=tell),
        ask=ask,
        count=count,
        store=store if keep else None,
        is_judged=confidence,
        tell=tell,
    )
    cells = column.cells

    try:
        column.run(prompts)
    except PromptInterrupted as interrupted:
        interrupted.best = result()
        raise
    if limit is not None and (row_s := column.seconds_a_row):
        text = f"{count_of(len(cells), 'row')} at {1 / row_s:.3g} rows/s"
        if rows.count is not None:
            text += f": about {duration(rows.count * row_s)} for all {rows.count:,}"
        said = f"{text}."
    errors = {row: one.error for row, one in enumerate(cells) if one and one.error is not None}
    if errors and on_error == "raise":
        number, error = next(iter(errors.items()))
        message = (
            f"{len(errors):,} of {count_of(len(cells), 'row')} failed, the first one "
            f"{place(number)}: {error} The others are in the exception's best; "
            'on_error="null" puts nulls and the errors beside them.'
        )
        raise BatchError((), errors, best=result(), said=message)
    return result(), said


def _result(
    shape: Shape[Any] | None, rows: Rows, cells: list[Cell], *, confidence: bool, errors: bool
) -> Any:
    """What came of the rows, in columns of their own kind."""
    is_object = shape is not None and rows.source is not None and shape.columns
    names = shape.columns if shape is not None and is_object else ("",)
    columns = {name or "value": [_part(one.value, name) for one in cells] for name in names}
    for name in (shape.choice_fields if is_object else names) if shape and confidence else ():
        parts = [_part(one.confidence, name) for one in cells]
        columns[free_name(f"{name}_confidence".lstrip("_"), columns)] = parts
    if errors:
        told = [None if one.error is None else str(one.error) for one in cells]
        columns[free_name("error", columns)] = told
    return rows.frame(columns) if is_object or len(columns) > 1 else rows.column(columns["value"])


def _part(value: Any, name: str) -> Any:
    """A field of an object, whatever it was written as; all of it without a name."""
    if not name:
        return value
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
