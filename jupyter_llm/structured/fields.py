"""How likely the fields of an object are: each compared with what could stand in its place."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.constraint import OneOf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_llm.engine.completion import Choice
    from jupyter_llm.engine.request import Request

_JSON = json.JSONDecoder()


def field_requests(
    request: Request, text: str, fields: Mapping[str, tuple[str, ...]]
) -> dict[str, Request]:
    """What tells how likely some fields of an object's text are, given what may stand in each.

    Where there are no such values the field is a number, and only the one that was written counts.
    """
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


def likelihood(choice: Choice) -> Any:
    """How likely each value was that could stand in a field, or the only one compared."""
    if len(choice.scores) == 1:
        return math.exp(choice.scores[0].logprob)
    return {_JSON.raw_decode(text.lstrip())[0]: p for text, p in choice.probabilities.items()}
