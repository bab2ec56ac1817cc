"""How likely the fields of an object are: each compared with what could stand in its place."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.constraint import OneOf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_llm.engine.completion import Choice
    from jupyter_llm.engine.request import Request

_NAME = re.compile(r'[\s{,]*(?=")')
_COLON = re.compile(r"\s*:(\s*)")
_JSON = json.JSONDecoder()


def field_requests(
    request: Request, text: str, fields: Mapping[str, tuple[str, ...]]
) -> dict[str, Request]:
    """What tells how likely some fields of an object's text are, given what may stand in each.

    Where there are no such values the field is a number, and only the one that was written counts.
    """
    asked = {}
    for name, blanks, value, end in _places(text):
        if name in fields:
            # With what stands behind it, so that 1 is not taken for the start of 12.
            texts = [blanks + one + text[end] for one in fields[name] or (value,)]
            asked[name] = replace(
                request,
                answer_prefix=request.answer_prefix + text[: end - len(blanks + value)],
                constraint=OneOf(tuple(texts), is_whole=False),
            )
    return asked


def likelihood(choice: Choice) -> Any:
    """How likely each value was that could stand in a field, or the only one compared."""
    if len(choice.scores) == 1:
        return math.exp(choice.scores[0].logprob)
    return {_JSON.raw_decode(text.lstrip())[0]: p for text, p in choice.probabilities.items()}


def _places(text: str) -> Iterator[tuple[str, str, str, int]]:
    """Yield the fields of an object: name, blanks before the value, value, and where that ends."""
    end = 0
    while name := _NAME.match(text, end):
        key, end = _JSON.raw_decode(text, name.end())
        colon = _COLON.match(text, end)
        assert colon is not None  # the text was read as JSON
        _, end = _JSON.raw_decode(text, colon.end())
        yield key, colon[1], text[colon.end() : end], end
