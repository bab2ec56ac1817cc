"""Finds how many rows of a bulk batch should draw at once.

More sequences share a step's reading of the weights, but each token attends over the cells of all
sequences. Above some number, which depends on model and machine, more sequences are slower. So
numbers are tried out: a larger one is kept if it is clearly faster, a smaller one if it is a
little faster.
"""

from __future__ import annotations

from collections import deque
from statistics import median

_FIRST_LIMIT = 16
_FACTORS = (2.0, 1.5, 0.67, 0.5)  # trials, one after another, from the best number so far
_WORTH = 1.1  # a larger number must bring this much, since its cells slow all others
_NO_LOSS = 1.02  # a smaller one must bring this much, since noise would lead lower and lower
_NUM_SAMPLES = 12  # steps that decide a trial
_NUM_CLEAR = 3  # steps that are enough if the difference is clear
_CLEAR = 1.2
_MAX_EXTRA = 1.25  # tokens a sequence: a step with more also reads prompts, and does not count
_MAX_TRIAL = 96  # steps; ends a trial whose number is not reached, for want of rows or room
_FIRST_PAUSE = 12  # steps before the next trial; doubled when all have failed
_MAX_PAUSE = 512


class BulkWidth:
    """The number of bulk sequences to run at once, `limit`, from the speed of the last steps."""

    def __init__(self, max_sequences: int) -> None:
        self._max = max(1, max_sequences)
        self._base = min(_FIRST_LIMIT, self._max)  # the best so far
        self.limit = self._base
        # sequences in a step → the latest tokens/s
        self._rates: dict[int, deque[float]] = {}
        self._turn = 0  # which factor is tried next
        self._pause = _FIRST_PAUSE
        self._num_steps = 0  # since a trial began or ended

    def observe(self, num_sequences: int, num_tokens: int, step_s: float) -> None:
        """Learn from a step of so many bulk sequences alone, over so many tokens."""
        self._num_steps += 1
        if num_sequences == self.limit and num_tokens <= _MAX_EXTRA * num_sequences:
            rates = self._rates.setdefault(num_sequences, deque(maxlen=_NUM_SAMPLES))
            rates.append(num_tokens / step_s)
        if self.limit != self._base:
            self._judge()
        elif self._num_steps >= self._pause and len(self._rates.get(self._base, ())) >= _NUM_CLEAR:
            self._try_next()

    def _try_next(self) -> None:
        """Begin a trial of another number; a round of trials that all failed doubles the pause."""
        while self._turn < len(_FACTORS):
            width = max(1, min(self._max, round(self._base * _FACTORS[self._turn])))
            self._turn += 1
            if width != self._base:
                self._rates.pop(width, None)  # older rates are no measure
                self._run(width)
                return
        self._turn = 0
        self._pause = min(2 * self._pause, _MAX_PAUSE)
        self._num_steps = 0

    def _judge(self) -> None:
        """End a trial when its outcome is clear."""
        rates = self._rates.get(self.limit, ())
        if len(rates) < _NUM_CLEAR:
            if self._num_steps >= _MAX_TRIAL:
                self._run(self._base)
            return
        gain = median(rates) / median(self._rates[self._base])
        if len(rates) < _NUM_SAMPLES and 1 / _CLEAR < gain < _CLEAR:
            return
        if gain >= (_WORTH if self.limit > self._base else _NO_LOSS):
            self._base = self.limit
            self._turn = 0
            self._pause = _FIRST_PAUSE
        self._run(self._base)

    def _run(self, width: int) -> None:
        self.limit = width
        self._num_steps = 0
