"""A question: a prompt, the shape of its answer, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream, answer_of, input_of
from jupyter_llm.ask.asking import RULES, ask
from jupyter_llm.ask.many import run_batch
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.options import SamplingOptions, sampling_params
from jupyter_llm.engine.request import Message, Request, chat_prompt
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

    from jupyter_llm.ask.asking import Origin
    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.engine.base import BulkEngine, Engine, Stream
    from jupyter_llm.engine.completion import Completion
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
_SHAPES = ("schema", "choices", "regex", "grammar")


def take_shape(options: MutableMapping[str, Any]) -> Shape[Any] | None:
    """Remove the options of a shape from some options, and return the shape."""
    wanted = {name: options.pop(name, None) for name in _SHAPES}
    if all(value is None for value in wanted.values()):
        if options.get("reason"):
            raise OptionError(f"reason= comes before a shape: {'=, '.join(_SHAPES)}=.")
        return None
    from jupyter_llm.ask.shape import shape_of  # brings Pydantic

    return shape_of(**wanted)


def take_retries(options: MutableMapping[str, Any], shape: Shape[Any] | None) -> int:
    """Remove `retries` from some options, and return it, checked."""
    retries = options.pop("retries", 0)
    if type(retries) is not int or retries < 0 or (retries and shape is None):
        raise OptionError("retries= is a whole number from 0 on, for answers with a shape.")
    return retries


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request with the shape of its answer; without a shape the answer is a completion.

    `retries`: how often to ask again for a value that the validator of the shape refuses.
    """

    request: Request
    shape: Shape[T] | None = None
    origin: Origin = "cell"
    retries: int = 0

    @staticmethod
    def of(request: Request, shape: Shape[Any] | None, origin: Origin = "cell") -> Question[Any]:
        """Return a question, whose prompt describes the shape and whose constraint enforces it.

        Raw text is continued as it is, without a description.
        """
        request = RULES[origin].applied(request)
        if shape is None:
            return Question(request, origin=origin)
        instruction, prompt = shape.instruction_with(request.params), request.prompt
        if isinstance(prompt, tuple):
            prompt = (*prompt[:-1], prompt[-1].instructed(instruction))
        bound = shape.for_prompt(input_of(prompt))
        return Question(replace(request, prompt=prompt, constraint=bound.constraint), bound, origin)

    @staticmethod
    def one(prompt: str | RawPrompt, options: Mapping[str, Any]) -> Question[Any]:
        """Return a prompt and its options as people write them, checked."""
        (question,) = Question.several([prompt], options)
        return question

    def again(self, error: ShapeError) -> Question[T]:
        """Return the question for another value; raise `error` if no retries are left.

        The prompt is repeated at the end, since quotes are passages of the last message.
        """
        prompt, made = self.request.prompt, error.completion
        is_refused = made is not None and made.finish_reason == "stop"
        if not (self.retries and is_refused and isinstance(prompt, tuple)):
            raise error
        asked = [_AGAIN.format(error), *(prompt[-1].parts or (prompt[-1].content,))]
        turns = Message("assistant", error.text), Message.of_parts("user", asked)
        request = replace(self.request, prompt=(*prompt, *turns))
        return replace(self, request=request, retries=self.retries - 1)

    @staticmethod
    def several(
        prompts: Iterable[str | RawPrompt], options: Mapping[str, Any]
    ) -> list[Question[Any]]:
        """Check prompts and options as people write them, and return questions."""
        given = dict(options)
        shape = take_shape(given)
        retries = take_retries(given, shape)
        system, raw = given.pop("system", None), given.pop("raw", False)
        params = sampling_params(given)
        checked = (chat_prompt(prompt, system, raw=raw) for prompt in prompts)
        questions = (Question.of(Request(prompt=one, params=params), shape) for one in checked)
        return [replace(one, retries=retries) for one in questions]

    def ask(self, engine: Engine, answers: AnswerLog) -> Stream | ShapedStream[T]:
        """Let an engine answer, and log the answer."""
        stream = ask(engine, self.request, self.origin, answers)
        if self.shape is None:
            return stream

        def follow(error: ShapeError) -> Stream | ShapedStream[T]:
            return self.again(error).ask(engine, answers)

        return ShapedStream(stream, self.shape, self.request, engine, follow)

    async def wait(
        self, engine_of: Callable[[], Engine], answers: AnswerLog
    ) -> Completion | ShapedAnswer[T]:
        """Wait for the answer while the event loop runs; cancelling the task stops the model."""
        import asyncio

        engine, question = await asyncio.to_thread(engine_of), self
        while True:
            asked = question.request, question.origin, answers
            with await asyncio.to_thread(ask, engine, *asked) as stream:
                completion = await asyncio.wrap_future(stream.future)
            try:
                return question.answer(completion, engine)
            except ShapeError as error:
                question = question.again(error)

    def answer(self, completion: Completion, engine: BulkEngine) -> Completion | ShapedAnswer[T]:
        """Read the completion of the request as the answer."""
        if self.shape is None:
            return completion
        return answer_of(completion, self.shape, self.request, engine)


def answer_all(engine: BulkEngine, questions: Sequence[Question[Any]]) -> list[Any]:
    """Answer questions in bulk, as `run_batch` does, and return the answers in order."""
    latest = [*questions]

    def read(number: int, completion: Completion) -> Any:
        try:
            return latest[number].answer(completion, engine)
        except ShapeError as error:
            latest[number] = question = latest[number].again(error)
            params = question.request.params.counted_on(number)
            return ask(engine, replace(question.request, params=params), "row")

    return run_batch(engine, [question.request for question in questions], read)
