"""One prompt for every row of a column: asked in bulk, kept as it is done, back in its order."""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsIndex, TypeVar, get_args

from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, note, showing
from jupyter_llm.common.tables import count_of, duration
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted
from jupyter_llm.engine.options import MAX_SEED, SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, Priority, Request, chat_prompt
from jupyter_llm.errors import EngineClosedError, JupyterLLMError, ModelFileError, OptionError
from jupyter_llm.structured.asking import PromptOptions, Question, ShapeOptions, take_shape
from jupyter_llm.structured.batch import outcomes
from jupyter_llm.structured.calibration import calibrated
from jupyter_llm.structured.cascade import Cascade, Judged, cascaded
from jupyter_llm.structured.kept import AnswersHere, KeptAnswer, KeptAnswers, secret_of
from jupyter_llm.structured.rows import Template
from jupyter_llm.structured.tables import rows_of

if TYPE_CHECKING:
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.structured.answer import ShapedAnswer
    from jupyter_llm.structured.shape import Shape

    Answer = Completion | ShapedAnswer[Any]
    Confidence = float | dict[str, float] | None

T = TypeVar("T")
OnError = Literal["raise", "null"]


class ColumnOptions(PromptOptions, total=False):
    """What may be said of any column beside its prompt; see `LLM.map`."""

    on_error: OnError
    keep: bool
    check: str | None
    agreement: float
    calibrate: bool
    show_progress: ShowProgress | None


class MapOptions(ShapeOptions, ColumnOptions, total=False):
    """What may be said of a column with a prompt of its own."""

    confidence: bool
    limit: int | None


_MOST_ROWS = 10_000  # that are put in order at a time
_MOST_CHARS = 8 << 20  # of their prompts
_MOST_JUDGED = 64  # answers, each with a request a field
_FATAL = (EngineClosedError, ModelFileError)  # no other row would be answered


class ColumnError(BatchError):
    """Some rows failed, the others were answered, and are kept if any are.

    `column` is what would have come, with nulls where rows failed; `errors` say why, by the row's
    number from 0 on.
    """

    def __init__(self, column: object, count: int, errors: dict[int, JupyterLLMError]) -> None:
        super().__init__((), errors)
        number, error = next(iter(errors.items()))
        message = (
            f"{len(errors):,} of {count_of(count, 'row')} failed, the first one at index {number}: "
            f'{error} The others are in the exception\'s column; on_error="null" puts nulls and '
            "the errors beside them."
        )
        self.args = (message,)
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """How each row is asked: in what shape, after what turns, and where its answer is kept."""

    shape: Shape[Any] | None = None
    params: SamplingParams = field(default_factory=SamplingParams)
    system: str | None = None
    raw: bool = False
    before: tuple[Message, ...] = ()
    kept: KeptAnswers | AnswersHere = field(default_factory=AnswersHere)

    def of(self, prompt: str) -> Question[Any]:
        """The question of a row.

        Its seed follows from the prompt and the one given. So rows are drawn independently, and
        each in the same way whatever the others are, which of them are kept, and their order.
        """
        params = self.params
        if params.seed is not None:
            number = int.from_bytes(sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8])
            params = replace(params, seed=(params.seed + number) % (MAX_SEED + 1))
        whole = chat_prompt(prompt, self.system, raw=self.raw)
        if isinstance(whole, tuple):
            whole = (*whole[:-1], *self.before, whole[-1])
        request = Request(prompt=whole, params=params, priority=Priority.BULK)
        return Question.of(request, self.shape)


@dataclass(slots=True)
class _Same:
    """Rows with one prompt, which are asked once."""

    prompt: str
    question: Question[Any]
    secret: bytes
    rows: list[int]
    kept: KeptAnswer | None = None
    is_done: bool = False


