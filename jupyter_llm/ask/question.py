"""How an answer with a shape is asked for: the one way, for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream, answer_of, input_of
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.options import SamplingOptions, sampling_params
from jupyter_llm.engine.request import Message, Request, chat_prompt
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.engine.base import BulkEngine, Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.options import SamplingParams
    from jupyter_llm.engine.request import RawPrompt

T = TypeVar("T")


class PromptOptions(SamplingOptions, total=False):
    """What may be said beside a prompt of its own."""

    system: str | None
    model: str | None
    raw: bool


class FunctionOptions(SamplingOptions, total=False):
    """That for a function, with arguments and results of calls that it is told before."""

    system: str | None
    model: str | None
    examples: Iterable[tuple[object, object]]


class ShapeOptions(PromptOptions, total=False):
    """That, and what the answer is to look like: one of these."""

    schema: object
    choices: Iterable[object] | None
    regex: str | None
    grammar: str | None


class AnswerOptions(ShapeOptions, total=False):
    """The options of one prompt; `retries`: how often to ask again for a value that is refused."""

    retries: int


_AGAIN = "That answer was refused. {} Answer with another value.\n\n"
_SHAPES = ("schema", "choices", "regex", "grammar")


def take_shape(options: MutableMapping[str, Any]) -> Shape[Any] | None:
    """The shape that options ask for, by those of them that say so; they are taken away."""
    wanted = {name: options.pop(name, None) for name in _SHAPES}
    if all(value is None for value in wanted.values()):
        if options.get("reason"):
            raise OptionError(f"reason= comes before a shape: {'=, '.join(_SHAPES)}=.")
        return None
    from jupyter_llm.ask.shape import shape_of  # brings Pydantic

    return shape_of(**wanted)


def check_ends(params: SamplingParams) -> None:
    """Refuse what says otherwise than a shape where its answer ends."""
    for name in ("stop", "ignore_eos"):
        if getattr(params, name):
            raise OptionError(f"{name}= does not go with a shape, which says where it ends.")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request, and the shape of its answer; without one the answer is a completion.

    A value that the shape's own validator refuses is asked for again, `retries` times at most.
    """

    request: Request
    shape: Shape[T] | None = None
    retries: int = 0

    @staticmethod
    def of(request: Request, shape: Shape[Any] | None) -> Question[Any]:
        """Ask for an answer of a shape, if it is to have one.

        Raw text goes on as it is, and the model is told nothing of the shape.
        """
        if shape is None:
            return Question(request)
        check_ends(request.params)
        prompt = request.prompt
        if isinstance(prompt, tuple):
            told = shape.told(has_reasons=request.params.reason > 0)
            prompt = (*prompt[:-1], prompt[-1].instructed(told))
        bound = shape.for_prompt(input_of(prompt))
        return Question(replace(request, prompt=prompt, constraint=bound.constraint), bound)

    @staticmethod
    def one(prompt: str | RawPrompt, options: Mapping[str, Any]) -> Question[Any]:
        """Return a prompt and its options as people write them, checked."""
        given = dict(options)
        retries = given.pop("retries", 0)
        (question,) = Question.several([prompt], given)
        if type(retries) is not int or retries < 0 or (retries and question.shape is None):
            raise OptionError("retries= is a whole number from 0 on, for answers with a shape.")
        return replace(question, retries=retries)

    def again(self, error: ShapeError) -> Question[T]:
        """Return the question for another value; raise `error` if none may be asked.

        What was asked comes last again: quotes are passages of it.
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
        """Prompts and options as people write them, checked."""
        given = dict(options)
        shape = take_shape(given)
        system, raw = given.pop("system", None), given.pop("raw", False)
        params = sampling_params(given)
        checked = (chat_prompt(prompt, system, raw=raw) for prompt in prompts)
        return [Question.of(Request(prompt=one, params=params), shape) for one in checked]

    def ask(self, engine: Engine, answers: AnswerLog) -> Stream | ShapedStream[T]:
        """Let an engine answer, and the log remember it."""
        stream = answers.submit(engine, self.request)
        if self.shape is None:
            return stream

        def follow(error: ShapeError) -> Stream | ShapedStream[T]:
            return self.again(error).ask(engine, answers)

        return ShapedStream(stream, self.shape, self.request, engine, follow)

    async def wait(
        self, engine_of: Callable[[], Engine], answers: AnswerLog
    ) -> Completion | ShapedAnswer[T]:
        """The same while the event loop goes on; cancelling the task stops the model."""
        import asyncio

        engine, question = await asyncio.to_thread(engine_of), self
        while True:
            with await asyncio.to_thread(answers.submit, engine, question.request) as stream:
                completion = await asyncio.wrap_future(stream.future)
            try:
                return question.answer(completion, engine)
            except ShapeError as error:
                question = question.again(error)

    def answer(self, completion: Completion, engine: BulkEngine) -> Completion | ShapedAnswer[T]:
        """What is given to whoever waits for the request's completion."""
        if self.shape is None:
            return completion
        return answer_of(completion, self.shape, self.request, engine)
