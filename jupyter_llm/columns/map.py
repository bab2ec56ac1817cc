"""One prompt for every row of a column: asked in bulk, kept when done, returned in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any, Literal, Unpack, get_args

from jupyter_llm.ask.answer import ShapedAnswer
from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.many import answered, check_count
from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.ask.question import PromptOptions, Question, ShapeOptions
from jupyter_llm.ask.shape import Shape
from jupyter_llm.columns import kept
from jupyter_llm.columns.tables import Rows, free_name, rows_of
from jupyter_llm.common.bars import ShowProgress, Step, note, showing
from jupyter_llm.common.tables import count_of, duration
from jupyter_llm.engine.base import BulkEngine, Stream
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted, ShapeError
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import (
    EngineClosedError,
    JupyterLLMError,
    ModelFileError,
    OptionError,
    ServerError,
)

OnError = Literal["raise", "null"]


@dataclass(frozen=True, slots=True)
class Cell:
    """The result of a row: a value with its probability, or an error; empty for a missing row."""

    value: Any = None
    confidence: Any = None
    error: JupyterLLMError | None = None


class ColumnOptions(PromptOptions, total=False):
    """The options of any column; see `LLM.map`."""

    on_error: OnError
    keep: bool
    client: Any
    show_progress: ShowProgress | None


class MapOptions(ShapeOptions, ColumnOptions, total=False):
    """The options of `LLM.map`; `params` are the sampling options as one value."""

    confidence: bool
    limit: int | None
    params: SamplingParams | None


class RowOptions(MapOptions, total=False):
    """The options of `map_rows`: also turns `before` each prompt, and what becomes of the cells."""

    before: tuple[Message, ...]
    finish: Callable[[Rows, list[Cell]], Any] | None
    place: Callable[[int], str]


_OF_PROMPTS = ("model", "system", "raw", "before", "params", "retries")
_OF_CALLS = ("limit", "on_error", "confidence", "finish", "place")
MOST_ROWS = 10_000  # that are sorted at a time
_MOST_CHARS = 8 << 20  # of their prompts
_MOST_KNOWN = 100_000  # prompts that are compared with later rows
_FATAL = (EngineClosedError, ModelFileError)  # no other row would be answered
_NO_SERVER = (0, 401, 403, 404)  # unreachable, or it refuses the key


@dataclass(slots=True, eq=False)
class _Open:
    """Rows with one prompt, which is asked once, and the answer."""

    prompt: str
    question: Question[Any]
    secret: bytes
    rows: list[int] = field(default_factory=list)
    is_again: bool = False  # whether an answer was refused
    answer: ShapedAnswer[Any] | None = None  # while it is judged
    judging: list[Stream] = field(default_factory=list)


@dataclass(kw_only=True)
class _Column:
    """Asks an engine about rows: `cells` are their results, in order; None for a row to come.

    Equal prompts are asked once, sorted so that neighbours share their beginnings. A bounded number
    of prompts is in memory, however many there are, and of an answer only its result.
    """

    engine: BulkEngine
    question: Question[Any]
    count: int | None
    store: PromptStore | None
    is_judged: bool
    tell: ShowProgress

    cells: list[Cell | None] = field(default_factory=list, init=False)
    _num_done: int = field(default=0, init=False)  # rows
    _num_new: int = field(default=0, init=False)  # rows that were not kept
    _firsts: dict[bytes, int] = field(default_factory=dict, init=False)  # rows by their secrets

    def run(self, prompts: Iterable[str | None]) -> list[Cell | None]:
        """Ask about all rows whose answers are not kept, and return the cells.

        Raises
        ------
        PromptInterrupted, EngineClosedError, ModelFileError, ServerError
            The results so far are in `cells`, and their answers are kept.
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
            message = f"stopped after {self._how_far}, which are {then}."
            message = message if self._num_done else "stopped before the first row."
            raise PromptInterrupted(said=message) from None
        return self.cells

    @property
    def seconds_a_row(self) -> float | None:
        """The mean seconds of a row whose answer was not kept; None if there was none."""
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
        """Yield new prompts with their rows, for a bounded number of rows at a time."""
        part: dict[bytes, _Open] = {}
        num_chars = 0
        for row, prompt in enumerate(prompts):
            self.cells.append(None)
            if prompt is None:
                self._fill([row], Cell())
                continue
            try:
                # A seed of its own, by its prompt: rows are drawn independently, in any order.
                digest = sha256(prompt.encode("utf-8", "surrogatepass")).digest()
                params = self.question.params.counted_on(int.from_bytes(digest[:8]))
                question = replace(self.question, prompt=prompt, params=params).bound()
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
        """Yield prompts without a kept answer, or not judged yet; similar ones are neighbours."""
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
        """Store the outcome of a request, and return the stream that judges it, if there is one."""
        if isinstance(outcome, ServerError) and outcome.status in _NO_SERVER:
            raise outcome
        if isinstance(outcome, _FATAL):
            raise outcome
        if self.cells[same.rows[0]] is not None:  # the same outcome comes twice after an interrupt
            return None
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            if same.answer is not None:
                return self._judge(same, same.answer)
            self._num_new += 0 if same.is_again else len(same.rows)
            return self._take(same, outcome)
        except JupyterLLMError as error:
            # Without a traceback, which holds what was going on.
            self._fill(same.rows, Cell(error=error.with_traceback(None)))
            return None

    def _take(
        self, same: _Open, completion: Completion, known: kept.KeptAnswer | None = None
    ) -> Stream | None:
        try:
            answer = same.question.answer(completion, self.engine)
        except ShapeError as error:
            if known is not None:  # the row is asked anew, like one without a stored answer
                raise
            same.question, same.is_again = same.question.again(error), True
            return ask(self.engine, same.question.request, "row")
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
        """Return the next stream that judges a field; after the last one, fill the rows."""
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


