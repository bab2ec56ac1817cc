"""What an answer must look like, as checked values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jupyter_llm.errors import OptionError


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """The answer begins with one of these texts, whichever the model likes best, and is then free.

    Where one text begins another the answer may be free after the shorter one.
    """

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what no answer could begin with."""
        _check(self, "An answer begins with one of at least one non-empty text")


@dataclass(frozen=True, slots=True)
class Grammar:
    """The whole answer is of a language: a JSON Schema's, a regular expression's, a Lark grammar's.

    `text` says which, in the notation of that `kind`.
    """

    kind: Literal["json", "regex", "lark"]
    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The answer is one of these texts and nothing else: the likeliest, ended as the model ends it.

    Nothing is drawn: the texts are compared by their log-probabilities, so the answer is the same
    whatever the sampling options. One that is not whole would go on after its text, as a value
    within an object does: its end does not count.
    """

    texts: tuple[str, ...]
    is_whole: bool = True

    def __post_init__(self) -> None:
        """Refuse what is no choice."""
        _check(self, "A choice is between non-empty texts")
        if len(set(self.texts)) < len(self.texts):
            raise OptionError(f"A choice is between different texts, not {self.texts!r}.")


def _check(constraint: BeginsWith | OneOf, says: str) -> None:
    texts: Any = constraint.texts
    is_several = isinstance(texts, tuple | list) and len(texts) > 0
    if not is_several or not all(isinstance(text, str) and text for text in texts):
        raise OptionError(f"{says}, not {texts!r}.")
    object.__setattr__(constraint, "texts", tuple(texts))


@dataclass(frozen=True, slots=True)
class Exactly:
    """The answer is these tokens and nothing else: they are read, for how likely each was.

    Nothing is drawn, and no end is judged; with `logprobs` it is told what else was likely.
    """

    token_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what are no numbers of tokens."""
        object.__setattr__(self, "token_ids", checked_ids(self.token_ids))


def checked_ids(token_ids: Any) -> tuple[int, ...]:
    """The numbers of some tokens; `OptionError` if these are none."""
    is_list = isinstance(token_ids, tuple | list) and len(token_ids) > 0
    if not is_list or not all(type(one) is int and one >= 0 for one in token_ids):
        raise OptionError(f"Tokens are given by their numbers from 0 on, not {token_ids!r:.60}.")
    return tuple(token_ids)


Constraint = BeginsWith | Exactly | Grammar | OneOf
"""What is asked of an answer's text; the engine writes nothing that breaks it."""


def free_part(constraint: Constraint | None, answer: str) -> str:
    """What the model wrote freely, after the text it had to begin with, if any."""
    if not isinstance(constraint, BeginsWith):
        return answer
    sizes = (len(text) for text in constraint.texts if answer.startswith(text))
    return answer[min(sizes, default=len(answer)) :]
