"""Threads of the panel. All are daemons, so that none keeps the kernel from ending."""

from __future__ import annotations

import ctypes
import logging
import threading
from typing import TYPE_CHECKING

from jupyter_llm.errors import PromptInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Worker:
    """Carries out one piece of work on a thread of its own, and can be interrupted like a cell.

    The work gets `PromptInterrupted` wherever its Python code is. What waits inside C hears of it
    when that returns, so whoever interrupts must not wait for the end.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._is_past = False  # nothing may be raised in the thread any more
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; where no thread can be started any more, as the kernel ends, nothing is done."""
        try:
            self._thread.start()
        except RuntimeError:
            logger.debug("No thread could be started", exc_info=True)

    def interrupt(self) -> None:
        """Break the work off. Returns at once."""
        with self._lock:
            if not self._is_past and self._thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(PromptInterrupted)
                )

    def _run(self) -> None:
        try:
            try:
                self._work()
            finally:
                with self._lock:
                    self._is_past = True
            _let_pending_through()
        except PromptInterrupted:
            logger.debug("%s was interrupted", self._thread.name)
        except Exception:  # the work answers for its own errors: this one is ours
            logger.exception("%s failed", self._thread.name)


def _let_pending_through() -> None:
    """Do nothing: where a function begins, the interpreter raises what waits for this thread."""


class Chore:
    """Work that is done soon after it was asked for; however often that was meanwhile, once.

    `work` returns in how many seconds it may be done again at the earliest, and whether it is to be
    done then without being asked. There is a thread only while something is to be done.
    """

    def __init__(self, work: Callable[[], tuple[float, bool]], name: str) -> None:
        self._work = work
        self._name = name
        self._lock = threading.Lock()
        self._is_asked = False
        self._is_running = False
        self._closed = threading.Event()

    def ask(self) -> None:
        """Let the work be done. Returns at once; from any thread."""
        with self._lock:
            self._is_asked = True
            if self._is_running or self._closed.is_set():
                return
            self._is_running = True
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:  # the kernel ends
            logger.debug("No thread could be started", exc_info=True)

    def close(self) -> None:
        """Do nothing any more. Returns at once."""
        self._closed.set()

    def _run(self) -> None:
        while self._is_due():
            pause_s, goes_on = 1.0, False
            try:
                pause_s, goes_on = self._work()
            except Exception:  # whatever it is, the next time may go well
                logger.exception("%s failed", self._name)
            if goes_on:
                self._is_asked = True
            self._closed.wait(pause_s)

    def _is_due(self) -> bool:
        """Return whether there is something to do; if not, the thread has ended."""
        with self._lock:
            if self._is_asked and not self._closed.is_set():
                self._is_asked = False
                return True
            self._is_running = False
            return False
