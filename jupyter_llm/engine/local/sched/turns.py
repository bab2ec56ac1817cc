"""Decides whose turn it is to compute: which model, which of its lanes, which class of requests.

At all three levels the most urgent work goes first, and of equals the one whose last turn is
longest ago. `Priority` lists the classes, the most urgent first. Each level has an exception.

* Models: `TURNS` lets one engine thread compute at a time. llama.cpp's threads wait for one
  another, spinning (see threads.py), so two models at once are slower than one after the other.
  Less urgent work of another model waits `_GRACE_S` after a step: the next one comes soon.
* Lanes of a model, and classes of a lane: a `Rota` each. Work that waits gets one small step
  ahead of more urgent work after others have evaluated `_PATIENCE` tokens. So no running
  work starves; work without a slot, and models, have no such rule.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from jupyter_llm.engine.request import Priority

K = TypeVar("K")

_PATIENCE = 240  # tokens that others evaluate before one that waits gets a step
_GRACE_S = 0.01  # for which less urgent work holds back after a step: it would be aborted


class Rota(Generic[K]):
    """Takes turns between contenders of one thread."""

    def __init__(self) -> None:
        self._num_turns = 0
        self._last: dict[K, int] = {}  # the number of a contender's last turn
        self._num_passed: dict[K, int] = {}  # tokens that others evaluated while one waited

    def next(self, contenders: Mapping[K, Priority]) -> tuple[K, bool]:
        """Return whose turn it is, and whether it goes ahead of more urgent work."""
        first = min(contenders, key=lambda one: (contenders[one], self._last.get(one, 0)))
        for one, priority in contenders.items():
            if self._num_passed.get(one, 0) >= _PATIENCE:
                return one, priority != contenders[first]
        return first, False

    def note(self, stepped: K, num_tokens: int, waiting: Collection[K]) -> None:
        """Note that one evaluated tokens while those `waiting`, perhaps itself too, had work."""
        self._num_turns += 1
        self._last[stepped] = self._num_turns
        passed = self._num_passed
        self._num_passed = {k: passed.get(k, 0) + num_tokens for k in waiting if k != stepped}

    def drop(self, contender: K) -> None:
        """Remove a contender, such as a freed lane."""
        self._last.pop(contender, None)
        self._num_passed.pop(contender, None)


@dataclass(eq=False, slots=True)
class Seat:
    """An engine's seat among others; `give_way` aborts a batch that is less urgent than a class."""

    give_way: Callable[[Priority], None]
    last: int = 0  # which step of all was its last
    priority: Priority | None = None  # of that step
    ended_s: float = 0.0


class Turns:
    """Lets one engine compute at a time. Safe from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[Seat, Priority] = {}
        self._running: Seat | None = None
        self._before: Seat | None = None
        self._num_steps = 0

    @contextmanager
    def take(self, seat: Seat, priority: Priority, timeout_s: float) -> Iterator[bool]:
        """Wait for a turn, which lasts as long as the context; False if it did not come in time."""
        with self._changed:
            self._waiting[seat] = priority
            try:
                if self._running is not None:
                    self._running.give_way(priority)
                end_s = time.monotonic() + timeout_s
                while not (is_ours := self._is_next(seat)):
                    if (left_s := end_s - time.monotonic()) <= 0:
                        break
                    self._changed.wait(min(left_s, _GRACE_S))
            finally:
                del self._waiting[seat]
                self._changed.notify_all()  # another may have waited for this seat only
            if is_ours:
                self._num_steps += 1
                self._running, seat.last, seat.priority = seat, self._num_steps, priority
        try:
            yield is_ours
        finally:
            if is_ours:
                with self._changed:
                    self._running, self._before = None, seat
                    seat.ended_s = time.monotonic()
                    self._changed.notify_all()

    def _is_next(self, seat: Seat) -> bool:
        first = min(self._waiting, key=lambda one: (self._waiting[one], one.last))
        return self._running is None and first is seat and not self._comes_back(seat)

    def _comes_back(self, seat: Seat) -> bool:
        """Whether the engine of the last turn is about to go on with more urgent work."""
        last = self._before
        if last is None or last is seat or last.priority is None:
            return False
        is_recent = time.monotonic() - last.ended_s < _GRACE_S
        return is_recent and last.priority < self._waiting[seat]


TURNS = Turns()
"""The turns of all engines in this process."""
