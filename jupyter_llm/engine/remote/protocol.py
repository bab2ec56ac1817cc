"""OpenAI's protocol with llama-server's grammars, and the parsing of answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, TypeVar

from pydantic_core import from_json

from jupyter_llm.engine.constraint import BeginsWith, Constraint, Exactly, Grammar, OneOf
from jupyter_llm.engine.tokens import TokenLogprob

T = TypeVar("T")

OFF = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "ignore_eos": False}
"""Values with which an option has no effect, so that a server need not support it."""

_MOST_COUNTED = 2**53
_MOST_TOPS = 100  # for a token, as in `SamplingParams.logprobs`
_LEAST = -9999.0  # OpenAI's value for the logarithm of 0
LLAMA = ("llamacpp", "jupyter_llm")
"""Owners of the models of servers that know llama-server's options."""


@dataclass(frozen=True, slots=True)
class Means:
    """A way to enforce the shape of an answer: fields to add to a request.

    With `is_quoted` the server answers with a JSON string that contains the text.
    """

    name: str
    spell: Callable[[Any], dict[str, Any]]
    is_quoted: bool = False

    def text_of(self, answer: str, *, is_cut: bool = False) -> str:
        """Return the text of an answer, as far as it is written; `ValueError` if there is none."""
        if not self.is_quoted:
            return answer
        part: Literal["trailing-strings", False] = "trailing-strings" if is_cut else False
        return str(from_json(answer or '""', allow_partial=part))


def _schema(schema: object) -> dict[str, Any]:
    named = {"name": "answer", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _text_of(**more: object) -> dict[str, Any]:
    return _schema({"type": "string", **more})


def _one_of(texts: Sequence[str], rest: str = "") -> dict[str, Any]:
    """Return a llama.cpp grammar for some texts, each character by its number."""
    spelled = ("".join(rf"\U{ord(character):08X}" for character in text) for text in texts)
    return {"grammar": "root ::= (" + " | ".join(f'"{text}"' for text in spelled) + f") {rest}"}


_CHOICE = (
    Means("gbnf", lambda one: _one_of(one.texts)),
    Means("enum", lambda one: _text_of(enum=list(one.texts)), is_quoted=True),
)
MEANS: dict[str, tuple[Means, ...]] = {
    "json": (Means("response_format", lambda one: _schema(json.loads(one.text))),),
    "regex": (Means("pattern", lambda one: _text_of(pattern=f"^({one.text})$"), is_quoted=True),),
    "lark": (Means("llguidance", lambda one: {"grammar": f"%llguidance {{}}\n{one.text}"}),),
    "choice": _CHOICE,
    "scoring": _CHOICE[:1],
    "continuing": (Means("message", lambda _none: {}),),
    "beginning": (Means("gbnf", lambda one: _one_of(one.texts, r"[\x00-\U0010FFFF]*")),),
}
"""The ways for each ability of a server: llama-server's before OpenAI's."""


def shape_of(constraint: Constraint) -> str:
    """Return the ability that a server needs for a constraint."""
    if isinstance(constraint, Grammar):
        return constraint.kind
    return {OneOf: "choice", BeginsWith: "beginning", Exactly: "tokens"}[type(constraint)]


def sound(text: str) -> str:
    """Return a text without lone surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def at(data: Any, kind: type[T], *path: str) -> T | None:
    """Return the value at a path in an answer if it has this type.

    Lists stand for their first item.
    """
    for name in path:
        data = data[0] if isinstance(data, list) and data else data
        data = data.get(name) if isinstance(data, dict) else None
    data = data[0] if isinstance(data, list) and data and kind is not list else data
    return data if isinstance(data, kind) else None


def first_value(data: object, *names: str) -> Any:
    """Return the first value with one of some names, at any depth of an answer.

    None if there is none.
    """
    below = [data]  # no recursion: an answer may have any depth
    while below:
        one = below.pop()
        if isinstance(one, dict):
            here = (one.get(name) for name in names)
            if (value := next((value for value in here if value is not None), None)) is not None:
                return value
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        below += reversed([value for value in inner if isinstance(value, dict | list)])
    return None


def count(data: object, *names: str) -> int:
    """Return a count anywhere in a server's answer, or 0."""
    value = first_value(data, *names)
    return value if type(value) is int and 0 < value < _MOST_COUNTED else 0


def words_of(choice: object) -> tuple[str, str]:
    """Return the text and the thoughts in a piece of an answer, or in all of it."""
    who = "delta" if at(choice, dict, "delta") is not None else "message"
    text = at(choice, str, who, "content") or at(choice, str, "text") or ""
    thought = at(choice, str, who, "reasoning_content") or at(choice, str, who, "reasoning") or ""
    return sound(text), sound(thought)


def likely(choice: object) -> list[TokenLogprob]:
    """Return the tokens of a piece with their log-probabilities, of a chat or of raw text."""
    report = at(choice, dict, "logprobs") or {}
    tokens = report.get("content")
    if tokens is None:
        columns = (report.get(name) or () for name in ("tokens", "token_logprobs", "top_logprobs"))
        tokens = [
            {
                "token": text,
                "logprob": logprob,
                "top_logprobs": [{"token": a, "logprob": b} for a, b in (top or {}).items()],
            }
            for text, logprob, top in zip_longest(*columns)
        ]
    tops = (map(_pair, (at(one, list, "top_logprobs") or ())[:_MOST_TOPS]) for one in tokens)
    ordered = (tuple(sorted(some, key=lambda pair: -pair[1])) for some in tops)
    return [TokenLogprob(-1, *_pair(one), top) for one, top in zip(tokens, ordered, strict=True)]


def _pair(one: object) -> tuple[str, float]:
    logprob = at(one, float, "logprob") or float(at(one, int, "logprob") or 0)
    if math.isnan(logprob):
        raise ValueError("a log-probability is no number")
    return sound(at(one, str, "token") or ""), max(logprob, _LEAST)
