"""One prompt for every row of a column: asked in bulk, kept as it is done, back in its order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, get_args

from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, note, showing
from jupyter_llm.common.tables import count_of, duration
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, Priority, Request, chat_prompt
from jupyter_llm.errors import EngineClosedError, JupyterLLMError, ModelFileError, OptionError
from jupyter_llm.structured.asking import (
    PromptOptions,
    Question,
    ShapeOptions,
    check_ends,
    take_shape,
)
from jupyter_llm.structured.batch import answered, check_count
from jupyter_llm.structured.calibration import calibrate as calibrate_all
from jupyter_llm.structured.cascade import Cascade, Cell, cascaded
from jupyter_llm.structured.kept import KeptAnswer, KeptAnswers, secret_of
from jupyter_llm.structured.rows import Template
from jupyter_llm.structured.tables import Rows, free_name, rows_of

if TYPE_CHECKING:
    from jupyter_llm.engine.base import Engine
    from jupyter_llm.structured.answer import ShapedAnswer
    from jupyter_llm.structured.shape import Shape

OnError = Literal["raise", "null"]


class ColumnOptions(PromptOptions, total=False):
    """What may be said of any column beside its prompt; see `LLM.map`."""

    on_error: OnError
    keep: bool
    check: str | None
    agreement: float
    calibrate: bool
    client: Any
    show_progress: ShowProgress | None


class MapOptions(ShapeOptions, ColumnOptions, total=False):
    """What may be said of a column with a prompt of its own."""

    confidence: bool
    limit: int | None


_MOST_ROWS = 10_000  # that are put in order at a time
_MOST_CHARS = 8 << 20  # of their prompts
_MOST_KNOWN = 100_000  # prompts of which is known that they were asked
_MOST_JUDGED = 64  # answers, each with a request a field
_FATAL = (EngineClosedError, ModelFileError)  # no other row would be answered


class ColumnError(BatchError):
    """Some rows failed, the others were answered, and are kept if any are.

    `column` is what would have come, with nulls where rows failed; `errors` say why, by the row's
    number from 0 on.
    """

    def __init__(self, message: str, column: object, errors: dict[int, JupyterLLMError]) -> None:
        super().__init__((), errors)
        self.args = (message,)
        self.column = column


@dataclass(frozen=True, slots=True)
class _Open:
    """Rows with one prompt, which is asked once."""

    prompt: str
    question: Question[Any]
    secret: bytes
    rows: list[int]


@dataclass(kw_only=True)
class _Column:
    """Asks an engine for rows: `cells` are what comes of them, in their order; None is not done.

    Equal prompts are asked once, in an order in which they share most. A bounded number of prompts
    is held, however many there are, and of an answer nothing but what is to be known of it.
    """

    engine: Engine
    prompts: Iterable[str | None]
    count: int | None
    shape: Shape[Any] | None
    params: SamplingParams
    system: str | None
    raw: bool
    before: tuple[Message, ...]
    kept: KeptAnswers | None
    is_judged: bool
    tell: ShowProgress

    cells: list[Cell | None] = field(default_factory=list, init=False)
    _num_done: int = field(default=0, init=False)  # rows
    _num_new: int = field(default=0, init=False)  # rows that were not kept
    _open: dict[int, _Open] = field(default_factory=dict, init=False)  # by their first row
    _firsts: dict[bytes, int] = field(default_factory=dict, init=False)  # rows by their secrets
    _judging: dict[int, tuple[_Open, KeptAnswer, ShapedAnswer[Any]]] = field(
        default_factory=dict, init=False
    )

    def run(self) -> None:
        """Ask for all rows that are not kept.

        Raises
        ------
        PromptInterrupted, EngineClosedError, ModelFileError
            What is done by then is in `cells`, and kept.
        """
        from jupyter_llm.models.fingerprint import file_sha256

        def look(share: float) -> bool:
            self.tell(Step("Looking which model it is", share))
            return True

        try:
            try:
                model_sha256 = file_sha256(self.engine.info.path, on_progress=look)
            except ModelFileError:  # nobody can tell, so nothing is kept
                model_sha256, self.kept = "", None
            self._began_s = time.monotonic()
            answered(self.engine, self._requests(model_sha256), self._settle, tick=self._tick)
            self._judge(most=0)
        except KeyboardInterrupt:
            self._judge(most=len(self._judging))
            self._judging.clear()  # what is written is kept, and judged the next time
            raise PromptInterrupted(said=self._stopped) from None

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
        """Say how far it is, and wait where too much is to be judged."""
        text, count, row_s = self._how_far, self.count, self.seconds_a_row
        if row_s:
            text += f", {1 / row_s:.3g} rows/s"
        if row_s and count is not None:
            text += f", {duration((count - self._num_done) * row_s)} left"
        self.tell(Step(text, self._num_done / count if count else None))
        self._judge(most=_MOST_JUDGED)

    @property
    def _stopped(self) -> str:
        if not self._num_done:
            return "stopped before the first row."
        then = "kept: run the same again to go on" if self.kept else "in the exception's best"
        return f"stopped after {self._how_far}, which are {then}."

    def _requests(self, model_sha256: str) -> Iterator[tuple[int, Request]]:
        """Yield what is not kept; of some rows at a time those that begin alike stand together."""
        for some in self._parts(model_sha256):
            secrets = [same.secret for same in some]
            kept = self.kept.find(secrets) if self.kept is not None else {}
            left = []
            for same in some:
                try:
                    known = kept[same.secret]
                    completion = known.completion(same.question.request, self.engine.info.name)
                    self._take(same, completion, known)
                except (KeyError, JupyterLLMError):  # or it is no answer any more
                    left.append(same)
                self._judge(most=_MOST_JUDGED)
            for same in sorted(left, key=lambda same: same.prompt):
                yield same.rows[0], same.question.request

    def _parts(self, model_sha256: str) -> Iterator[list[_Open]]:
        """Yield the prompts that were not asked before, as many as are put in order together."""
        key = "" if self.shape is None else self.shape.key
        some: list[_Open] = []
        num_chars = 0
        for row, prompt in enumerate(self.prompts):
            self.cells.append(None)
            if prompt is None:
                self._fill([row], Cell())
                continue
            try:
                question = self._question(prompt)
            except JupyterLLMError as error:
                self._fill([row], Cell(error=error))
                continue
            secret = secret_of(question.request, model_sha256, key)
            first = self._firsts.setdefault(secret, row)
            if (cell := self.cells[first]) is not None:
                self._fill([row], cell)
            elif first != row:
                self._open[first].rows.append(row)
            else:
                if len(self._firsts) > _MOST_KNOWN:
                    del self._firsts[next(iter(self._firsts))]
                self._open[row] = _Open(prompt, question, secret, [row])
                some.append(self._open[row])
                num_chars += len(prompt)
            if len(some) >= _MOST_ROWS or num_chars >= _MOST_CHARS:
                yield some
                some, num_chars = [], 0
        yield some

    def _question(self, prompt: str) -> Question[Any]:
        """The question of a row.

        Its seed follows from the prompt and the one given. So rows are drawn independently, and
        each in the same way whatever the others are, which of them are kept, and their order.
        """
        params = self.params
        if params.seed is not None:
            number = int.from_bytes(sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8])
            params = params.counted_on(number)
        whole = chat_prompt(prompt, self.system, raw=self.raw, before=self.before)
        request = Request(prompt=whole, params=params, priority=Priority.BULK)
        return Question.of(request, self.shape)

    def _settle(self, row: int, outcome: Completion | JupyterLLMError) -> None:
        """Take in what a request came to; may be told of it twice."""
        if isinstance(outcome, _FATAL):
            raise outcome
        if (same := self._open.get(row)) is None:
            return
        self._num_new += len(same.rows)
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            self._take(same, outcome)
        except JupyterLLMError as error:
            self._fill(same.rows, Cell(error=error))

    def _take(self, same: _Open, completion: Completion, known: KeptAnswer | None = None) -> None:
        answer = same.question.answer(completion, self.engine)
        kept = known or KeptAnswer.of(completion)
        if known is None:
            self._keep(same, kept)
        if isinstance(answer, Completion):
            cell = Cell(answer.text)
        elif completion.choice is not None:
            cell = Cell(answer.value, answer.confidence, kept.logprobs)
        elif self.is_judged and kept.confidence is None:
            answer.judged  # noqa: B018  begins it
            self._judging[same.rows[0]] = (same, kept, answer)
            return
        else:
            cell = Cell(answer.value, kept.confidence)
        self._fill(same.rows, cell)

    def _judge(self, *, most: int) -> None:
        """Take in what is judged, and wait until no more answers than that are left."""
        for row, (same, kept, answer) in tuple(self._judging.items()):
            futures = [stream.future for stream in answer.judged.values()]
            if len(self._judging) > most:
                wait(futures)
            if not all(future.done() for future in futures):
                continue
            try:
                cell = Cell(answer.value, answer.confidence)
                self._keep(same, replace(kept, confidence=cell.confidence))
            except JupyterLLMError as error:
                cell = Cell(error=error)
            self._fill(same.rows, cell)
            del self._judging[row]

    def _keep(self, same: _Open, answer: KeptAnswer) -> None:
        if self.kept is not None:
            self.kept.put(same.secret, answer)

    def _fill(self, rows: Sequence[int], cell: Cell) -> None:
        if cell.error is not None:
            cell.error.__traceback__ = None  # which holds what was going on
        for row in rows:
            self._num_done += self.cells[row] is None
            self.cells[row] = cell
        self._open.pop(rows[0], None)


def map_rows(*call: Any, show_progress: ShowProgress | None = None, **options: Any) -> Any:
    """Ask for a column, telling how far it is; see `_mapped` for what else it takes."""
    with _shown(show_progress) as (tell, say):
        return _mapped(*call, tell=tell, say=say, **options)


async def amap_rows(*call: Any, show_progress: ShowProgress | None = None, **options: Any) -> Any:
    """What `map_rows` does, while the event loop goes on; cancelling the task stops it."""
    import asyncio

    future: Future[Any] = Future()
    steps: deque[Step] = deque(maxlen=1)

    def tell(step: Step) -> None:
        if future.cancelled():
            raise KeyboardInterrupt
        steps.append(step)

    def work() -> None:
        with suppress(InvalidStateError):  # nobody waits for it any more
            try:
                future.set_result(_mapped(*call, tell=tell, say=say, **options))
            except BaseException as error:  # noqa: BLE001  raised where it is waited for
                future.set_exception(error)

    with _shown(show_progress) as (show, say):
        start_worker(work, "jupyter-llm-column")
        whole = asyncio.wrap_future(future)
        try:
            while not (await asyncio.wait([whole], timeout=TICK_S))[0]:
                for step in tuple(steps):
                    show(step)
            return await whole
        finally:
            future.cancel()


@contextmanager
def _shown(show: ShowProgress | None) -> Iterator[tuple[ShowProgress, Callable[[str], None]]]:
    """Show steps here, and what is said in lines that stay at the end."""
    said: list[str] = []
    try:
        with showing(show) as tell:
            yield tell, said.append
    finally:
        for text in said:
            note(text, show)


def placed(get: Callable[..., Engine], client: Any) -> Callable[..., Engine]:
    """What loads a model: here, or on the cluster of a client."""
    return get if client is None else partial(get, client=client)


def _mapped(
    get: Callable[..., Engine],
    kept: KeptAnswers,
    items: Any,
    template: str,
    *,
    tell: ShowProgress,
    say: Callable[[str], None],
    model: str | None = None,
    system: str | None = None,
    raw: bool = False,
    before: tuple[Message, ...] = (),
    on_error: OnError = "raise",
    confidence: bool = False,
    limit: int | None = None,
    keep: bool = True,
    check: str | None = None,
    agreement: Any = 0.95,
    calibrate: bool = False,
    client: Any = None,
    **options: Any,
) -> Any:
    """Ask for what is not kept; return a value a row, or several, as the rows came.

    `get` loads a model, `tell` hears how far it is, and `say` what came of a check or a limit.
    """
    shape = take_shape(options)
    params = sampling_params(options)  # what is left
    if on_error not in get_args(OnError):
        raise OptionError(f'on_error must be "raise" or "null", not {on_error!r}.')
    if shape is not None:
        check_ends(params)
    elif confidence:
        raise OptionError("confidence=True is for answers with a shape, such as choices=[…].")
    if (calibrate or check is not None) and not (shape and shape.choices):
        raise OptionError("check= and calibrate=True are for choices=[…], bool and the like.")
    if not isinstance(agreement, float) or not 0 < agreement < 1:
        raise OptionError(f"agreement= is a share above 0 and below 1, not {agreement!r}.")
    rows = whole = rows_of(items)
    if limit is not None:
        rows = whole.head(check_count("limit", limit))
    asked = Template.of(template, rows)

    def result(cells: Sequence[Cell | None]) -> Any:
        return _result(rows, shape, cells, confidence=confidence, errors=on_error == "null")

    if rows.count == 0:
        return result([])
    get = placed(get, client)
    second = (
        get(check, show=tell) if check is not None else None
    )  # if it fails, nothing is asked in vain
    prompts = map(asked.prompt, rows.values(asked.columns))
    column = _Column(
        engine=get(model, show=tell),
        prompts=prompts if second is None else list(prompts),
        count=rows.count,
        shape=shape,
        params=params,
        system=system,
        raw=raw,
        before=before,
        kept=kept if keep else None,
        is_judged=confidence,
        tell=tell,
    )
    cells = column.cells
    try:
        column.run()
        if shape is not None and calibrate:
            calibrate_all(cells, shape)
        if second is not None:
            say(f"{check} {_check_all(column, second, agreement)}.")
    except PromptInterrupted as interrupted:
        interrupted.best = result(cells)
        raise
    if limit is not None and (row_s := column.seconds_a_row):
        text = f"{count_of(len(cells), 'row')} at {1 / row_s:.3g} rows/s"
        if whole.count is not None:
            text += f": about {duration(whole.count * row_s)} for all {whole.count:,}"
        say(f"{text}.")
    errors = {row: one.error for row, one in enumerate(cells) if one and one.error is not None}
    if errors and on_error == "raise":
        number, error = next(iter(errors.items()))
        message = (
            f"{len(errors):,} of {count_of(len(cells), 'row')} failed, the first one at index "
            f'{number}: {error} The others are in the exception\'s column; on_error="null" puts '
            "nulls and the errors beside them."
        )
        raise ColumnError(message, result(cells), errors)
    return result(cells)


def _check_all(column: _Column, engine: Engine, agreement: float) -> Cascade:
    """Let a second model decide what the first one is not sure of."""
    prompts, cells = list(column.prompts), column.cells
    there = [row for row, prompt in enumerate(prompts) if prompt is not None]

    def ask(numbers: Sequence[int]) -> Sequence[Cell | None]:
        asked = [prompts[there[number]] for number in numbers]
        again = replace(column, engine=engine, prompts=asked, count=len(asked))
        again.run()
        return again.cells

    answers, cascade = cascaded([cells[row] for row in there], ask, agreement)
    for row, answer in zip(there, answers, strict=True):
        cells[row] = answer
    return cascade


def _result(
    rows: Rows,
    shape: Shape[Any] | None,
    found: Sequence[Cell | None],
    *,
    confidence: bool,
    errors: bool,
) -> Any:
    """What came of the rows, in columns of their own kind."""
    num_left = 0 if rows.count is None else rows.count - len(found)
    cells = [*(one or Cell() for one in found), *[Cell()] * num_left]
    values = [one.value for one in cells]
    names = shape.columns if shape is not None and rows.is_framed else ()
    if not (names or confidence or errors):
        return rows.column(values)
    columns = {name: [_part(value, name) for value in values] for name in names}
    columns = columns or {"value": values}
    if confidence and names and shape is not None:
        for name in shape.choice_fields:
            parts = [_part(one.confidence, name) for one in cells]
            columns[free_name(f"{name}_confidence", columns)] = parts
    elif confidence:
        columns[free_name("confidence", columns)] = [one.confidence for one in cells]
    if errors:
        told = [None if one.error is None else str(one.error) for one in cells]
        columns[free_name("error", columns)] = told
    return rows.frame(columns)


def _part(value: Any, name: str) -> Any:
    """A field of an object, whatever it was written as."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
