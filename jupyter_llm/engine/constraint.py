"""Constraints on an answer, as checked values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jupyter_llm.errors import OptionError


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """The answer begins with one of these texts, the likeliest, and then continues freely.

    If one text is the beginning of another, the answer may continue freely after the shorter one.
    """

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise `OptionError` if no answer can begin so."""
        _check(self, "An answer begins with one of at least one non-empty text")


@dataclass(frozen=True, slots=True)
class Grammar:
    """The whole answer matches a JSON Schema, a regular expression or a Lark grammar.

    `text` is the schema or grammar, in the notation of `kind`.
    """

    kind: Literal["json", "regex", "lark"]
    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The answer is exactly one of these texts: the likeliest with its end.

    Nothing is drawn: the texts are compared by log-probability, so sampling options do not matter.
    If not `is_whole`, text follows the answer, as after a value in an object, so the end does not
    count.
    """

    texts: tuple[str, ...]
    is_whole: bool = True

    def __post_init__(self) -> None:
        """Raise `OptionError` if this is no choice."""
        _check(self, "A choice is between non-empty texts")
        if len(set(self.texts)) < len(self.texts):
            raise OptionError(f"A choice is between different texts, not {self.texts!r}.")


def _check(constraint: BeginsWith | OneOf, rule: str) -> None:
    texts: Any = constraint.texts
    is_several = isinstance(texts, tuple | list) and len(texts) > 0
    if not is_several or not all(isinstance(text, str) and text for text in texts):
        raise OptionError(f"{rule}, not {texts!r}.")
    object.__setattr__(constraint, "texts", tuple(texts))


@dataclass(frozen=True, slots=True)
class Exactly:
    """The answer is exactly these tokens: they are read for their log-probabilities.

    Nothing is drawn, and the end does not count. `logprobs` adds the other likely tokens.
    """

    token_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise `OptionError` if these are no token ids."""
        object.__setattr__(self, "token_ids", checked_ids(self.token_ids))


def checked_ids(token_ids: Any) -> tuple[int, ...]:
    """Return token ids; `OptionError` if they are invalid."""
    is_list = isinstance(token_ids, tuple | list) and len(token_ids) > 0
    if not is_list or not all(type(one) is int and one >= 0 for one in token_ids):
        raise OptionError(f"Tokens are given by their numbers from 0 on, not {token_ids!r:.60}.")
    return tuple(token_ids)


Constraint = BeginsWith | Exactly | Grammar | OneOf
"""A constraint on an answer's text; the engine never breaks it."""


def free_part(constraint: Constraint | None, answer: str) -> str:
    """Return the part of an answer after the text with which it had to begin."""
    if not isinstance(constraint, BeginsWith):
        return answer
    sizes = (len(text) for text in constraint.texts if answer.startswith(text))
    return answer[min(sizes, default=len(answer)) :]
