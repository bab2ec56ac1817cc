"""Notifies callbacks of changes."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger(__name__)


class Watchers:
    """Callbacks to run after each change; any thread may use it."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Run `callback` after each change, until the returned function is called."""

        def watcher() -> None:
            try:
                callback()
            except Exception:
                logger.exception("A watcher of changes failed")

        def end() -> None:
            with self._lock, suppress(ValueError):
                self._watchers.remove(watcher)

        with self._lock:
            self._watchers.append(watcher)
        return end

    def notify(self) -> None:
        """Run all callbacks on this thread, which must hold no lock that they need."""
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()


def weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls the method without keeping its object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    return call
