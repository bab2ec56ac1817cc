"""Chooses the number of threads for each step of the model.

llama.cpp's threads wait for one another hundreds of times a step, spinning. If another program
keeps a core busy, the thread that is not scheduled holds up all: a step takes 100 times as long
(measured: 110 tokens/s become 0.3 with two threads on two busy cores; one thread keeps 53). So the
team shrinks when the machine is busy and grows back when it is not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STALL = 4.0  # a step that takes this many times the usual was held up
_HARD_STALL = 16.0  # once is enough; the milder kind must come twice in a row
_FIRST_PATIENCE_S = 0.25  # of steps until a smaller team tries to grow; doubled when it fails
_MAX_PATIENCE_S = 16.0
_MIN_LOOK_S = 0.05  # a shorter look at the machine's load tells nothing


class ThreadCount:
    """Finds the number of threads for the next step, `count`, from the last steps.

    `num_others_busy` returns how many cores others used since the last call, or None.
    """

    def __init__(self, limit: int, num_others_busy: Callable[[], float | None]) -> None:
        self.count = limit
        self._limit = limit
        self._num_others_busy = num_others_busy
        # (size class, threads) → the time of an undisturbed step
        self._best_s: dict[tuple[int, int], float] = {}
        self._patience_s = _FIRST_PATIENCE_S
        self._num_steps = 0  # since the count last changed, or was left as it is
        self._time_s = 0.0  # what these took
        self._num_stalled = 0  # in a row

    def start(self, num_busy: float) -> None:
        """Begin a run of steps on a machine where others keep this many cores busy."""
        self._change(max(1, min(self._limit, round(self._limit - num_busy))))

    def observe(self, num_tokens: int, step_s: float) -> None:
        """Learn from a step over this many tokens and set the count for the next one."""
        self._num_steps += 1
        self._time_s += step_s
        size = num_tokens.bit_length()  # steps of like size take like times
        best_s = self._expected_s(size, step_s)
        self._num_stalled = self._num_stalled + 1 if step_s > _STALL * best_s else 0
        if self._num_stalled >= 2 or step_s > _HARD_STALL * best_s:  # noqa: PLR2004
            self._shrink()
        elif not self._num_stalled:
            # Clocks vary, so the best is slowly forgotten.
            self._best_s[size, self.count] = min(step_s, 1.01 * best_s)
            if self._time_s >= self._patience_s:
                self._grow()

    def _expected_s(self, size: int, step_s: float) -> float:
        """Return the time of an undisturbed step: twice the threads are twice as fast at most."""
        return min(
            (
                best_s * max(1.0, count / self.count)
                for (known, count), best_s in self._best_s.items()
                if known == size
            ),
            default=step_s,
        )

    def _shrink(self) -> None:
        if self._num_steps <= 2:  # noqa: PLR2004  it had only just grown, in vain
            self._patience_s = min(2 * self._patience_s, _MAX_PATIENCE_S)
        self._change(max(1, self.count // 2))

    def _grow(self) -> None:
        self._num_steps, self._time_s = 0, 0.0
        if self.count == self._limit:
            self._patience_s = _FIRST_PATIENCE_S
            return
        count = min(self._limit, 2 * self.count)
        if count <= self._limit - (self._num_others_busy() or 0.0) + 0.5:
            self._change(count)

    def _change(self, count: int) -> None:
        if count != self.count:
            self.count = count
            self._num_steps = self._num_stalled = 0
            self._time_s = 0.0


class CoreLoad:
    """Tells how many cores were busy since it was last asked."""

    def __init__(self) -> None:
        import psutil

        self._cpu_times = psutil.cpu_times
        self._process = psutil.Process()
        self._last = self._read()

    def num_busy(self, *, without_us: bool) -> float | None:
        """Return the average number of busy cores; None if the time was too short to measure.

        `without_us` leaves out the work of this process and of its children that have ended.
        Otherwise the result is at most the number of threads that want a core right now, since
        earlier work may be over.
        """
        last, now = self._last, self._read()
        time_s, busy_s, own_s = (b - a for a, b in zip(last, now, strict=True))
        if time_s < _MIN_LOOK_S:
            return None
        self._last = now
        if without_us:
            return max(0.0, busy_s - own_s) / time_s
        return min(busy_s / time_s, _num_waiting())

    def _read(self) -> tuple[float, float, float]:
        times = self._cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        own = self._process.cpu_times()
        own_s = own.user + own.system + own.children_user + own.children_system
        return time.monotonic(), sum(times[:8]) - idle_s, own_s


def _num_waiting() -> float:
    """Return how many other threads want a core at this moment."""
    with suppress(OSError, ValueError):  # elsewhere than on Linux nobody says so
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
    return math.inf
