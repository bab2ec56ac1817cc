"""Threads beside the kernel's own, all daemons, so none prevents its end; and child processes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


def start_worker(work: Callable[[], None], name: str) -> threading.Thread:
    """Do work on a new thread, which is returned; errors of the work are logged.

    Raises `RuntimeError` if no thread can be started: the kernel is ending, or there are too many.
    """

    def run() -> None:
        try:
            work()
        except Exception:  # no caller would see it
            logger.exception("%s failed", name)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


class UserCode(Generic[T]):
    """A call of the user's code on its own thread, which can be given up at any time.

    `give_up` raises `ending` in whoever waits for the call, at once. It also raises `ending` in the
    user's code as soon as that executes Python; a call inside C first has to return.

    Our own code must not be given up this way. While a thread starts another, CPython up to 3.11
    may raise the exception in the new thread. That thread dies before it begins, and its starter
    waits for ever with all its locks held.
    """

    def __init__(self, call: Callable[[], T], name: str, *, ending: type[BaseException]) -> None:
        self._call = call
        self._ending = ending
        self._future: Future[T] = Future()
        self._lock = threading.Lock()
        self._is_running = False  # only then may an exception be raised in the thread
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the call; raise `RuntimeError` if no thread can be started."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came in time."""
        return bool(wait([self._future], timeout_s).done)

    def result(self) -> T:
        """Wait for the end; return the call's result or raise its exception."""
        return self._future.result()

    def error(self) -> BaseException | None:
        """Wait for the end; return the exception, None if there was none."""
        return self._future.exception()

    def give_up(self) -> None:
        """Abandon the call. Return at once."""
        import ctypes

        with suppress(InvalidStateError):
            self._future.set_exception(self._ending())
        with self._lock:
            if self._is_running and self._thread.ident is not None:
                self._is_running = False  # a second exception might arrive after the call
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(self._ending)
                )

    def _run(self) -> None:
        try:
            with self._lock:
                self._is_running = may_begin = not self._future.done()
            if not may_begin:  # given up before it began
                return
            try:
                result = self._call()
            finally:
                with self._lock:
                    self._is_running = False
            _let_pending_through()
        except BaseException as failure:  # noqa: BLE001  SystemExit must not end the kernel
            with suppress(InvalidStateError):
                self._future.set_exception(failure)
        else:
            with suppress(InvalidStateError):
                self._future.set_result(result)


def _let_pending_through() -> None:
    """Do nothing: on entering a function, the interpreter raises a pending exception here."""


class Chore:
    """Work done soon after a request; requests that arrive meanwhile are served together.

    `work` returns the seconds until it may be done again, and whether to repeat it without a
    request. A thread exists only while there is work. A forked child does nothing: the lock may be
    held by a thread that the child does not have.
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
        """Request the work. Return at once; from any thread."""
        if os.getpid() != self._pid:
            return
        with self._changed:
            self._is_asked = True
            if self._is_running or self._closed.is_set():
                return
            self._is_running = True
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:  # the kernel is ending, or there are too many threads
            logger.debug("A thread could not be started", exc_info=True)
            self._stop()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is no more work; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_running, timeout_s)

    def close(self) -> None:
        """Start no more work. Return at once."""
        self._closed.set()

    def _run(self) -> None:
        while self._is_due():
            pause_s, repeats = 1.0, False
            try:
                pause_s, repeats = self._work()
            except Exception:  # the next attempt may succeed
                logger.exception("%s failed", self._name)
            if repeats:
                self._is_asked = True
            self._closed.wait(pause_s)

    def _is_due(self) -> bool:
        """Whether there is work to do; if not, the thread ends."""
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


def start_child(*command: str, **options: Any) -> subprocess.Popen[Any]:
    """Start a process that imports the modules that we import, but none from the working folder.

    It has its own session, so an interrupt reaches only the kernel, which decides what to do.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONSAFEPATH": "1",
        "GGML_NO_BACKTRACE": "1",  # or llama.cpp starts a debugger when it aborts
    }
    return subprocess.Popen(  # noqa: S603  our own modules
        command, env=environment, start_new_session=True, **options
    )
