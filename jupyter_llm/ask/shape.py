"""The shape of an answer: its constraint, its description for the model, and its reader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.constraint import Constraint, Grammar, OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.errors import OptionError

T = TypeVar("T")

_MAX_LISTED = 100  # choices that the description lists
_REASONS = "Explain your answer in a sentence."  # more would be cut off


class Quote(str):  # noqa: SLOT000 - a text with a dict, so that it can be copied
    """A passage of the prompt, word for word, from `start` to `end`.

    The type of a field is `Quote` or `Annotated[str, Quote]`. Of several equal passages it is the
    first. Without a prompt `start` and `end` are None.
    """

    start: int | None = None
    end: int | None = None

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.with_info_after_validator_function(cls._found, core_schema.str_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, inner: Any, handler: Any) -> dict[str, Any]:
        return {**handler(inner), "quote": True}

    @classmethod
    def _found(cls, text: str, info: Any) -> Quote:
        made, prompt = cls(text.strip()), info.context
        if isinstance(prompt, str):
            if not made or made not in prompt:
                raise ValueError(f"{text!r} is not in the prompt")
            made.start = prompt.index(made)
            made.end = made.start + len(made)
        return made


@dataclass(frozen=True)
class Shape(Generic[T]):
    """The form of an answer, and its reader.

    `constraint`: what the engine enforces; None allows any text. `instruction`: the description
    for the model, empty if there is nothing to say. `columns`: the fields of an object.
    `choice_fields`: the fields that are a choice, with their values in JSON, or a number, without
    values. `quoting`: returns the grammar whose quotes are passages of a prompt.
    """

    constraint: Constraint | None
    reader: Callable[..., T] = field(repr=False)
    instruction: str = ""
    columns: tuple[str, ...] = ()
    choice_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quoting: Callable[[str], Grammar] | None = field(default=None, repr=False)
    is_json: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts to choose from; empty if the shape is no choice."""
        return self.constraint.texts if isinstance(self.constraint, OneOf) else ()

    @staticmethod
    def stored(constraint: Constraint, instruction: str) -> Shape[str]:
        """Return the shape of an earlier answer: its constraint, and its turn's instruction."""
        return Shape(constraint, str, instruction.removeprefix(_REASONS).lstrip())

    def instruction_with(self, params: SamplingParams) -> str:
        """Return the instruction of a request; `reason` first asks for an explanation.

        `OptionError`: the options end the answer in another place than the shape does.
        """
        for name in ("stop", "ignore_eos"):
            if getattr(params, name):
                raise OptionError(f"{name}= cannot be used with a shape, which determines the end.")
        return f"{_REASONS} {self.instruction}".rstrip() if params.reason else self.instruction

    def for_prompt(self, text: str) -> Shape[T]:
        """Return the shape of an answer to a prompt, whose passages its quotes are."""
        if self.quoting is None:
            return self
        reader = partial(self.reader, prompt=text)
        return replace(self, constraint=self.quoting(text), reader=reader, quoting=None)

    def read(self, text: str) -> T:
        """Return the value of a complete answer; `ShapeError` if it does not have the shape."""
        try:
            return self.reader(text)
        except Exception as error:  # a validator of theirs may raise anything
            reason = f"The answer has not the shape it was to have: {_reason(error)}."
            raise ShapeError(reason, text=text, partial=self.partial(text)) from error

    def partial(self, text: str) -> object:
        """Return the complete parts of an answer that is still being written, or None.

        They are dicts, lists, texts and numbers. A text appears with its last character, and a
        number when another character follows it.
        """
        from pydantic_core import from_json

        if not self.is_json:
            return None  # a text may look like JSON
        before = text.rstrip("+-.0123456789eE")
        is_number = any(letter.isdigit() for letter in text[len(before) :])
        try:
            found = from_json(before if is_number else text, allow_partial=True)
        except ValueError:
            return None
        return found if isinstance(found, dict | list) and found else None


def shape_of(
    schema: Any = None,
    *,
    choices: Iterable[object] | str | None = None,
    regex: str | None = None,
    grammar: str | None = None,
    is_json: bool = False,
) -> Shape[Any]:
    """Return the shape of a type, a JSON Schema, choices, a pattern or a grammar.

    This is the only way from what a user asks for to a constraint. `is_json`: the answer is JSON,
    also where a JSON Schema allows a text without quotes. `OptionError` names the part that no
    answer can be held to, and what to write instead.
    """
    ways = {"schema": schema, "choices": choices, "regex": regex, "grammar": grammar}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        several = f", not {' and '.join(given)}" if given else ""
        raise OptionError(f"An answer has one of schema=, choices=, regex= and grammar={several}.")
    if isinstance(schema, Shape):
        return schema
    if choices is not None:
        return _choice(_labels(choices))
    if schema is None:
        return _of_language(given[0], ways[given[0]])
    try:
        return _whole_json(schema) if is_json else _of_json(schema)
    except RecursionError:
        message = "The schema is nested too deeply: name its parts in $defs, or in classes."
        raise OptionError(message) from None


