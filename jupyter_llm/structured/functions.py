"""Functions that a model answers: a signature, a docstring, examples, and no body."""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property, partial, update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from jupyter_llm.common.expressions import interpolate, shield
from jupyter_llm.engine.options import sampling_params
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import JupyterLLMError, OptionError
from jupyter_llm.notebook.values.summaries import summarize
from jupyter_llm.structured.asking import Question

if TYPE_CHECKING:
    from types import CodeType

    from jupyter_llm.structured.answer import ShapedAnswer
    from jupyter_llm.structured.shape import Shape

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")


class ModelFunction(Generic[P, R]):
    """A function that a model answers: called, it returns what its annotation says.

    Its docstring is the prompt, with an argument wherever `{{name}}` stands; those that it does not
    name follow it. `llm` is whom it asks, with the `options` of a prompt; `examples` are pairs of
    arguments and results, which the model is told as turns before. The result of an `async`
    function is awaited.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R],
        llm: Any,
        options: Mapping[str, Any],
        examples: Iterable[tuple[object, object]] = (),
    ) -> None:
        code = getattr(function, "__code__", None)
        self._name = name = f"{getattr(function, '__name__', function)}()"
        if code is None or not inspect.isfunction(function):
            raise OptionError(f"llm.function takes a function of yours, not {function!r}.")
        if not (function.__doc__ or "").strip():
            raise OptionError(f"{name} has no docstring, which is what the model is told.")
        if function.__annotations__.get("return") in (None, "None"):
            raise OptionError(f"{name} has no return annotation: write `-> str`, or another type.")
        if _steps(code) not in (_steps(_nothing.__code__), _steps(_nothing_async.__code__)):
            raise OptionError(f"{name} has a body, which would not run: leave the docstring alone.")
        given = dict(options)
        self._model, self._system = given.pop("model", None), given.pop("system", None)
        self._params = sampling_params(given)
        self._options = options
        self._function = function
        self._llm = llm
        self._examples = tuple(examples)
        self._signature = inspect.signature(function)
        self._self: tuple[object, ...] = ()
        self._num_selves = 0
        update_wrapper(self, function)

    def __set_name__(self, _owner: type, _name: str) -> None:
        self._num_selves = 1  # the first parameter of a method, which the model is not told

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self: ModelFunction[Concatenate[Any, Q], R], instance: object, owner: type
    ) -> ModelFunction[Q, R]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        bound = copy.copy(self)
        bound._self = (instance,)  # noqa: SLF001  it is one of ours
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the model, and return what it answers."""
        question = self._question(args, kwargs)
        if inspect.iscoroutinefunction(self._function):
            return self._awaited(question)  # type: ignore[return-value]
        return self._answer(question).value

    def answer(self, *args: P.args, **kwargs: P.kwargs) -> ShapedAnswer[R]:
        """The whole answer of a call, with its completion and how likely it was."""
        return self._answer(self._question(args, kwargs))

    def prompt(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The text that the model would read for a call; nothing is answered."""
        request = self._question(args, kwargs).request
        text: str = self._llm.engine(self._model).format(request.prompt, think=request.params.think)
        return text

    def map(self, items: Any, **options: Any) -> Any:
        """The results for a column, or for a frame with a column for each parameter: `llm.map`."""
        return self._llm.map(**self._mapped(items, options))

    async def amap(self, items: Any, **options: Any) -> Any:
        """The same while the event loop goes on: `llm.amap`."""
        return await self._llm.amap(**self._mapped(items, options))

    def __repr__(self) -> str:
        return f"<{self._function.__qualname__}{self._signature}, which a model answers>"

    @cached_property
    def _shape(self) -> Shape[R]:
        """The shape of what it returns, made when it is first called: its type may come later."""
        from jupyter_llm.structured.shape import shape_of

        kind = self._signature.return_annotation
        if isinstance(kind, str):
            known = inspect.getclosurevars(self._function).nonlocals
            try:
                kind = eval(kind, self._function.__globals__, {**known})  # noqa: S307  theirs
            except Exception as error:
                raise OptionError(f"{self._name} returns what is not known: {error}.") from error
        return shape_of(kind)

    @cached_property
    def _template(self) -> str:
        """The docstring, with what it does not name after it."""
        text = inspect.cleandoc(self._function.__doc__ or "")
        named = {name for source in shield(text)[1] for name in _names_in(source[2:-2].strip())}
        others = [*self._signature.parameters][self._num_selves :]
        lines = [f"{name}: {{{{{name}}}}}" for name in others if name not in named]
        return "\n\n".join([text, *["\n".join(lines)][: len(lines)]])

    @cached_property
    def _turns(self) -> tuple[Message, ...]:
        """The examples, as if the model had answered them."""
        turns = []
        for args, result in self._examples:
            values = args if isinstance(args, tuple) else (args,)
            asked = self._text((*(None,) * self._num_selves, *values), {})
            turns += [Message("user", asked), Message("assistant", _written(result, self._shape))]
        return tuple(turns)

    def _text(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """The prompt of a call."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = dict([*bound.arguments.items()][self._num_selves :])
        return interpolate(self._template, lambda text: _told(eval(text, {**values})))  # noqa: S307

    def _answer(self, question: Question[R]) -> ShapedAnswer[R]:
        stream = question.ask(self._llm.engine(self._model), self._llm.answers)
        return cast("ShapedAnswer[R]", stream.result())

    async def _awaited(self, question: Question[R]) -> Any:
        answer = await question.wait(partial(self._llm.engine, self._model), self._llm.answers)
        return cast("ShapedAnswer[R]", answer).value

    def _mapped(self, items: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """What `llm.map` is given; a parameter that is no column stands at its default."""
        from jupyter_llm.structured.tables import ITEM, rows_of

        parameters = [*self._signature.parameters.values()][self._num_selves :]
        rows = rows_of(items, parameters[0].name if parameters else ITEM)
        template = self._template
        for one in parameters:
            if one.name not in rows.columns and one.default is not one.empty:
                told = _told(one.default).replace("{{", r"\{{")
                template = template.replace(f"{{{{{one.name}}}}}", told)
        asked = {"items": rows, "template": template, "schema": self._shape, "before": self._turns}
        return {**asked, **self._options, **options}

    def _question(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Question[R]:
        asked = Message("user", self._text((*self._self, *args), kwargs))
        system = [Message("system", self._system)] if self._system else []
        prompt = (*system, *self._turns, asked)
        return Question.of(Request(prompt=prompt, params=self._params), self._shape)


def _nothing() -> None:
    """Do nothing."""


async def _nothing_async() -> None:
    """Do nothing."""


def _steps(code: CodeType) -> list[tuple[str, object]]:
    """What code does, whatever its names and lines are."""
    steps = (step for step in dis.get_instructions(code) if step.opname != "NOP")
    return [(step.opname, step.argval if "CONST" in step.opname else None) for step in steps]


def _names_in(expression: str) -> set[str]:
    with suppress(SyntaxError):
        nodes = ast.walk(ast.parse(expression, mode="eval"))
        return {node.id for node in nodes if isinstance(node, ast.Name)}
    return set()


def _told(value: object) -> str:
    """What the model is told of an argument: a text as it is, and of a frame what `@name` tells."""
    if isinstance(value, str):
        return value
    text = repr(value)
    return summarize("", value).removeprefix(": ") if "\n" in text else text


def _written(value: object, shape: Shape[Any]) -> str:
    """What the model would have written for a value."""
    from pydantic_core import to_jsonable_python

    with suppress(ValueError):
        as_json = json.dumps(to_jsonable_python(value), ensure_ascii=False)
        for text in (*shape.choices, value, as_json):
            with suppress(JupyterLLMError):
                if isinstance(text, str) and shape.read(text) == value:
                    return text
    raise OptionError(f"The example's result {value!r} is not of the type that is returned.")
