"""Threads beside the kernel's own. All are daemons, so that none keeps it from ending."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

T = TypeVar("T")


def start_worker(work: Callable[[], None], name: str) -> threading.Thread:
    """Let work be done on a thread of its own, which is returned; it answers for its own errors.

    Raises `RuntimeError` where none can be started: the kernel ends, or there are too many.
    """

    def run() -> None:
        try:
            work()
        except Exception:  # this one is ours
            logger.exception("%s failed", name)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


class UserCode(Generic[T]):
    """A call of the user's code on a thread of its own, which can be given up at any time.

    Whoever waits for it is let go at once, with `ending`. The code itself gets that wherever its
    Python is; what waits inside C hears of it when that returns. Code of ours is not treated so:
    while a thread starts another one, CPython up to 3.11 may take the new one for it. That dies
    before it has begun, and its starter waits for it for ever, with all locks that it holds.
    """

    def __init__(self, call: Callable[[], T], name: str, *, ending: type[BaseException]) -> None:
        self._call = call
        self._ending = ending
        self._future: Future[T] = Future()
        self._lock = threading.Lock()
        self._is_running = False  # only then something may be raised in the thread
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, or raise `RuntimeError` if no thread can be started."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, and tell whether it has come in time."""
        return bool(wait([self._future], timeout_s).done)

    def result(self) -> T:
        """Wait for the end; return what the code returns, and raise what it raises."""
        return self._future.result()

    def error(self) -> BaseException | None:
        """Wait for the end, and return what the code raises."""
        return self._future.exception()

    def give_up(self) -> None:
        """Break it off. Returns at once."""
        import ctypes

        with suppress(InvalidStateError):
            self._future.set_exception(self._ending())
        with self._lock:
            if self._is_running and self._thread.ident is not None:
                self._is_running = False  # twice might be once too late
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(self._ending)
                )

    def _run(self) -> None:
        try:
            with self._lock:
                self._is_running = begins = not self._future.done()
            if not begins:  # given up before
                return
            try:
                result = self._call()
            finally:
                with self._lock:
                    self._is_running = False
            _let_pending_through()
        except BaseException as failure:  # noqa: BLE001  SystemExit too: it is only an expression
            with suppress(InvalidStateError):
                self._future.set_exception(failure)
        else:
            with suppress(InvalidStateError):
                self._future.set_result(result)


def _let_pending_through() -> None:
    """Do nothing: where a function begins, the interpreter raises what waits for this thread."""


class Chore:
    """Work that is done soon after it was asked for; however often that was meanwhile, once.

    `work` returns in how many seconds it may be done again at the earliest, and whether it is to be
    done then without being asked. There is a thread only while something is to be done. In a forked
    child nothing is done: nobody may let go of the lock there.
    """

    def __init__(self, work: Callable[[], tuple[float, bool]], name: str) -> None:
        self._work = work
        self._name = name
        self._changed = threading.Condition()
        self._is_asked = False
        self._is_running = False
        self._closed = threading.Event()
        self._pid = os.getpid()

    def ask(self) -> None:
        """Let the work be done. Returns at once; from any thread."""
        if os.getpid() != self._pid:
            return
        with self._changed:
            self._is_asked = True
            if self._is_running or self._closed.is_set():
                return
            self._is_running = True
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:  # the kernel ends, or there are too many: the next time may go well
            logger.debug("No thread could be started", exc_info=True)
            self._stop()

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is to be done, and return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_running, timeout_s)

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
        """Whether there is something to do; if not, the thread has ended."""
        with self._changed:
            if self._is_asked and not self._closed.is_set():
                self._is_asked = False
                return True
            self._stop()
            return False

    def _stop(self) -> None:
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
