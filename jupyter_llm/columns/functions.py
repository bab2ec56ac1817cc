"""Functions that a model answers: a signature, a docstring, examples, and no body."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial, update_wrapper
from types import CodeType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from jupyter_llm.ask.answer import ShapedAnswer
from jupyter_llm.ask.question import Question
from jupyter_llm.ask.shape import Shape
from jupyter_llm.columns.tables import Rows
from jupyter_llm.common.expressions import interpolate, shield
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.options import sampling_params
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import JupyterLLMError, OptionError
from jupyter_llm.notebook.values.summaries import summarize

P = ParamSpec("P")
R = TypeVar("R")


class ModelFunction(Generic[P, R]):
    """A function that a model answers: a call returns a value of the annotated type.

    The docstring is the prompt. `{{name}}` in it is replaced with an argument; the other arguments
    follow it. The options are those of a prompt to `llm`, and `examples`: pairs of arguments and
    results, which the model reads as earlier turns.
    """

    __name__: str

    def __init__(self, function: Callable[P, R], llm: Any, options: Mapping[str, Any]) -> None:
        if not inspect.isfunction(function):
            raise OptionError(f"llm.function takes a function of yours, not {function!r}.")
        update_wrapper(self, function)
        name = f"{self.__name__}()"
        if not (function.__doc__ or "").strip():
            raise OptionError(f"{name} has no docstring, which is the prompt.")
        if function.__annotations__.get("return") in (None, "None"):
            raise OptionError(f"{name} has no return annotation: write `-> str`, or another type.")
        if not _is_empty(function.__code__):
            raise OptionError(f"{name} has a body, which would not run: leave the docstring alone.")
        given = dict(options)
        try:
            self._examples = [(args, result) for args, result in given.pop("examples", ())]
        except (TypeError, ValueError):
            says = "examples= are pairs of arguments and results, as [((1, 2), 3)]."
            raise OptionError(says) from None
        self._options = dict(given)
        self._engine: Callable[[], Engine] = partial(llm.engine, given.pop("model", None))
        self._system, self._retries = given.pop("system", None), given.pop("retries", 0)
        self._params = sampling_params(given)
        self._function, self._llm = function, llm
        self._signature = inspect.signature(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the model, and return the value; the result of an `async` function is awaited."""
        if inspect.iscoroutinefunction(self._function):
            return cast("R", self._awaited(self._question(args, kwargs)))
        return self.answer(*args, **kwargs).value

    def answer(self, *args: P.args, **kwargs: P.kwargs) -> ShapedAnswer[R]:
        """Return the answer of a call, with its completion and probabilities."""
        question = self._question(args, kwargs)
        return cast("ShapedAnswer[R]", question.ask(self._engine(), self._llm.answers).result())

    async def _awaited(self, question: Question[R]) -> R:
        answer = await question.wait(self._engine, self._llm.answers)
        return cast("ShapedAnswer[R]", answer).value

    def prompt(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text that the model would read for a call, without asking it."""
        request = self._question(args, kwargs).request
        return self._engine().format(request.prompt, think=request.think)

    def map(self, items: Any, **options: Any) -> Any:
        """Return the results for a column, or a frame with a column a parameter; see `llm.map`."""
        asked = {"schema": self._shape, "before": self._turns, **self._options, **options}
        return self._llm.map(self._rows(items), "{{item}}", **asked)

    @cached_property
    def _shape(self) -> Shape[R]:
        """The shape of the result, made at the first call: its type may be defined later."""
        from jupyter_llm.ask.shape import shape_of

        kind = self._function.__annotations__["return"]
        try:
            if isinstance(kind, str):
                known = inspect.getclosurevars(self._function).nonlocals
                kind = eval(kind, self._function.__globals__, {**known})  # noqa: S307  theirs
        except Exception as error:
            raise OptionError(f"{self.__name__}() returns what is not known: {error}.") from error
        return shape_of(kind)

    @cached_property
    def _template(self) -> str:
        """The docstring, followed by the arguments that it does not name."""
        text, named = inspect.cleandoc(self.__doc__ or ""), set()
        for source in shield(text)[1]:
            with suppress(SyntaxError):
                nodes = ast.walk(ast.parse(source[2:-2].strip(), mode="eval"))
                named |= {node.id for node in nodes if isinstance(node, ast.Name)}
        others = [name for name in self._signature.parameters if name not in named]
        lines = "\n".join(f"{name}: {{{{{name}}}}}" for name in others)
        return f"{text}\n\n{lines}" if lines else text

    @cached_property
    def _turns(self) -> tuple[Message, ...]:
        """The examples as turns of the model."""
        turns = []
        for args, result in self._examples:
            values = args if isinstance(args, tuple) else (args,)
            asked = self._text(self._signature.bind(*values))
            turns += [Message("user", asked), Message("assistant", _written(result, self._shape))]
        return tuple(turns)

    def _text(self, bound: inspect.BoundArguments) -> str:
        bound.apply_defaults()
        known = bound.arguments
        return interpolate(self._template, lambda text: _text_of(eval(text, {**known})))  # noqa: S307

    def _question(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Question[R]:
        return Question(
            prompt=self._text(self._signature.bind(*args, **kwargs)),
            system=self._llm.timeline.rules.above(self._system),
            before=self._turns,
            params=self._params,
            shape=self._shape,
            retries=self._retries,
        )

    def _rows(self, items: Any) -> Rows:
        """Return the text of a call for each row; other parameters have their defaults."""
        from jupyter_llm.columns.tables import ITEM, rows_of

        names = list(self._signature.parameters)
        rows = rows_of(items, next(iter(names), ITEM))
        known = [name for name in names if name in rows.columns]
        if rows.columns:
            self._signature.bind(**dict.fromkeys(known))  # or it says what is missing

        def text(row: Mapping[str, object]) -> dict[str, str | None]:
            is_whole = all(value is not None for value in row.values())
            return {ITEM: self._text(self._signature.bind(**row)) if is_whole else None}

        def values(_columns: object) -> Iterator[dict[str, str | None]]:
            return map(text, rows.values(known))

        return replace(rows, columns=(ITEM,), is_single=True, values=values)


def _is_empty(code: CodeType) -> bool:
    """Whether code is only a docstring; `...` and `pass` do not count."""
    kind = "async " if code.co_flags & inspect.CO_COROUTINE else ""
    empty = compile(f'{kind}def f():\n """A docstring."""', "", "exec").co_consts[0]
    return (code.co_code, code.co_consts[1:]) == (empty.co_code, empty.co_consts[1:])


def _text_of(value: object) -> str:
    """Return the text of an argument in a prompt; a table is summarized as for `@name`."""
    text = str(value)
    is_drawn = "\n" in text and not isinstance(value, str)
    return summarize("", value).removeprefix(": ") if is_drawn else text


def _written(value: object, shape: Shape[Any]) -> str:
    """Return the text that the model would write for a value."""
    from pydantic_core import to_jsonable_python

    with suppress(ValueError):
        as_json = json.dumps(to_jsonable_python(value), ensure_ascii=False)
        for text in (*shape.choices, value, as_json):
            with suppress(JupyterLLMError):
                if isinstance(text, str) and shape.read(text) == value:
                    return text
    raise OptionError(f"The example's result {value!r} is not of the type that is returned.")
