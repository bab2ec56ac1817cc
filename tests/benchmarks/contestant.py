"""What the benchmark asks of everyone who takes part, and how a completion is timed."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

N_CTX = 16_384
KEY_S = 0.2  # between two keys of somebody who types


class StoppedEarlyError(RuntimeError):
    """A contestant did less than it was asked for, so its times mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One completion with its wall times, both counted from the call."""

    first_token_s: float
    total_s: float
    text: str
    num_tokens: int

    @property
    def tokens_per_s(self) -> float:
        """The decode speed: that of the tokens after the first."""
        return (self.num_tokens - 1) / (self.total_s - self.first_token_s)


def time_pieces(pieces: Iterable[str], num_tokens: int) -> Generation:
    """Drain a lazy stream; the first non-empty piece counts as the first token."""
    started = time.perf_counter()
    first: float | None = None
    text = ""
    for piece in pieces:
        if piece and first is None:
            first = time.perf_counter() - started
        text += piece
    total = time.perf_counter() - started
    return Generation(
        first_token_s=total if first is None else first,
        total_s=total,
        text=text,
        num_tokens=num_tokens,
    )


class Talk(Protocol):
    """A conversation that grows by a question and a reply at a time."""

    def turn(self, question: str, max_tokens: int) -> Generation:
        """Ask, and say how long the reply took."""


class RawTalk:
    """A conversation kept as one growing ChatML text."""

    def __init__(self, contestant: Contestant, system: str) -> None:
        self._contestant = contestant
        self._prompt = system

    def turn(self, question: str, max_tokens: int) -> Generation:
        self._prompt += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        reply = self._contestant.generate(self._prompt, max_tokens)
        self._prompt += f"{reply.text}<|im_end|>\n"
        return reply


class TypedTalk(Protocol):
    """A conversation whose questions are typed key by key."""

    def turn(self, question: str, max_tokens: int) -> Generation:
        """Ask what was there already, as if it were pasted."""

    def type(self, question: str, max_tokens: int) -> Generation:
        """Type a question, press Enter, and say how long the reply took from then on."""


class UnheardTalk:
    """One who hears nothing before Enter."""

    def __init__(self, talk: Talk) -> None:
        self.turn = talk.turn

    def type(self, question: str, max_tokens: int) -> Generation:
        time.sleep(KEY_S * len(question))
        return self.turn(question, max_tokens)


class Contestant(ABC):
    """A loaded model that continues raw text: greedily, and past the end-of-text token.

    `started_s` is when the start began, on the clock of `time.perf_counter`: before anything of
    the contestant was imported, or its process was launched.
    """

    def __init__(self) -> None:
        self.started_s = time.perf_counter()

    @abstractmethod
    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        """Yield text as it is written; starts no work before the first piece is asked for."""

    @abstractmethod
    def close(self) -> None:
        """Free the model, and end what was started for it."""

    def generate(self, prompt: str, max_tokens: int) -> Generation:
        """Write exactly `max_tokens` tokens and say how long that took."""
        return time_pieces(self.pieces(prompt, max_tokens), max_tokens)

    def talk(self, system: str) -> Talk:
        """Begin a conversation, in the way the contestant offers for that."""
        return RawTalk(self, f"<|im_start|>system\n{system}<|im_end|>\n")

    def typed_talk(self, system: str) -> TypedTalk:
        """Begin a conversation for somebody who types, in the way offered for that."""
        return UnheardTalk(self.talk(system))

    def map(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Continue every prompt by `max_tokens` tokens, in the fastest way there is."""
        for prompt in prompts:
            self.generate(prompt, max_tokens)


def require_full_length(reason: str | None, wanted: str) -> None:
    """Raise `StoppedEarlyError` unless the number of tokens is what ended a completion."""
    if reason != wanted:
        raise StoppedEarlyError(f"The completion ended with {reason!r} instead of {wanted!r}.")
