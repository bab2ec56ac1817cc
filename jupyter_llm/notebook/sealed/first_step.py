"""The first step of a copy, before what libraries do in a process that was forked.

Python calls them in the order in which they asked for it, so we ask as early as we can.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_steps: dict[int, Callable[[], None]] = {}  # by the thread that forks: others may, too


@cache
def come_first() -> None:
    """Let the steps of copies come before those of all that asks later."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_take_step)


@contextmanager
def first_step(step: Callable[[], None]) -> Iterator[None]:
    """Let the copies that this thread makes take a step before any other."""
    come_first()
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