def map_rows(
    current: CurrentEngine,
    store: PromptStore,
    items: Any,
    template: str,
    **options: Unpack[RowOptions],
) -> Any:
    """Ask about every row; see `LLM.map`.

    `current` loads the model, and `store` knows whose kept answers they are.
    """
    show_progress = options.pop("show_progress", None)
    with showing(show_progress) as tell:
        column, estimate = _MapCall.of(current, store, items, template, options).run(tell)
    note(estimate, show_progress)
    return column


async def amap_rows(
    current: CurrentEngine,
    store: PromptStore,
    items: Any,
    template: str,
    **options: Unpack[RowOptions],
) -> Any:
    """Do what `map_rows` does on another thread; cancelling the task stops it."""
    import asyncio

    show_progress = options.pop("show_progress", None)
    loop, is_over = asyncio.get_running_loop(), threading.Event()
    with showing(show_progress) as show:

        def tell(step: Step) -> None:
            if is_over.is_set() or not threading.main_thread().is_alive():
                raise KeyboardInterrupt
            loop.call_soon_threadsafe(show, step)

        def work() -> tuple[Any, str]:
            return _MapCall.of(current, store, items, template, options).run(tell)

        try:
            column, estimate = await asyncio.to_thread(work)
        finally:
            is_over.set()
    note(estimate, show_progress)
    return column


