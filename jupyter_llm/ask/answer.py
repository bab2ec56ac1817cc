"""Answers with a shape: a Python value, what the model wrote for it, and how likely that was."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from jupyter_llm.ask.asking import ask
from jupyter_llm.common.bundle import bundle, exact_output
from jupyter_llm.common.html_text import joined
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.common.bundle import Bundle
    from jupyter_llm.common.html_text import Html
    from jupyter_llm.engine.base import BulkEngine
    from jupyter_llm.engine.completion import Choice, Completion
    from jupyter_llm.engine.request import Request

T = TypeVar("T")

_JSON = json.JSONDecoder()
_CUT = {
    "length": "cut off after {}; `max_tokens=` (`-n`) allows more",
    "repetition": "ended after {}: it repeats itself; `may_repeat=True` (`--may-repeat`) allows it",
    "cancelled": "stopped after {}",
}


def answer_of(
    completion: Completion,
    shape: Shape[T],
    request: Request | None = None,
    engine: BulkEngine | None = None,
) -> ShapedAnswer[T]:
    """Read a completion as an answer; `ShapeError` if it was cut off or does not have the shape.

    The `request` and the `engine` that wrote it are needed to judge how likely its parts were.
    """
    text = completion.text
    if completion.finish_reason in _CUT:
        message = _CUT[completion.finish_reason]
        message = message.format(count_of(completion.usage.completion_tokens, "token"))
        message = f"The answer was {message}. What there is of it is in the exception."
        raise ShapeError(message, text=text, partial=shape.partial(text), completion=completion)
    try:
        value = shape.read(text)
    except ShapeError as error:
        error.completion = completion
        raise error from None
    return ShapedAnswer(value, completion, shape, request, engine)


@dataclass(frozen=True, repr=False)
class ShapedAnswer(Generic[T]):
    """An answer with a shape: `value` is the Python object, `str()` the text.

    `completion` is the text with its record, which a notebook keeps as metadata.
    """

    value: T
    completion: Completion
    _shape: Shape[T] = field(compare=False)
    _request: Request | None = field(default=None, compare=False)
    _engine: BulkEngine | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.completion.text

    @property
    def reasoning(self) -> str:
        """The text that the model wrote before the answer."""
        return self.completion.reasoning

    @cached_property
    def judged(self) -> dict[str, Stream]:
        """The running requests that measure how likely the answer was, by field.

        The first access starts them and does not wait, so the requests of many answers run
        together. An object has one for each field that is a choice, a bool or a number. Any other
        answer has one, named "". A choice has none: its completion contains the probabilities.
        """
        if self.completion.choice is not None:
            return {}
        if self._request is None or self._engine is None:
            raise OptionError("How likely this answer was cannot be asked for: its prompt is gone.")
        params = replace(self._request.params, reason=0, think=None)  # which has been
        # Beside the conversation, so that what is resident of it stays.
        request = replace(self._request, params=params, reasoning=self.reasoning, conversation=None)
        whole = {"": replace(request, constraint=OneOf((self.text,)))}
        fields = _field_requests(request, self.text, self._shape.choice_fields)
        asked = fields if self._shape.columns else whole
        return {name: ask(self._engine, each, "again") for name, each in asked.items()}

    @cached_property
    def _choices(self) -> dict[str, Choice]:
        """The values that each field was compared with; the whole text is the field ""."""
        try:
            ends = {name: stream.result() for name, stream in self.judged.items()}
        except BaseException:
            self.__dict__.pop("judged", None)  # it is begun anew when somebody asks again
            raise
        whole = {"": self.completion, **ends}
        return {name: end.choice for name, end in whole.items() if end.choice is not None}

    @property
    def is_approximate(self) -> bool:
        """Whether the probabilities may be far off: a server spelled a text in other tokens."""
        return any(choice.is_approximate for choice in self._choices.values())

    @property
    def probabilities(self) -> dict[Any, Any]:
        """The probability of each value of a choice; of an object, by field that is a choice.

        For a number or a free text it is the probability of the value that was written.
        """
        choices = self._choices
        if self._shape.columns:
            return {name: _likelihood(choice) for name, choice in choices.items()}
        if self.completion.choice is None:
            return {self.text: _likelihood(choices[""])}
        return {self._shape.read(text): p for text, p in choices[""].probabilities.items()}

    @property
    def elsewhere(self) -> Any:
        """The probability of any other text, without the constraint; of an object, by field."""
        others = {name: choice.elsewhere for name, choice in self._choices.items()}
        return others if self._shape.columns else others[""]

    @property
    def confidence(self) -> Any:
        """The probability of the value that was answered; of an object, by field."""
        if self.completion.choice is not None:
            return self.completion.choice.probabilities[self.text]
        likely = self.probabilities
        if not self._shape.columns:
            return likely[self.text]
        written = json.loads(self.text)
        return {name: p if isinstance(p, float) else p[written[name]] for name, p in likely.items()}

    @property
    def html(self) -> Html:
        """The value as a tree that folds, or the choices as bars; no script runs."""
        from jupyter_llm.ask.tree import bars_html, value_html

        if self.completion.choice is not None:
            return bars_html(self.completion.choice.probabilities, self.elsewhere)
        return value_html(json.loads(self.text) if self._shape.is_json else self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the value with its completion, without the engine."""
        from jupyter_llm.ask.shape import Shape

        return type(self), (
            self.value,
            self.completion,
            Shape(None, str, is_json=self._shape.is_json),
        )

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ShapedAnswer({self.value!r})"

    def _repr_mimebundle_(self, **_wanted: object) -> tuple[Bundle, dict[str, Any]]:
        """Return the text, which `/verify` compares, with the record as metadata."""
        _, metadata = self.completion._repr_mimebundle_()
        thought = f"({self.completion.thought})\n\n" if self.reasoning else ""
        shown = joined([self.completion.thoughts_html, self.html])
        return bundle(exact_output(thought + self.text), shown), metadata


