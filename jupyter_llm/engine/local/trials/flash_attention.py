"""Measures how long a model reads with flash attention and without, when it is first loaded here.

Only what is read behind much else differs, and reading that much would take longer than all the
rest. So a few tokens are read, and what they left in the KV cache is put there many times over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

from jupyter_llm.engine.attention import (
    FOLLOW_UP_TOKENS,
    PROMPT_TOKENS,
    AttentionTimes,
    ReadingTimes,
    judged,
)
from jupyter_llm.engine.local.native.llama import Context, Weights
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.errors import ModelLoadError

N_CTX = 2048
"""The cells of each of the two contexts that there are for the time of the trial."""

_START = 48  # tokens that are read, and then put there until there are `PROMPT_TOKENS`
_PIECE = 128  # tokens of a long prompt; fewer than 64 are read in another way
_ROUNDS = 3
_PROBE = 8  # tokens
_MOST_S = 10.0  # of it all; where a few tokens tell that it takes longer, it is not begun
_NUM_TOKENS = _ROUNDS * 2 * (_PIECE + FOLLOW_UP_TOKENS)


def attention_times(
    weights: Weights, *, n_threads: int, is_wanted: Callable[[], bool]
) -> AttentionTimes | None:
    """Measure both ways in turn; None where nothing came out that may be kept.

    It ends between two batches when the model is not wanted any more, or the time is up.
    """
    end_s = time.monotonic() + _MOST_S

    def seconds(depth: _Depth, num_tokens: int, *, most_s: float = math.inf) -> float:
        is_late = time.monotonic() > end_s
        if is_late or not is_wanted() or (took_s := depth.seconds(num_tokens)) > most_s:
            raise _NoOutcomeError
        return took_s

    def read(depth: _Depth) -> ReadingTimes:
        piece_s = seconds(depth, _PIECE)
        return ReadingTimes(
            follow_up_s=seconds(depth, FOLLOW_UP_TOKENS), prompt_s=piece_s * PROMPT_TOKENS / _PIECE
        )

    try:
        with ExitStack() as stack:
            both = []
            for has_flash in (True, False):
                depth = _Depth(weights, n_threads=n_threads, flash_attention=has_flash)
                stack.enter_context(closing(depth))
                seconds(depth, _PROBE)  # the first time brings the weights into memory
                seconds(depth, _PROBE, most_s=_MOST_S * _PROBE / _NUM_TOKENS)
                depth.fill()
                seconds(depth, _PROBE)
                both.append(depth)
            flash, plain = both
            rounds = [AttentionTimes(flash=read(flash), plain=read(plain)) for _ in range(_ROUNDS)]
    except (_NoOutcomeError, ModelLoadError):  # the latter for want of memory
        return None
    return judged(rounds)


class _NoOutcomeError(Exception):
    """Nothing comes of the trial."""


class _Depth:
    """A context, and how deep in it tokens are read."""

    def __init__(self, weights: Weights, *, n_threads: int, flash_attention: bool) -> None:
        self.has_flash = flash_attention
        self._context = Context(
            weights,
            n_ctx=N_CTX,
            n_batch=_PIECE,
            num_slots=PROMPT_TOKENS // _START,
            n_threads=n_threads,
            flash_attention=flash_attention,
        )
        self._num_before = 0

    def fill(self) -> None:
        """Fill the cache with as many tokens as a long prompt has."""
        self._read(_START)
        if not self._context.repeat(_START):
            raise _NoOutcomeError
        self._num_before = PROMPT_TOKENS

    def seconds(self, num_tokens: int) -> float:
        """Return the time to read `num_tokens` tokens, which are forgotten again."""
        began_s = time.perf_counter()
        self._read(num_tokens)
        self._context.logits(num_tokens - 1)[0]  # waits for the batch
        took_s = time.perf_counter() - began_s
        self._context.trim(0, self._num_before)
        return took_s

    def _read(self, num_tokens: int) -> None:
        batch = Batch()
        token_ids = [1 + number % (self._context.n_vocab - 1) for number in range(num_tokens)]
        batch.add(0, token_ids, self._num_before, wants_from=num_tokens - 1)
        if self._context.decode(batch) is not Decoded.OK:
            raise _NoOutcomeError

    def close(self) -> None:
        """Free the memory."""
        self._context.close()