def placed(current: CurrentEngine, client: Any) -> Callable[..., BulkEngine]:
    """Return the loader of models: in this kernel, or on the cluster of a client."""
    return current.get if client is None else partial(current.on_cluster, client)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MapCall:
    """One question about every row, with checked options.

    `load` loads the model by its name. `store`: None keeps no answers. `count`: the number of rows
    to ask about, None if it is unknown. `finish` makes the result from the rows and their cells.
    `place` names the row that failed.
    """

    load: Callable[..., BulkEngine]
    store: PromptStore | None
    rows: Rows
    template: str
    question: Question[Any]
    count: int | None
    limit: int | None = None
    on_error: OnError = "raise"
    confidence: bool = False
    finish: Callable[[Rows, list[Cell]], Any] | None = None
    place: Callable[[int], str] = "at index {}".format

    @classmethod
    def of(
        cls,
        current: CurrentEngine,
        store: PromptStore,
        items: Any,
        template: str,
        options: RowOptions,
    ) -> _MapCall:
        """Check the options, and read what the rows are."""
        given: dict[str, Any] = dict(options)
        own = {name: given.pop(name) for name in _OF_CALLS if name in given}
        is_kept, client = given.pop("keep", True), given.pop("client", None)
        if given.get("params") is None:
            given.pop("params", None)
        question: Question[Any] = Question.of(template, given, _OF_PROMPTS)
        rows = rows_of(items)
        count = rows.count
        if (limit := own.get("limit")) is not None:
            check_count("limit", limit)
            count = None if count is None else min(count, limit)
        return cls(
            load=placed(current, client),
            store=store if is_kept else None,
            rows=rows,
            template=template,
            question=replace(question, origin="row"),
            count=count,
            **own,
        )

    def __post_init__(self) -> None:
        """Refuse options that do not go with each other."""
        if self.on_error not in get_args(OnError):
            raise OptionError(f'on_error must be "raise" or "null", not {self.on_error!r}.')
        if self.confidence and self.question.shape is None:
            raise OptionError("confidence=True is for answers with a shape, such as choices=[…].")

    def run(self, tell: ShowProgress) -> tuple[Any, str]:
        """Ask for the rows whose answers are not kept.

        Return the result, and with a limit how long all rows would take.
        """
        prompts: Any = islice(self.rows.prompts(self.template), self.limit)
        if self.count == 0:
            return self._result([]), ""
        column = _Column(
            engine=self.load(self.question.model, show=tell),
            question=self.question,
            count=self.count,
            store=self.store,
            is_judged=self.confidence,
            tell=tell,
        )
        cells = column.cells
        try:
            column.run(prompts)
        except PromptInterrupted as interrupted:
            interrupted.best = self._result(cells)
            raise
        self._check(cells)
        return self._result(cells), self._estimate(column)

    def _result(self, cells: list[Cell | None]) -> Any:
        rest = [Cell()] * ((self.count or 0) - len(cells))
        whole = [*(one or Cell() for one in cells), *rest]
        if self.finish is not None:
            return self.finish(self.rows, whole)
        has_errors = self.on_error == "null"
        shape = self.question.shape
        return _result(shape, self.rows, whole, confidence=self.confidence, errors=has_errors)

    def _check(self, cells: list[Cell | None]) -> None:
        """Raise `BatchError` if rows failed, unless nulls are to stand for them."""
        errors = {row: one.error for row, one in enumerate(cells) if one and one.error is not None}
        if not errors or self.on_error == "null":
            return
        number, error = next(iter(errors.items()))
        message = (
            f"{len(errors):,} of {count_of(len(cells), 'row')} failed, the first one "
            f"{self.place(number)}: {error} The others are in the exception's best; "
            'on_error="null" puts nulls and the errors beside them.'
        )
        raise BatchError((), errors, best=self._result(cells), said=message)

    def _estimate(self, column: _Column) -> str:
        """Return how long all rows would take, after some of them were asked."""
        if self.limit is None or not (row_s := column.seconds_a_row):
            return ""
        text = f"{count_of(len(column.cells), 'row')} at {1 / row_s:.3g} rows/s"
        if self.rows.count is None:
            return f"{text}."
        return f"{text}: about {duration(self.rows.count * row_s)} for all {self.rows.count:,}."


def _result(
    shape: Shape[Any] | None, rows: Rows, cells: list[Cell], *, confidence: bool, errors: bool
) -> Any:
    """Return the results of the rows, in columns of the same kind as the rows."""
    is_object = shape is not None and rows.source is not None and shape.columns
    names = shape.columns if shape is not None and is_object else ("",)
    columns = {name or "value": [_part(one.value, name) for one in cells] for name in names}
    for name in (shape.choice_fields if is_object else names) if shape and confidence else ():
        parts = [_part(one.confidence, name) for one in cells]
        columns[free_name(f"{name}_confidence".lstrip("_"), columns)] = parts
    if errors:
        messages = [None if one.error is None else str(one.error) for one in cells]
        columns[free_name("error", columns)] = messages
    return rows.frame(columns) if is_object or len(columns) > 1 else rows.column(columns["value"])


def _part(value: Any, name: str) -> Any:
    """Return a field of an object, by its key or attribute; the object, without a name."""
    if not name:
        return value
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
