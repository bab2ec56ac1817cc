"""Samplers and scorers over the logits of a context, without llama.cpp."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np

from jupyter_llm.engine.local.sched.drawing import Mask, Sampler
from jupyter_llm.engine.tokens import TokenLogprob


class Logits(Protocol):
    """The logits of the last batch."""

    def logits(self, index: int) -> np.ndarray:
        """The logits of the batch's `index`-th token, (n_vocab,); valid until the next."""


class GreedySampler:
    """Takes the likeliest token. A chain would do the same, but first build a list of them all.

    `bias` is added to the logits, as pairs of a token id and a number.
    """

    def __init__(self, context: Logits, bias: Sequence[tuple[int, float]] = ()) -> None:
        self._context = context
        self._ids = np.array([token for token, _ in bias], dtype=np.intp)
        self._values = np.array([value for _, value in bias], dtype=np.float32)

    def sample(self, index: int) -> int:
        """Take the token with the highest of the logits of the batch's `index`-th token."""
        logits = self._context.logits(index)
        if len(self._ids):
            logits[self._ids] += self._values
        return int(logits.argmax())

    def accept(self, token_id: int) -> None:
        """Do nothing; what came before changes nothing."""

    def close(self) -> None:
        """Do nothing; there is nothing to free."""


class MaskedSampler:
    """Draws with another sampler, but only tokens that a mask allows.

    The mask comes before the options of the sampler, and no option lifts a logit of -inf.
    """

    def __init__(self, sampler: Sampler, context: Logits, mask: Mask) -> None:
        self._sampler = sampler
        self._context = context
        self._mask = mask

    def sample(self, index: int) -> int:
        """Draw a token that may come from the logits of the batch's `index`-th token."""
        for token_id in self._mask.forced()[:1]:
            self.accept(token_id)
            return token_id
        logits = self._context.logits(index)
        self._mask.apply(logits)
        likeliest = int(logits.argmax())
        token_id = self._sampler.sample(index)
        if np.isneginf(logits[token_id]):  # a bias bans all that may come
            token_id = likeliest
        self._mask.accept(token_id)
        return token_id

    def accept(self, token_id: int) -> None:
        """Remember a certain token."""
        self._sampler.accept(token_id)
        self._mask.accept(token_id)

    def close(self) -> None:
        """Free what the other sampler holds."""
        self._sampler.close()


class RecordingSampler:
    """Draws with another sampler and keeps the log-probabilities, before any option bends them."""

    def __init__(
        self, sampler: Sampler, context: Logits, num_top: int, bytes_of: Callable[[int], bytes]
    ) -> None:
        self._sampler = sampler
        self._context = context
        self._num_top = num_top
        self._bytes_of = bytes_of
        self.records: list[TokenLogprob] = []

    def sample(self, index: int) -> int:
        """Draw a token and keep its log-probability."""
        # The sampler may write to the logits.
        logprobs = _log_softmax(self._context.logits(index))
        token_id = self._sampler.sample(index)
        likeliest = _likeliest(logprobs, self._num_top)
        top = tuple((self._text(token), float(logprobs[token])) for token in likeliest)
        record = TokenLogprob(token_id, self._text(token_id), float(logprobs[token_id]), top)
        self.records.append(record)
        return token_id

    def accept(self, token_id: int) -> None:
        """Remember a certain token; its log-probability is not kept."""
        self._sampler.accept(token_id)

    def close(self) -> None:
        """Free what the other sampler holds."""
        self._sampler.close()

    def _text(self, token_id: int) -> str:
        return self._bytes_of(token_id).decode("utf-8", "replace")