def _reason(error: Exception) -> str:
    """Return the fault of an answer in a few words that begin with the field."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return f"{kind}{error}".rstrip(".")
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))


def _labels(choices: Any) -> Iterable[tuple[str, Any]]:
    """Return pairs of the text of a choice and its value."""
    from jupyter_llm.ask.schemas import label_of

    if isinstance(choices, str):
        choices = [part.strip() for part in choices.split(",")]
    if isinstance(choices, Mapping):
        return choices.items()
    if not isinstance(choices, Iterable):
        raise OptionError(f"choices= are the texts to choose from, not {choices!r}.")
    return [(label_of(one), one) for one in choices]


def _choice(labels: Iterable[tuple[str, T]]) -> Shape[T]:
    values: dict[str, T] = {}
    for label, value in labels:
        if values.setdefault(label, value) != value:
            raise OptionError(f"{values[label]!r} and {value!r} would both be written {label!r}.")

    def read(text: str) -> T:
        if text not in values:
            raise ValueError(f"{text!r} is none of {', '.join(values)}")
        return values[text]

    instruction = f"Answer with one of: {', '.join(values)}." if len(values) <= _MAX_LISTED else ""
    return Shape(OneOf(tuple(values)), read, instruction)


def _of_language(kind: Any, text: object) -> Shape[str]:
    from jupyter_llm.ask.schemas import refusal
    from jupyter_llm.engine.local.masks.grammar import fits, problem_of

    if not isinstance(text, str) or not text:
        raise OptionError(f"{kind}= is a text, not {text!r}.")
    language = Grammar("regex" if kind == "regex" else "lark", text)
    problem = problem_of(language)
    if problem:
        raise refusal("", f"{kind}={text!r}: {problem}")

    def read(answer: str) -> str:
        if not fits(language, answer):
            raise ValueError(f"{answer!r} is not of that {kind}")
        return answer

    return Shape(language, read)


def _whole_json(schema: Any) -> Shape[Any]:
    """Return the shape of a JSON Schema, for who reads JSON and tells the model nothing of it."""
    from jupyter_llm.ask import schemas

    root, read = schemas.of_json_schema(schema)
    schemas.check(root)
    return Shape(schemas.json_grammar(root), read, is_json=True)


def _of_json(written: Any) -> Shape[Any]:
    """Return the shape of a type or a JSON Schema: a choice, a text without quotes, or JSON."""
    from jupyter_llm.ask import schemas, spelling

    is_schema = isinstance(written, Mapping)
    if isinstance(written, str):
        is_schema = written.lstrip().startswith("{")
        written = written if is_schema else schemas.type_of(written)
    root, read = (schemas.of_json_schema if is_schema else schemas.of_type)(written)
    schemas.check(root)
    options = schemas.options_in(root, root)
    if options is not None:
        return _choice((label, read(json.dumps(value))) for label, value in options)
    whole = schemas.resolved(root, root)
    instruction = f"Answer in this form: {spelling.words_for(root)}"
    is_quoting = '"quote": true' in json.dumps(root)
    quoting = partial(spelling.quoting, root) if is_quoting else None
    if quoting is not None:
        quoting("")  # which finds out whether it can
    pattern = _pattern(whole)
    if pattern is not None:

        def read_text(text: str, **context: str) -> Any:
            return read(json.dumps(text), **context)

        language = Grammar("regex", pattern) if pattern else None
        return Shape(language, read_text, instruction if len(whole) > 1 else "", quoting=quoting)
    fields = whole.get("properties", {})
    choices = {}
    for name, part in fields.items():
        options = schemas.options_in(part, root)
        if options or schemas.kinds_in(part, root) & {"integer", "number"}:
            choices[name] = tuple(json.dumps(v, ensure_ascii=False) for _, v in options or ())
    language = schemas.json_grammar(root)
    return Shape(language, read, instruction, tuple(fields), choices, quoting, is_json=True)


def _pattern(schema: Mapping[str, Any]) -> str | None:
    """Return the pattern of a text without quotes, empty for any text.

    None if the schema is no text, or has other rules.
    """
    if schema.get("type") != "string" or "format" in schema:
        return None
    pattern, least, most = (schema.get(key) for key in ("pattern", "minLength", "maxLength"))
    if pattern is None:
        return "" if least is most is None else f"(?s:.{{{least or 0},{most or ''}}})"
    is_whole = re.fullmatch(r"\^.*[^\\]\$", pattern) and least is most is None
    return pattern if is_whole else None
