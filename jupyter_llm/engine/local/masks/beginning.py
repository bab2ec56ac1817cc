"""The mask of an answer that begins with one of some texts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.local.native.vocabulary import Vocabulary
from jupyter_llm.engine.local.sched.slots import common_prefix
from jupyter_llm.errors import OptionError

LEAST = np.finfo(np.float32).min


class BeginningMask:
    """Lets an answer begin with one of some texts and then go on freely; see `BeginsWith`.

    A token may come if it begins the rest of a text, or contains the rest and more: so the token
    that ends a text may begin the free part. Before that, no token may end the answer or steer the
    model. The start that all texts share leaves no choice, so its tokens are certain: the tokenizer
    makes them.

    Texts that the model has no tokens for are left out. Raises `OptionError` if none is left.
    """

    def __init__(self, constraint: BeginsWith, vocabulary: Vocabulary) -> None:
        # As the tokenizer encodes them: a lone surrogate is no text.
        texts = {text.encode("utf-8", "replace") for text in constraint.texts}
        # Most vocabularies lack a few rare bytes; with the others a token can always be found.
        texts = {text for text in texts if vocabulary.single_bytes.issuperset(text)}
        if not texts:
            raise OptionError(
                "The model has no tokens for what the answer is to begin with. Leave out the rare "
                "characters, or take another model."
            )
        self._texts: list[bytes] = []
        for text in sorted(texts):  # one that begins with another begins right with that, too
            if not self._texts or not text.startswith(self._texts[-1]):
                self._texts.append(text)
        self._vocabulary = vocabulary
        # Those that the answer may still begin with, and how many bytes of them it has.
        self._first, self._last = 0, len(self._texts)
        self._num_written = 0
        self._forced: list[int] | None = None  # not known yet
        self.is_complete = False

    def apply(self, logits: np.ndarray) -> None:
        """Set the logits of all tokens that may not come to -inf, in place; no others are so."""
        if self.is_complete:
            return
        texts = self._texts[self._first : self._last]
        allowed = self._vocabulary.fitting([text[self._num_written :] for text in texts])
        kept = np.maximum(logits[allowed], LEAST)
        logits.fill(-np.inf)
        logits[allowed] = kept

    def accept(self, token_id: int) -> None:
        """Remember a token of the answer, one of those that might come."""
        if self.is_complete:
            return
        self._forced = self.forced()[1:] or None
        first, last = self._first, self._last
        written = self._texts[first][: self._num_written] + self._vocabulary.pieces[token_id]
        place = bisect_right(self._texts, written, first, last)
        self.is_complete = place > first and written.startswith(self._texts[place - 1])
        if self.is_complete:
            return
        self._num_written = size = len(written)
        self._first = bisect_left(self._texts, written, first, last)
        self._last = bisect_right(
            self._texts, written, self._first, last, key=lambda text: text[:size]
        )
        assert self._first < self._last, "only what fits is accepted"

    def forced(self) -> list[int]:
        """Return the certain tokens that come next, as far as they can be computed."""
        if self.is_complete:
            return []
        if self._forced is None:
            first, last = self._texts[self._first], self._texts[self._last - 1]
            common = first[self._num_written : common_prefix(first, last)]
            self._forced = self._vocabulary.certain(common)
        return self._forced

    def num_fitting(self, token_ids: Sequence[int]) -> int:
        """Return how many of some tokens may come one after the other: none before all may."""
        return len(token_ids) if self.is_complete else 0

    @property
    def is_over(self) -> bool:
        """Whether only the end may come: never, the answer may always go on."""
        return False
