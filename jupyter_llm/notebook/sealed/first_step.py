"""Runs a copy's first step before the fork handlers of libraries.

Python calls the handlers in the order of their registration, so ours is registered early.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_steps: dict[int, Callable[[], None]] = {}  # by the forking thread: other threads may fork, too


@cache
def register_first() -> None:
    """Register our fork handler, before libraries that are imported later register theirs."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_take_step)


@contextmanager
def first_step(step: Callable[[], None]) -> Iterator[None]:
    """Run `step` first in the copies that this thread forks."""
    register_first()
    thread = threading.get_ident()
    _steps[thread] = step
    try:
        yield
    finally:
        del _steps[thread]


def _take_step() -> None:
    step = _steps.get(threading.get_ident())
    if step is not None:
        step()
