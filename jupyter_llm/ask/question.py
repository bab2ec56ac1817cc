"""A question: a prompt, the shape of its answer, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream, answer_of
from jupyter_llm.ask.asking import RULES, ask
from jupyter_llm.ask.many import run_batch
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.options import SamplingOptions, SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, Priority, Request, chat_prompt, raw_text
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jupyter_llm.ask.asking import Origin
    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.ask.user_functions import UserTools
    from jupyter_llm.engine.base import BulkEngine, Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.constraint import Constraint
    from jupyter_llm.engine.request import RawPrompt

T = TypeVar("T")


class PromptOptions(SamplingOptions, total=False):
    """The options of one prompt without a shape."""

    system: str | None
    model: str | None
    raw: bool


class FunctionOptions(SamplingOptions, total=False):
    """The options of a function; `examples`: arguments and results that the model reads first."""

    system: str | None
    model: str | None
    retries: int
    examples: Iterable[tuple[object, object]]


class ShapeOptions(PromptOptions, total=False):
    """The options of a prompt, with one of these for the shape of the answer.

    `retries`: how often to ask again for a value that the validator of the shape refuses.
    """

    schema: object
    choices: Iterable[object] | None
    regex: str | None
    grammar: str | None
    retries: int


_AGAIN = "That answer was refused. {} Answer with another value.\n\n"

SHAPING = ("schema", "choices", "regex", "grammar")
"""The options for the shape of an answer; only one is allowed."""


@dataclass(frozen=True, kw_only=True)
class Question(Generic[T]):
    """A prompt, the shape of its answer, and who asks. Every front end makes one.

    `shape`: without one the answer is a completion. `origin`: who asks. `before`: earlier turns
    that the prompt includes. `raw`: the model continues the text, without a chat template.
    `retries`: how often to ask again for a value that the validator of the shape refuses.
    `refused`: the turns after the prompt: each such answer and the request for another.
    `is_kept`: whether the prompt and its answer may be written to the disk. `tools`: the functions
    that the model may call.
    """

    prompt: str | RawPrompt
    model: str | None = None
    system: str | None = None
    params: SamplingParams = field(default_factory=SamplingParams)
    shape: Shape[T] | None = None
    before: tuple[Message, ...] = ()
    raw: bool = False
    retries: int = 0
    refused: tuple[Message, ...] = ()
    is_kept: bool = True
    origin: Origin = "cell"
    tools: UserTools | None = None

    @classmethod
    def of(
        cls,
        prompt: str | RawPrompt,
        options: Mapping[str, Any],
        names: Iterable[str] = ("system", "raw", "retries", "tools", "confirm"),
    ) -> Self:
        """Return a question with a user's options; `OptionError` if one is invalid.

        `names`: the options that are allowed besides those of sampling and of a shape.
        """
        given = dict(options)
        own = {name: given.pop(name) for name in names if name in given}
        functions, confirm = own.pop("tools", ()), own.pop("confirm", True)
        if callable(functions) or isinstance(functions, str) or (functions := tuple(functions)):
            from jupyter_llm.ask.user_functions import UserTools

            own["tools"] = UserTools(functions, confirm=confirm)
        shaping = {name: given.pop(name, None) for name in SHAPING}
        if any(value is not None for value in shaping.values()):
            from jupyter_llm.ask.shape import shape_of  # brings Pydantic

            own["shape"] = shape_of(**shaping)
        elif given.get("reason"):
            raise OptionError(f"reason= comes before a shape: {'=, '.join(SHAPING)}=.")
        return cls(prompt=prompt, **{"params": sampling_params(given), **own})

    def __post_init__(self) -> None:
        """Refuse an invalid question, with the value in the message."""
        is_chat = isinstance(chat_prompt(self.prompt, raw=self.raw), tuple)
        if self.shape is not None:
            self.shape.instruction_with(self.params)  # refuses options that the shape forbids
        if self.tools is not None and (self.shape is not None or not is_chat):
            raise OptionError("tools= are for chat prompts without a shape (schema=, choices=, …).")
        is_count = type(self.retries) is int and self.retries >= 0
        if not is_count or (self.retries and not (is_chat and self.shape is not None)):
            raise OptionError("retries= is a whole number, for chat prompts with a shape.")

    @property
    def instruction(self) -> str:
        """The instruction that describes the shape to the model; empty without a shape."""
        return self.shape.instruction_with(self.params) if self.shape is not None else ""

    @property
    def constraint(self) -> Constraint | None:
        """The constraint of the shape; a shape with quotes must be `bound` first."""
        return self.shape.constraint if self.shape is not None else None

    def bound(self) -> Self:
        """Return the question with a shape that takes passages of the prompt only as quotes."""
        if self.shape is None or self.shape.quoting is None:
            return self
        return replace(self, shape=self.shape.for_prompt(raw_text(self.prompt)))

    @cached_property
    def request(self) -> Request:
        """The request to the engine: the prompt with its system text, earlier and refused turns.

        The last message describes the shape. Raw text is continued as it is, without a description.
        """
        prompt = chat_prompt(self.prompt, self.system, raw=self.raw, before=self.before)
        if isinstance(prompt, tuple):
            prompt = (*prompt[:-1], prompt[-1].instructed(self.instruction), *self.refused)
        priority = RULES[self.origin].priority
        return Request(
            prompt=prompt,
            params=self.params,
            constraint=self.bound().constraint,
            priority=Priority.CHAT if priority is None else priority,
            is_private=not self.is_kept,
        )

    def again(self, error: ShapeError) -> Self:
        """Return the question that asks for another value.

        Raises `error` if no retries are left, or the answer did not end by itself. The prompt is
        repeated after the refusal.
        """
        prompt, made = self.request.prompt, error.completion
        is_refused = made is not None and made.finish_reason == "stop"
        if not (self.retries and is_refused and isinstance(prompt, tuple)):
            raise error
        asked = prompt[-1 - len(self.refused)]
        again = [_AGAIN.format(error), *(asked.parts or (asked.content,))]
        turns = Message("assistant", error.text), Message.of_parts("user", again)
        return replace(self, retries=self.retries - 1, refused=(*self.refused, *turns))

    def ask(self, engine: Engine, answers: AnswerLog) -> Stream | ShapedStream[T]:
        """Let an engine answer; the answer is logged if the rule of the origin says so."""
        question = self.bound()
        request = question.request
        stream = question.begin(engine, request, answers)
        if question.shape is None:
            return stream

        def follow(error: ShapeError) -> Stream | ShapedStream[T]:
            return question.again(error).ask(engine, answers)

        return ShapedStream(stream, question.shape, request, engine, follow)

    def begin(self, engine: Engine, request: Request, answers: AnswerLog) -> Stream:
        """Let an engine answer a request that was made from the question, as a text."""
        if self.tools is None:
            return ask(engine, request, self.origin, answers)
        from jupyter_llm.ask.calling import ToolStream

        def ask_part(part: Request) -> Stream:
            return ask(engine, part, self.origin, answers)

        return ToolStream(raw_text(self.prompt), self.tools, request, ask_part)

    async def wait(
        self, engine_of: Callable[[], Engine], answers: AnswerLog
    ) -> Completion | ShapedAnswer[T]:
        """Await the answer without blocking the event loop; to cancel the task stops the model."""
        import asyncio

        self.check_without_tools()
        engine, question = await asyncio.to_thread(engine_of), self.bound()
        while True:
            asked = question.request, question.origin, answers
            with await asyncio.to_thread(ask, engine, *asked) as stream:
                completion = await asyncio.wrap_future(stream.future)
            try:
                return question.answer(completion, engine)
            except ShapeError as error:
                question = question.again(error)

    def check_without_tools(self) -> None:
        """Raise `OptionError` if the question has functions, which its reader would have to run."""
        if self.tools is not None:
            raise OptionError(
                "tools= (--tools) are for one prompt that is answered in words: "
                "llm(…), llm.stream(…), a chat or %%llm."
            )

    def answer(self, completion: Completion, engine: BulkEngine) -> Completion | ShapedAnswer[T]:
        """Read a completion as the answer; the question must be `bound`."""
        if self.shape is None:
            return completion
        return answer_of(completion, self.shape, self.request, engine)


def answer_all(engine: BulkEngine, questions: Sequence[Question[Any]]) -> list[Any]:
    """Answer questions in one batch and in order; refused values are asked for again."""
    latest = [question.bound() for question in questions]
    for question in questions[:1]:
        question.check_without_tools()

    def read(number: int, completion: Completion) -> Any:
        try:
            return latest[number].answer(completion, engine)
        except ShapeError as error:
            latest[number] = question = latest[number].again(error)
            params = question.request.params.counted_on(number)
            return ask(engine, replace(question.request, params=params), "row")

    return run_batch(engine, [question.request for question in latest], read)