class Column(Generic[T]):
    """Asks for a column: `values` are what `take` makes of the answers, in the order of the rows.

    There is None where a prompt is missing, a row failed (`errors` say why) or is not done. Equal
    prompts are asked once, in an order in which they share most. A bounded number of prompts is
    held, however many there are, and of an answer nothing but what is taken. With `is_judged`
    `take` is told how confident the model was, else None.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Iterable[str | None],
        questions: Questions,
        take: Callable[[Answer, Confidence], T],
        *,
        count: int | None = None,
        is_judged: bool = False,
    ) -> None:
        self.values: list[T | None] = []
        self.errors: dict[int, JupyterLLMError] = {}
        self.is_stopped = False
        self._engine = engine
        self._prompts = enumerate(prompts)
        self._questions = questions
        self._take = take
        self._count = count
        self._is_judged = is_judged
        self._num_done = 0  # rows
        self._num_new = 0  # rows that were not kept
        self._began_s = 0.0
        self._open: dict[int, _Same] = {}  # by the request's number
        self._secrets: dict[bytes, _Same] = {}  # the same
        self._streams: dict[int, Stream] = {}
        self._judging: deque[tuple[_Same, KeptAnswer, ShapedAnswer[Any]]] = deque()

    def run(self, tell: ShowProgress = lambda _step: None) -> None:
        """Ask for all rows that are not kept; `tell` hears how far it is.

        Raises
        ------
        PromptInterrupted, EngineClosedError, ModelFileError
            What is done by then is in `values`, and kept.
        """
        self._model_sha256 = self._hashed(tell)
        self._began_s = time.monotonic()

        def tick() -> None:
            if self.is_stopped:
                raise KeyboardInterrupt
            tell(self.step)

        try:
            for number, outcome in outcomes(
                self._engine, self._requests(), streams=self._streams, tick=tick
            ):
                self._settle(number, outcome)
                tick()
            self._judge(most=0)
        except KeyboardInterrupt:
            self._take_what_is_done()
            raise PromptInterrupted(said=self._stopped) from None
        self.errors = dict(sorted(self.errors.items()))

    def stop(self) -> None:
        """Let `run` end as if the user had interrupted it. Returns at once; from any thread."""
        self.is_stopped = True
        for stream in self._streams.copy().values():
            stream.cancel()

    @property
    def seconds_a_row(self) -> float | None:
        """How long a row takes that is not kept, all in all; None if there was none."""
        return (time.monotonic() - self._began_s) / self._num_new if self._num_new else None

    @property
    def _how_far(self) -> str:
        if self._count is None:
            return count_of(self._num_done, "row")
        return f"{self._num_done:,} of {self._count:,} rows"

    @property
    def step(self) -> Step:
        """How far it is, in words."""
        text, count, row_s = self._how_far, self._count, self.seconds_a_row
        if row_s:
            text += f", {1 / row_s:.3g} rows/s"
        if row_s and count is not None:
            text += f", {duration((count - self._num_done) * row_s)} left"
        return Step(text, self._num_done / count if count else None)

    @property
    def _stopped(self) -> str:
        if not self._num_done:
            return "stopped before the first row."
        is_here = isinstance(self._questions.kept, AnswersHere)
        then = "in the exception's best" if is_here else "kept: run the same again to go on"
        return f"stopped after {self._how_far}, which are {then}."

    def _hashed(self, tell: ShowProgress) -> str:
        """Which model it is; where nobody can tell, nothing is kept."""
        from jupyter_llm.models.fingerprint import file_sha256

        tell(Step("Looking which model it is"))
        try:
            return file_sha256(self._engine.info.path)
        except ModelFileError:
            self._questions = replace(self._questions, kept=AnswersHere())
            return ""

    # What is asked

    def _requests(self) -> Iterator[Request]:
        """Yield what is not kept, in order, some rows after others."""
        number = 0
        for some in self._parts():
            for same in self._left_of(some):
                self._open[number] = self._secrets[same.secret] = same
                number += 1
                yield same.question.request

    def _parts(self) -> Iterator[list[tuple[int, str]]]:
        """Yield the prompts, as many at a time as are put in order together."""
        some: list[tuple[int, str]] = []
        num_chars = 0
        for row, prompt in self._prompts:
            self.values.append(None)
            if prompt is None:
                self._num_done += 1
                continue
            some.append((row, prompt))
            num_chars += len(prompt)
            if len(some) >= _MOST_ROWS or num_chars >= _MOST_CHARS:
                yield some
                some, num_chars = [], 0
        yield some

    def _left_of(self, some: list[tuple[int, str]]) -> list[_Same]:
        """What of some rows is to be asked; those with the same beginning stand together."""
        shape = self._questions.shape
        key = shape.key if shape is not None else ""
        found: dict[bytes, _Same] = {}
        for row, prompt in some:
            try:
                question = self._questions.of(prompt)
            except JupyterLLMError as error:
                self.errors[row] = error
                self._num_done += 1
                continue
            secret = secret_of(question.request, self._model_sha256, key)
            same = self._secrets.get(secret) or found.get(secret)
            if same is None:
                same = found[secret] = _Same(prompt, question, secret, [])
            same.rows.append(row)
        for secret, kept in self._questions.kept.find(list(found)).items():
            same = found[secret]
            same.kept = kept
            completion = kept.completion(same.question.request, self._engine.info.name)
            with suppress(JupyterLLMError):  # it is no answer, so ask
                self._take_in(same, kept, completion)
                del found[secret]
        return sorted(found.values(), key=lambda same: same.prompt)

    # What comes of it

    def _settle(self, number: int, outcome: Completion | JupyterLLMError) -> None:
        """Take in what a request came to; may be told of it twice."""
        if isinstance(outcome, _FATAL):
            raise outcome
        if isinstance(outcome, Completion) and outcome.finish_reason == "cancelled":
            return
        same = self._open[number]
        try:
            if isinstance(outcome, JupyterLLMError):
                raise outcome
            self._take_in(same, KeptAnswer.of(outcome), outcome)
        except JupyterLLMError as error:
            self._fail(same, error)
        del self._open[number]
        self._num_new += len(same.rows)

    def _take_in(self, same: _Same, kept: KeptAnswer, completion: Completion) -> None:
        answer = same.question.answer(completion, self._engine)
        if not self._is_judged or isinstance(answer, Completion):
            self._fill(same, kept, answer)
        elif kept.confidence is not None:
            self._fill(same, kept, answer, kept.confidence)
        elif completion.choice is not None:
            self._fill(same, kept, answer, answer.confidence)
        else:
            self._judging.append((same, kept, answer))
            answer.judged  # noqa: B018  begins it
            self._judge(most=_MOST_JUDGED)

    def _judge(self, *, most: int) -> None:
        """Wait until no more answers than that are judged."""
        while len(self._judging) > most:
            same, kept, answer = self._judging[0]
            try:
                confidence = answer.confidence
                self._fill(same, replace(kept, confidence=confidence), answer, confidence)
            except JupyterLLMError as error:
                self._fail(same, error)
            self._judging.popleft()

    def _take_what_is_done(self) -> None:
        """Take in what ended before an interrupt, or was being taken in."""
        for number, stream in self._streams.copy().items():
            if number in self._open and stream.future.done() and not stream.future.exception():
                self._settle(number, stream.future.result())
        streams = [stream for *_, answer in self._judging for stream in answer.judged.values()]
        if all(stream.future.done() for stream in streams):
            self._judge(most=0)
        for stream in streams:
            stream.cancel()

    def _fill(
        self, same: _Same, kept: KeptAnswer, answer: Answer, confidence: Confidence = None
    ) -> None:
        value = self._take(answer, confidence)
        for row in same.rows:
            self.values[row] = value
        if kept is not same.kept:
            self._questions.kept.put({same.secret: kept})
        self._end(same)

    def _fail(self, same: _Same, error: JupyterLLMError) -> None:
        error.__traceback__ = None  # which holds what was going on
        self.errors |= dict.fromkeys(same.rows, error)
        self._end(same)

    def _end(self, same: _Same) -> None:
        self._secrets.pop(same.secret, None)
        if not same.is_done:
            same.is_done = True
            self._num_done += len(same.rows)


class MapCall:
    """One call of `llm.map`: the rows, how they are asked, and how their answers come back."""

    def __init__(
        self, items: Any, template: str, options: Mapping[str, Any], kept: KeptAnswers
    ) -> None:
        given = dict(options)
        self.model = given.pop("model", None)
        on_error = given.pop("on_error", "raise")
        if on_error not in get_args(OnError):
            raise OptionError(f'on_error must be "raise" or "null", not {on_error!r}.')
        limit, self._show = given.pop("limit", None), given.pop("show_progress", None)
        shape = take_shape(given)
        self._has_confidence, self._has_errors = given.pop("confidence", False), on_error == "null"
        if self._has_confidence and shape is None:
            raise OptionError("confidence=True is for answers with a shape, such as choices=[…].")
        self._check, self._calibrate = given.pop("check", None), given.pop("calibrate", False)
        self._is_weighed = self._calibrate or self._check is not None
        if self._is_weighed and (shape is None or not shape.choices):
            raise OptionError("check= and calibrate=True are for choices=[…], bool and the like.")
        self._agreement = share = given.pop("agreement", 0.95)
        if not isinstance(share, float) or not 0 < share < 1:
            raise OptionError(f"agreement= is a share above 0 and below 1, not {share!r}.")
        self.cascade: Cascade | None = None
        self._questions = Questions(
            shape=shape,
            system=given.pop("system", None),
            raw=given.pop("raw", False),
            before=given.pop("before", ()),
            kept=kept if given.pop("keep", True) else AnswersHere(),
            params=sampling_params(given),  # what is left
        )
        self._rows = rows_of(items)
        self._count = self._rows.count
        if limit is not None:
            self._rows = self._rows.head(check_count("limit", limit))
        self._is_limited = limit is not None
        self._template = Template.of(template, self._rows)
        self._column: Column[Any] | None = None
        self._is_stopped = False

    async def arun(self, get: Callable[[str | None], Engine]) -> Any:
        """What `run` does, while the event loop goes on; cancelling the task stops it."""
        import asyncio

        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        def work() -> None:
            try:
                future.set_result(self.run(get))
            except BaseException as error:  # noqa: BLE001  raised where it is waited for
                future.set_exception(error)

        start_worker(work, "jupyter-llm-column")
        whole = asyncio.wrap_future(future)
        show = (lambda _step: None) if self._show is not None else None  # it is told over there
        try:
            with showing(show) as tell:
                while not (await asyncio.wait([whole], timeout=TICK_S))[0]:
                    if self._column is not None:
                        tell(self._column.step)
            return await whole
        except asyncio.CancelledError:
            whole.cancel()
            self.stop()
            raise

    def run(self, get: Callable[[str | None], Engine]) -> Any:
        """Ask for what is not kept; return a value a row, or several, as the rows came."""
        if self._rows.count == 0:
            return self._result([], {})
        asked = map(self._template.prompt, self._rows.values(self._template.columns))
        prompts = list(asked) if self._check is not None else asked
        if self._check is not None:
            get(self._check)  # if it cannot be loaded, nothing is asked in vain
        column = self._column_of(get(self.model), prompts, self._rows.count)
        try:
            with showing(self._show) as tell:
                column.run(tell)
                if self._calibrate:
                    self._calibrate_all(column.values)
                if isinstance(prompts, list):
                    self._check_all(column, prompts, get(self._check), tell)
        except PromptInterrupted as interrupted:
            interrupted.best = self._result(column.values, column.errors)
            raise
        if self.cascade is not None:
            note(f"{self._check} {self.cascade}.", self._show)
        if self._is_limited and column.seconds_a_row:
            note(self._estimate(len(column.values), column.seconds_a_row), self._show)
        result = self._result(column.values, column.errors)
        if column.errors and not self._has_errors:
            raise ColumnError(result, len(column.values), column.errors)
        return result

    def _column_of(
        self, engine: Engine, prompts: Iterable[str | None], count: int | None
    ) -> Column[Any]:
        """What asks an engine, and can be stopped."""
        self._column = Column(
            *(engine, prompts, self._questions, self._taken),
            count=count,
            is_judged=self._has_confidence or self._is_weighed,
        )
        self._column.is_stopped = self._is_stopped
        return self._column

    def _calibrate_all(self, values: list[Judged | None]) -> None:
        """Take away from all choices what the model prefers anyway."""
        shape = self._questions.shape
        there = [row for row, one in enumerate(values) if one is not None]
        choices = calibrated([one.choice for one in values if one is not None])
        for row, choice in zip(there, choices, strict=True):
            text, chance = max(choice.probabilities.items(), key=lambda one: one[1])
            values[row] = Judged(shape and shape.read(text), chance, choice)

    def _check_all(
        self, column: Column[Any], prompts: list[str | None], engine: Engine, tell: ShowProgress
    ) -> None:
        """Let a second model decide what the first one is not sure of."""
        there = [row for row, prompt in enumerate(prompts) if prompt is not None]

        def ask(numbers: Sequence[int]) -> list[Judged | None]:
            rows = [there[number] for number in numbers]
            again = self._column_of(engine, [prompts[row] for row in rows], len(rows))
            again.run(tell)
            for row in rows:
                column.errors.pop(row, None)
            failed = {rows[number]: error for number, error in again.errors.items()}
            column.errors = dict(sorted((column.errors | failed).items()))
            return again.values

        firsts = [column.values[row] for row in there]
        answers, self.cascade = cascaded(firsts, ask, self._agreement)
        for row, answer in zip(there, answers, strict=True):
            column.values[row] = answer

    def stop(self) -> None:
        """Let `run` end. Returns at once; from any thread."""
        self._is_stopped = True
        if self._column is not None:
            self._column.stop()

    def _estimate(self, num_rows: int, row_s: float) -> str:
        text = f"{count_of(num_rows, 'row')} at {1 / row_s:.3g} rows/s"
        if self._count is None:
            return f"{text}."
        return f"{text}: about {duration(self._count * row_s)} for all {self._count:,}."

    def _taken(self, answer: Answer, confidence: Confidence) -> Any:
        value = answer.text if isinstance(answer, Completion) else answer.value
        choice = None if isinstance(answer, Completion) else answer.completion.choice
        if self._is_weighed and choice is not None:
            return Judged(value, choice.probabilities[answer.text], choice)
        return (value, confidence) if self._has_confidence else value

    def _result(self, taken: list[Any], errors: Mapping[int, JupyterLLMError]) -> Any:
        """What was taken, in columns of the rows' own kind."""
        shape, rows = self._questions.shape, self._rows
        if self._is_weighed:
            pairs = [one and (one.value, one.confidence) for one in taken]
            taken = pairs if self._has_confidence else [one and one[0] for one in pairs]
        if rows.count is not None:
            taken = taken + [None] * (rows.count - len(taken))
        values, confidences = taken, [None] * len(taken)
        if self._has_confidence:
            values, confidences = ([one and one[at] for one in taken] for at in (0, 1))
        names = shape.columns if shape is not None and rows.is_framed else ()
        if not (names or self._has_confidence or self._has_errors):
            return rows.column(values)
        columns = {name: [_part(value, name) for value in values] for name in names}
        columns = columns or {"value": values}
        if self._has_confidence and names and shape is not None:
            for name in shape.choice_fields:
                parts = [_part(one, name) for one in confidences]
                columns[_free(f"{name}_confidence", columns)] = parts
        elif self._has_confidence:
            columns[_free("confidence", columns)] = confidences
        if self._has_errors:
            told = [str(errors[row]) if row in errors else None for row in range(len(taken))]
            columns[_free("error", columns)] = told
        return rows.frame(columns)


def _part(value: Any, name: str) -> Any:
    """A field of an object, whatever it was written as."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _free(name: str, taken: Container[str]) -> str:
    """A name for a column beside others."""
    return name if name not in taken else _free(f"{name}_", taken)


def check_count(name: str, count: object) -> int:
    """Refuse what is no number of rows."""
    if not isinstance(count, SupportsIndex) or operator.index(count) < 1:
        raise OptionError(f"{name} must be a whole number from 1 on, not {count!r}.")
    return operator.index(count)
