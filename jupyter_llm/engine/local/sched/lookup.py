"""Drafts of repeated text, and how long a draft pays.

A model that edits or quotes repeats earlier text. `Lookup` guesses the next tokens from the last
place with the same tokens before. The model checks all guesses in one step, which takes less time
than one step for each token; how much less depends on model and machine. Every drawn token, drafted
or not, shows whether guesses are good, so learning that costs nothing. Only the times of longer
steps must be tried out, and `Payoff` bounds what that may cost.

If the model evaluates tokens in groups (native/groups.py), a draft that fills a group costs
nothing. It may then be a mere guess by `Habits`: the token that followed the last two tokens, or
the last one, the time before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice, pairwise
from operator import mul
from statistics import median_low

_SHORTEST = 3  # tokens that must agree before a guess is made
_LONGEST = 16  # agreement beyond this makes no place better than another
_MAX_PLACES = 16  # places compared; bounds the cost of a token in very repetitive text
# The chance that the next guess is right, before any was drawn, by the bit length of the agreement
# (2: three tokens, 3: up to seven, …, 6: 32 and more).
_FIRST_CHANCES = {2: 0.4, 3: 0.6, 4: 0.8, 5: 0.9, 6: 0.95}
_LEARNING_RATE = 0.05
_MAX_HABITS = 50_000  # some megabytes


class Lookup:
    """Guesses how one running sequence goes on, from its own tokens."""

    def __init__(self, token_ids: Iterable[int]) -> None:
        self._token_ids = list(token_ids)
        # Three tokens → the position after their latest occurrence; and for every position the one
        # after the occurrence before (0: none).
        self._latest: dict[tuple[int, ...], int] = {}
        self._earlier = [0] * min(_SHORTEST, len(self._token_ids) + 1)
        self._chances = dict(_FIRST_CHANCES)
        self._place = 0  # where the next token stood before; 0 if nowhere
        self._num_agreeing = 0  # tokens before it
        shifted = (self._token_ids[start:] for start in range(_SHORTEST))
        for end, ngram in enumerate(zip(*shifted, strict=False), _SHORTEST):
            self._earlier.append(self._latest.get(ngram, 0))
            self._latest[ngram] = end
        self._find()

    def append(self, token_id: int) -> None:
        """Take note of a token that was drawn, and of whether it was foreseen."""
        is_foreseen = self._place > 0 and self._token_ids[self._place] == token_id
        if self._place:
            kind = _kind(self._num_agreeing)
            self._chances[kind] += _LEARNING_RATE * (is_foreseen - self._chances[kind])
        self._token_ids.append(token_id)
        end = len(self._token_ids)
        if end >= _SHORTEST:
            ngram = tuple(self._token_ids[-_SHORTEST:])
            self._earlier.append(self._latest.get(ngram, 0))
            self._latest[ngram] = end
        else:
            self._earlier.append(0)
        if is_foreseen:  # what agreed longest still does
            self._place += 1
            self._num_agreeing += 1
        else:
            self._find()

    def propose(self, max_tokens: int) -> list[int]:
        """Return the tokens that followed before; none if the last three tokens are new.

        A draft that reaches the end of the text continues with its own start, as repetition does.
        """
        if not self._place:
            return []
        period = len(self._token_ids) - self._place
        draft = self._token_ids[self._place : self._place + max_tokens]
        while len(draft) < max_tokens:
            draft.append(draft[-period])
        return draft

    def chances(self, max_tokens: int) -> list[float]:
        """Return the chance of each token of `propose` to be drawn."""
        if not self._place:
            return []
        agreeing = range(self._num_agreeing, self._num_agreeing + max_tokens)
        return list(accumulate((self._chances[_kind(number)] for number in agreeing), mul))

    def _find(self) -> None:
        """Find the place that agrees with most of the last tokens; of equals the latest."""
        token_ids = self._token_ids
        self._place, self._num_agreeing = 0, 0
        place = self._earlier[-1]
        for _ in range(_MAX_PLACES):
            if not place:
                return
            number = _SHORTEST
            limit = min(_LONGEST, place)
            while number < limit and token_ids[place - number - 1] == token_ids[-number - 1]:
                number += 1
            if number > self._num_agreeing:
                self._place, self._num_agreeing = place, number
            place = self._earlier[place]


class Habits:
    """Guesses the next token from the token that followed the last two tokens, or the last one.

    Learns from all texts that the lane reads or writes.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}  # what follows one token, or two

    def learn(self, token_ids: Sequence[int]) -> None:
        """Remember which token follows which."""
        before = None
        for last, following in pairwise(token_ids):
            self._next[last] = following
            if before is not None:
                self._next[_pair(before, last)] = following
            before = last
        num_too_many = len(self._next) - _MAX_HABITS
        if num_too_many > 0:
            for key in list(islice(self._next, num_too_many + _MAX_HABITS // 4)):
                del self._next[key]

    def guess(self, token_ids: Sequence[int], max_tokens: int) -> list[int]:
        """Return tokens that may follow the last two, as far as such tokens were seen."""
        before, last = token_ids[-2:] if len(token_ids) > 1 else (0, token_ids[-1])
        draft: list[int] = []
        while len(draft) < max_tokens:
            following = self._next.get(_pair(before, last), self._next.get(last))
            if following is None:
                break
            draft.append(following)
            before, last = last, following
        return draft


def _pair(before: int, last: int) -> int:
    return (before + 1) << 32 | last


def _kind(num_agreeing: int) -> int:
    return min(num_agreeing.bit_length(), max(_FIRST_CHANCES))


MAX_DRAFT = 31
_SIZES = (2, 4, 8, 16, 32)  # tokens in a step: the one drawn last and the draft
_NUM_KEPT = 5  # times of each size; their median counts, whatever a busy machine does to some
_NUM_PLAIN = 15  # times of plain steps, which everything is measured by
_NUM_NEEDED = 3  # times of plain steps before the first draft
_FORGET_EVERY = 512  # steps; a size that is not used is unknown again after `_NUM_KEPT` times this
_GAIN = 1.05  # a smaller gain is lost in what a draft costs elsewhere
_ALLOWANCE = 0.01  # of the time of plain steps may be lost in vain drafts
_FIRST_CREDIT = 4.0  # plain steps
_MAX_CREDIT = 8.0


class Payoff:
    """Decides how long a draft may be; one for an engine.

    The gains and losses of drafts against plain steps are added up as a credit. A draft is made
    only if the credit covers its failure. So even a text made to deceive costs no more than the
    first credit and an allowance of each plain step. A plain step has up to `size_of_plain` tokens,
    which take no more time than one.
    """

    def __init__(self) -> None:
        self.size_of_plain = 1
        self._times_s: dict[int, deque[float]] = {1: deque(maxlen=_NUM_PLAIN)}
        self._credit = _FIRST_CREDIT  # in plain steps
        self._num_steps = 0

    def num_draft(self, chances: Sequence[float]) -> int:
        """Return how many tokens to draft, given the chance of each to be drawn; 0 if none pays."""
        best = min(self.size_of_plain, len(chances) + 1)
        if len(self._times_s[1]) < _NUM_NEEDED:
            return best - 1
        plain_s = self._time_s(1)
        best_rate = _GAIN * (1 + sum(chances[: best - 1])) / plain_s
        for size in _SIZES:
            if size <= self.size_of_plain:
                continue
            if size > len(chances) + 1:
                break
            size_s = self._time_s(size)
            rate = (1 + sum(chances[: size - 1])) / size_s
            if rate > best_rate and size_s <= plain_s * (1 + self._credit):
                best, best_rate = size, rate
            if size not in self._times_s:
                break  # sizes are tried out one after another
        return best - 1

    def observe(self, num_draft: int, num_accepted: int, step_s: float) -> None:
        """Learn from a step in which one sequence decoded alone, with a draft or without."""
        size = num_draft + 1
        if size <= self.size_of_plain:
            size = 1
        plain = self._times_s[1]
        if plain:
            # A longer time has another cause, such as a busy machine.
            known = self._largest_known(size)
            step_s = min(step_s, self._time_s(known) * max(2.0, size / known))
        self._times_s.setdefault(size, deque(maxlen=_NUM_KEPT)).append(step_s)
        gain = _ALLOWANCE
        if size > 1 and plain:
            gain = num_accepted + 1 - step_s / self._time_s(1)
        self._credit = min(self._credit + gain, _MAX_CREDIT)
        self._num_steps += 1
        if self._num_steps % _FORGET_EVERY == 0:
            self._forget()

    def _largest_known(self, limit: int) -> int:
        return max(size for size in self._times_s if size <= limit)

    def _time_s(self, size: int) -> float:
        """Return the time of a step; for a size not tried yet, an optimistic estimate.

        The estimate adds to the largest measured size the difference to the size before it.
        """
        known = self._largest_known(size)
        known_s = median_low(self._times_s[known])
        if known in (1, size):
            return known_s
        return known_s + max(0.0, known_s - self._time_s(self._largest_known(known - 1)))

    def _forget(self) -> None:
        for size, times_s in list(self._times_s.items()):
            if times_s:
                times_s.popleft()
            if not times_s and size > 1:
                del self._times_s[size]
