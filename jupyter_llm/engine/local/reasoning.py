"""What is written freely before an answer that is to look a certain way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np

    from jupyter_llm.engine.local.mask import Mask


class Reasoning:
    """Lets a model write freely first, and hands over to the mask of its answer then.

    The free text comes after the tokens of `opening` and ends where the model writes one of
    `closes`, at a token that would end the answer (one of `end_ids`), or after `most` tokens. What
    leads over to the answer is `closing`, or `blank` where one of `closes` was written. Without a
    mask the answer is somebody else's, and all is over then. Once it is known which token is the
    answer's first one `on_answer` is told, before any more can come.
    """

    def __init__(
        self,
        mask: Mask | None,
        *,
        most: int,
        opening: Sequence[int] = (),
        closes: Collection[bytes] = (),
        closing: Sequence[int],
        blank: Sequence[int],
        end_ids: Collection[int],
        bytes_of: Callable[[int], bytes],
        on_answer: Callable[[int], None],
    ) -> None:
        self._mask = mask
        self._most = max(1, most + len(opening))
        self.most = self._most + max(len(closing), len(blank))
        """How many tokens come before the answer at most."""
        self._closes = closes
        self._closing = closing
        self._blank = blank
        self._end_ids = end_ids
        self._bytes_of = bytes_of
        self._on_answer = on_answer
        self._tail = b""
        self._coming = list(opening)  # tokens that have to come
        self._num_taken = 0
        self._is_free = True
        self._answering: Mask | None = None  # that of the answer, once this has begun
        self.answer_start: int | None = None
        """Which token is the answer's first one, once that is known."""

    def cut(self) -> None:
        """End the free text here, if it has not ended."""
        if self._is_free and not self._coming:
            self._lead_over(self._closing)

    def apply(self, logits: np.ndarray) -> None:
        """Set the logits of all tokens that may not come to -inf, in place; no others are so."""
        if self._answering is not None:
            self._answering.apply(logits)

    def accept(self, token_id: int) -> int:
        """Take in a token that was drawn, and tell which one comes."""
        if self.answer_start is not None:
            return self._answering.accept(token_id) if self._answering is not None else token_id
        if self._is_free and not self._coming and token_id in self._end_ids:
            self._lead_over(self._closing)
            token_id = self._coming[0]
        self._num_taken += 1
        if self._coming:
            del self._coming[0]
        if self._is_free:
            self._look(token_id)
        elif not self._coming:
            self.answer_start, self._answering = self._num_taken, self._mask
            self._on_answer(self._num_taken)
        return token_id

    def forced(self) -> Sequence[int]:
        """The tokens that come next whatever the model likes, as far as that is known."""
        return self._coming if self._answering is None else self._answering.forced()

    def num_fitting(self, token_ids: Sequence[int]) -> int:
        """How many of some tokens may come one after the other."""
        return len(token_ids) if self._answering is None else self._answering.num_fitting(token_ids)

    @property
    def is_over(self) -> bool:
        """Whether nothing may come any more but the end."""
        return self.answer_start is not None and (self._mask is None or self._mask.is_over)

    def _look(self, token_id: int) -> None:
        """See whether a token of the free text was its last."""
        if self._closes:
            tail = self._tail + self._bytes_of(token_id)
            self._tail = tail[-64 - max(map(len, self._closes)) :]
        if any(close in self._tail for close in self._closes):
            self._lead_over(self._blank)
        elif self._num_taken >= self._most and not self._coming:
            self._lead_over(self._closing)

    def _lead_over(self, token_ids: Sequence[int]) -> None:
        self._is_free = False
        self._coming = list(token_ids)
