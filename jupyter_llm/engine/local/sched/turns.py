"""Whose turn it is to compute where several models are loaded.

llama.cpp's threads wait for one another, spinning (see threads.py), so two models at once are
slower than one after the other. One engine takes a step at a time: the one with the most urgent
work, and of equals the one that has waited longest.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_llm.engine.request import Priority


_GRACE_S = 0.01  # between two steps; what is less urgent and began in it would be broken off


@dataclass(eq=False, slots=True)
class Seat:
    """An engine's seat among others; `give_way` breaks off what is less urgent than something."""

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
        """Wait for a turn and have it inside; False if it has not come by then."""
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
                self._changed.notify_all()  # somebody may have waited for us alone
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
        """Whether the last one is about to go on with more urgent work than a seat has."""
        last = self._before
        if last is None or last is seat or last.priority is None:
            return False
        is_recent = time.monotonic() - last.ended_s < _GRACE_S
        return is_recent and last.priority < self._waiting[seat]


TURNS = Turns()
"""Those of all engines in this process."""
