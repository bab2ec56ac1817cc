"""Busy cells beside the model: processes that keep a core each and count their rounds."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import RawArray
from typing import Self, TypeVar

ADDITIONS = 2_000  # in a round: a fraction of a millisecond

T = TypeVar("T")


def spin(counts: ctypes.Array[ctypes.c_uint64], index: int, parent: int) -> None:
    """Compute until terminated, or until nobody is left to do that."""
    total = 0
    while os.getppid() == parent:
        for number in range(ADDITIONS):
            total += number
        counts[index] += 1


class Spinners:
    """As many busy Python processes as asked for, while the context lasts."""

    def __init__(self, num_processes: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._counts = RawArray(ctypes.c_uint64, num_processes)
        self._processes = [
            spawn.Process(target=spin, args=(self._counts, index, os.getpid()), daemon=True)
            for index in range(num_processes)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        while not all(self._counts):
            time.sleep(0.01)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()

    def rounds_per_s(self, meanwhile: Callable[[], T]) -> tuple[float, T]:
        """Return how fast all of them together counted during a call, and what it returned."""
        before, started = sum(self._counts), time.perf_counter()
        result = meanwhile()
        return (sum(self._counts) - before) / (time.perf_counter() - started), result
