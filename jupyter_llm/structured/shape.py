"""The shape that an answer must have, whatever it was written as."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.constraint import Constraint, Grammar, OneOf
from jupyter_llm.errors import OptionError

T = TypeVar("T")


@dataclass(frozen=True)
class Shape(Generic[T]):
    """What an answer must look like, and how it is read: one of a few kinds.

    `constraint` is what the engine holds to, None where any text will do. `instruction` tells the
    model of it, empty where there is nothing to tell. `columns` names the fields of an object.
    `choice_fields` are those of them that are one of a few values, as they stand in the answer's
    JSON, or numbers, with no values.
    """

    constraint: Constraint | None
    reader: Callable[[str], T] = field(repr=False)
    instruction: str = ""
    columns: tuple[str, ...] = ()
    choice_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts of which the answer is one; none where it is something else."""
        return self.constraint.texts if isinstance(self.constraint, OneOf) else ()

    @property
    def key(self) -> str:
        """A text that is the same for the same shape, in every process."""
        kind = type(self.constraint).__name__
        texts = self.choices
        if isinstance(self.constraint, Grammar):
            kind, texts = self.constraint.kind, (self.constraint.text,)
        return json.dumps([kind, *texts, self.instruction], ensure_ascii=False)

    def read(self, text: str) -> T:
        """The value that an answer's whole text stands for.

        Raises
        ------
        ShapeError
            Where the text is not of this shape.
        """
        try:
            return self.reader(text)
        except ValueError as error:
            reason = f"The answer has not the shape it was to have: {_reason(error)}."
            raise ShapeError(reason, text=text, partial=self.partial(text)) from error

    def partial(self, text: str) -> object:
        """What is complete of an answer that is still being written, or None.

        Plain dicts, lists, texts and numbers. Nothing is in it by half: a text appears with its
        last character, and a number when something stands behind it.
        """
        if not isinstance(self.constraint, Grammar) or self.constraint.kind != "json":
            return None
        from pydantic_core import from_json

        try:
            found = from_json(re.sub(r"-?\d[\d.eE+-]*$", "", text), allow_partial=True)
        except ValueError:
            return None
        return found or None


def shape_of(
    schema: Any = None,
    *,
    choices: Iterable[object] | str | None = None,
    regex: str | None = None,
    grammar: str | None = None,
) -> Shape[Any]:
    """The shape that somebody wrote as a type, a JSON Schema, choices, a pattern or a grammar.

    Raises
    ------
    OptionError
        Where an answer cannot be held to it: which field, and what to write instead.
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
    if schema is not None:
        return _of_json(schema)
    return _of_text("regex" if regex is not None else "lark", regex or grammar)


def _reason(error: ValueError) -> str:
    """What is wrong with an answer, in a few words that begin with the field."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _labels(choices: Iterable[object] | str) -> dict[str, object]:
    """What the model may write for each of some choices, and which that is."""
    from jupyter_llm.structured.schemas import name_of

    if isinstance(choices, str):
        choices = [part.strip() for part in choices.split(",")]
    if isinstance(choices, Mapping):
        return dict(choices)
    if not isinstance(choices, Iterable):
        raise OptionError(f"choices= are the texts to choose from, not {choices!r}.")
    named = {}
    for choice in choices:
        if isinstance(choice, Enum):
            name = choice.value if isinstance(choice.value, str) else choice.name
        else:
            is_plain = choice is None or isinstance(choice, bool | str)
            name = name_of(choice) if is_plain else str(choice)
        named[name] = choice
    return named


def _choice(values: Mapping[str, T]) -> Shape[T]:
    def read(text: str) -> T:
        if text.strip() not in values:
            raise ValueError(f"{text.strip()!r} is none of {', '.join(values)}")
        return values[text.strip()]

    return Shape(OneOf(tuple(values)), read)


def _of_text(kind: Any, text: str | None) -> Shape[str]:
    if not isinstance(text, str) or not text:
        raise OptionError(f"A shape of that kind is written as a text, not {text!r}.")
    return Shape(Grammar(kind, text), str)


def _of_json(written: Any) -> Shape[Any]:
    """The shape of a type: a choice, a text of its own, or JSON."""
    from jupyter_llm.structured import schemas

    adapter = schemas.adapter_of(written)
    root = schemas.schema_of(adapter)

    def read(text: str) -> Any:
        return adapter.validate_json(text, by_alias=False, by_name=True)

    options = schemas.options_in(root, root)
    if options is not None:
        values = {name: read(json.dumps(value)) for name, value in options}
        return _choice(values)
    whole = schemas.resolved(root, root)
    pattern = _pattern(whole)
    if pattern is not None:
        constraint = Grammar("regex", pattern) if pattern else None
        return Shape(constraint, lambda text: read(json.dumps(text)))
    fields = cast("dict[str, Any]", whole.get("properties", {}))
    return Shape(
        Grammar("json", json.dumps(schemas.closed(root), ensure_ascii=False)),
        read,
        columns=tuple(fields),
        choice_fields=dict(_choice_fields(fields, root)),
    )


def _pattern(schema: Mapping[str, Any]) -> str | None:
    """The pattern of a text that stands alone, without quotes: empty for any text.

    None where it is none, or has rules besides.
    """
    if schema.get("type") != "string" or "format" in schema:
        return None
    pattern = schema.get("pattern")
    bounds = [schema.get("minLength"), schema.get("maxLength")]
    if pattern is None:
        least, most = ("" if bound is None else bound for bound in bounds)
        return f"(?s:.{{{least or 0},{most}}})" if (least, most) != ("", "") else ""
    is_whole = pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith(r"\$")
    return pattern if is_whole and bounds == [None, None] else None


def _choice_fields(
    fields: Mapping[str, Any], root: dict[str, Any]
) -> Iterable[tuple[str, tuple[str, ...]]]:
    from jupyter_llm.structured import schemas

    for name, part in fields.items():
        options = schemas.options_in(part, root)
        if options is not None:
            yield name, tuple(json.dumps(value, ensure_ascii=False) for _, value in options)
        elif schemas.resolved(part, root).get("type") in ("integer", "number"):
            yield name, ()
