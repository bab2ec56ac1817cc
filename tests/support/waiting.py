"""Waiting for what another thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(is_so: Callable[[], T]) -> T:
    """What a condition says once it is no longer false or empty."""
    end = time.monotonic() + 60
    while not (found := is_so()):
        assert time.monotonic() < end, "a minute was not enough"
        time.sleep(0.001)
    return found