def _field_requests(
    request: Request, text: str, fields: Mapping[str, tuple[str, ...]]
) -> dict[str, Request]:
    """Return the requests that judge some fields of an object, given the values of each.

    A field without values is a number: only the number that was written is judged. The text is
    spelled in our layout, since servers have layouts of their own.
    """
    text = json.dumps(json.loads(text), ensure_ascii=False) if fields else ""
    asked, end = {}, 1
    while fields and text.startswith('"', end):  # {"name": value, "name": value}
        name, colon = _JSON.raw_decode(text, end)
        _, end = _JSON.raw_decode(text, colon + 2)
        if name in fields:
            # With what stands behind it, so that 1 is not taken for the start of 12.
            texts = [f" {one}{text[end]}" for one in fields[name] or (text[colon + 2 : end],)]
            before = request.answer_prefix + text[: colon + 1]
            constraint = OneOf(tuple(texts), is_whole=False)
            asked[name] = replace(request, answer_prefix=before, constraint=constraint)
        end += 2
    return asked


def _likelihood(choice: Choice) -> Any:
    """Return the probability of each value of a field, or of the only one compared."""
    if len(choice.scores) == 1:
        return math.exp(choice.scores[0].logprob)
    return {_JSON.raw_decode(text.lstrip())[0]: p for text, p in choice.probabilities.items()}


class ShapedStream(Stream, Generic[T]):
    """An answer with a shape while it is written: a stream of its text, and its `partials`.

    `stream` is that of the text alone. `follow` asks again after a value that was refused.
    """

    def __init__(
        self,
        stream: Stream,
        shape: Shape[T],
        request: Request,
        engine: BulkEngine,
        follow: Callable[[ShapeError], Stream] | None = None,
    ) -> None:
        vars(self).update(vars(stream))  # one and the same, which ends where nobody holds `stream`
        self.stream = stream
        self._shape = shape
        self._asked = (shape, request, engine)
        self._follow = follow
        self._following: Stream | None = None

    def partials(self) -> Iterator[object]:
        """Yield the value so far whenever another part is complete, and at the end the value.

        An object is a dict with its complete fields.
        """
        text, before = "", None
        for chunk in self:
            text += chunk.text
            partial = self._shape.partial(text)
            if partial is not None and partial != before:
                before = partial
                yield partial
        yield self.result().value

    def result(self, timeout: float | None = None) -> ShapedAnswer[T]:  # type: ignore[override]
        """Wait for the end and return the answer; `timeout` in seconds.

        Raises
        ------
        ShapeError, PromptInterrupted
        """
        try:
            return answer_of(super().result(timeout), *self._asked)
        except ShapeError as error:
            if self._follow is None:
                raise
            self._following = self._following or self._follow(error)
        return cast("ShapedAnswer[T]", self._following.result(timeout))