@dataclass(slots=True, eq=False)
class _Part:
    """A common start of some texts, and the log-probability of its last token.

    `end_logprob` is the log-probability of the end right after it, if it is a whole text. `top` are
    the likeliest tokens at this place, with their log-probabilities.
    """

    longer: dict[int, _Part] = field(default_factory=dict)  # by the next token
    logprob: float = 0.0
    is_text: bool = False
    end_logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class LogprobScorer:
    """Collects the log-probabilities of texts after one prompt, given by their tokens.

    `paths` is what has to be evaluated for that, as a `Sequence` takes it, and `num_tokens` how
    many that are. With `end_ids` each text is judged as a whole answer: any of these ends it.
    The `num_top` likeliest tokens of each place are kept, too.
    """

    def __init__(
        self,
        context: Logits,
        texts: Collection[tuple[int, ...]],
        end_ids: Collection[int] = (),
        *,
        num_top: int = 0,
    ) -> None:
        self._context = context
        self._num_top = num_top
        self._end_ids = np.array(sorted(end_ids), dtype=np.intp)
        self._start = _Part()
        for text in texts:
            self._parts(text)[-1].is_text = True
        last = None if len(self._end_ids) else -1  # nothing is asked of what follows the last one
        ordered = sorted({text[:last] for text in texts})
        longer = (path for path, after in pairwise(ordered) if after[: len(path)] != path)
        self.paths = [*longer, *ordered[-1:]]
        self._read = [self._parts(path) for path in self.paths]
        self.num_tokens = len({id(part) for parts in self._read for part in parts}) - 1

    def observe(self, index: int, number: int, size: int) -> None:
        """Keep the log-probabilities after the first `size` tokens of a path."""
        part = self._read[number][size]
        logits = self._context.logits(index)
        most = logits.max()
        whole = math.log(np.exp(logits - most).sum(dtype=np.float64))
        for token_id, longer in part.longer.items():
            longer.logprob = float(logits[token_id] - most) - whole
        part.top = tuple(
            (token_id, float(logits[token_id] - most) - whole)
            for token_id in _likeliest(logits, self._num_top)
        )
        if part.is_text and len(self._end_ids):
            ends = np.exp(logits[self._end_ids].astype(np.float64) - most)
            part.end_logprob = math.log(max(ends.sum(), np.finfo(float).tiny)) - whole

    def logprobs(self, text: tuple[int, ...]) -> tuple[float, ...]:
        """Those of a text's tokens, and of its end if that counts; once all paths were read."""
        parts = self._parts(text)
        ends = (parts[-1].end_logprob,) if len(self._end_ids) else ()
        return (*(part.logprob for part in parts[1:]), *ends)

    def likeliest(self, text: tuple[int, ...]) -> list[tuple[tuple[int, float], ...]]:
        """The likeliest tokens in the place of each of a text's; once all paths were read."""
        return [part.top for part in self._parts(text)[:-1]]

    def _parts(self, text: tuple[int, ...]) -> list[_Part]:
        """Return all starts of a text, from the empty one to the whole text."""
        parts = [self._start]
        for token_id in text:
            parts.append(parts[-1].longer.setdefault(token_id, _Part()))
        return parts


class Pooler:
    """Makes one vector of length one of a text's tokens': their mean, or the first or last one.

    `vector` gives that of the batch's token with an index.
    """

    def __init__(
        self,
        vector: Callable[[int], np.ndarray],
        *,
        takes_first: bool = False,
        takes_last: bool = False,
    ) -> None:
        self._vector = vector
        self._takes_first = takes_first
        self._takes_last = takes_last
        self._sum: np.ndarray | None = None

    def observe(self, index: int) -> None:
        """Add the vector of the batch's `index`-th token."""
        if self._sum is None or self._takes_last:
            self._sum = self._vector(index)
        elif not self._takes_first:
            self._sum += self._vector(index)

    @property
    def pooled(self) -> np.ndarray:
        """The vector of the text once all of it was read, in the direction of the pooled vector."""
        assert self._sum is not None
        length = max(float(np.linalg.norm(self._sum)), float(np.finfo(np.float32).tiny))
        pooled: np.ndarray = self._sum / np.float32(length)
        return pooled


def _likeliest(logits: np.ndarray, num_top: int) -> list[int]:
    """The so many likeliest tokens, in their order."""
    if not num_top:
        return []
    num_top = min(num_top, len(logits))
    found = np.argpartition(logits, -num_top)[-num_top:]
    return [int(token) for token in found[np.argsort(-logits[found], kind="stable")]]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    normalized: np.ndarray = shifted - np.log(np.exp(shifted).sum())
    return normalized
