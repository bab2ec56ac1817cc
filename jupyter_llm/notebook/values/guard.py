"""Ask the user's own `__repr__`s and the like: within a time limit, and without their output.

Each call runs on a daemon thread of its own, so that the thread of the cells can give up on it and
hears of an interrupt at once. A call that is given up gets an exception, which ends any loop in
Python; what waits inside C goes on until it returns, with its output dropped.
"""

from __future__ import annotations

import contextvars
import ctypes
import io
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from jupyter_llm.notebook.values.peek import is_a, short_name

_FAIR_S: Final = 0.05  # whoever had less than this may be asked again
_LEAST_S: Final = 0.002  # with less than this nobody is asked


class NoAnswerError(Exception):
    """The user's code gave no text; the message says why, in few words."""


class Deadline:
    """A moment after which nothing more is begun."""

    def __init__(self, in_s: float) -> None:
        self._end = time.monotonic() + in_s

    @property
    def left_s(self) -> float:
        """The seconds until then; 0 once it is over."""
        return max(0.0, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the moment has passed."""
        return self.left_s == 0.0


def ask(call: Callable[[], object], asked: type, within_s: float) -> str:
    """Return the text that a call of the user's code gives; `asked` is the class it belongs to.

    A class that was too slow once is not asked again.

    Raises
    ------
    NoAnswerError
        It took too long, failed, or gave no text.
    """
    before = _slow.get(id(asked))
    if before is not None and before[0]() is asked:
        raise NoAnswerError(before[1])
    if within_s < _LEAST_S:
        raise NoAnswerError("was not asked: no time was left")
    call_in_hand = _Call(call)
    if not call_in_hand.wait(within_s):
        reason = f"took longer than {within_s:.2g} s"
        if within_s >= _FAIR_S:
            _slow[id(asked)] = (weakref.ref(asked), reason)
        raise NoAnswerError(reason)
    return call_in_hand.text()


_slow: dict[int, tuple[weakref.ref[type], str]] = {}


class _TimeIsUp(BaseException):
    """Ends a call that was given up. No Exception: `except Exception` must not keep it alive."""


class _Call:
    """One call of the user's code on a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = contextvars.copy_context().run, call
        self._answer: object = None
        self._error: type | None = None
        self._has_ended = threading.Event()
        self._lock = threading.Lock()
        self._is_given_up = False
        self._is_past = False  # the user's code is, so nothing may be raised in the thread any more
        self._thread = threading.Thread(target=self._run, name="jupyter-llm-repr", daemon=True)

    def wait(self, seconds: float) -> bool:
        """Start, and return whether the call ended in time; end it if not."""
        _mute()
        try:
            self._thread.start()
            has_ended = self._has_ended.wait(seconds)
        except RuntimeError:
            _unmute()
            raise NoAnswerError("was not asked: no thread could be started") from None
        except BaseException:  # the user's interrupt is ours to pass on, not to keep
            self._give_up()
            raise
        if not has_ended:
            self._give_up()
        return has_ended

    def text(self) -> str:
        """Return the answer if it is a text."""
        if self._error is not None:
            raise NoAnswerError(f"failed: {short_name(self._error)}")
        if not is_a(self._answer, str):
            raise NoAnswerError(f"gave {short_name(type(self._answer))}, not a text")
        return str.__str__(self._answer)  # a plain one of a subclass too

    def _run(self) -> None:
        try:
            try:
                _thread.is_muted = True
                if not self._is_given_up:
                    run, call = self._call
                    self._answer = run(call)
            except BaseException as error:  # noqa: BLE001  SystemExit too: it is only a repr
                self._error = type(error)
            with self._lock:
                self._is_past = True
            _let_pending_through()
        except BaseException:  # noqa: BLE001, S110  the exception came after the call had ended
            pass
        finally:
            _unmute()
            self._has_ended.set()

    def _give_up(self) -> None:
        with self._lock:
            self._is_given_up = True
            if not self._is_past and self._thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(_TimeIsUp)
                )


def _let_pending_through() -> None:
    """Do nothing: where a function begins, the interpreter raises what waits for this thread."""


class _ThreadState(threading.local):
    is_muted = False


class _Nowhere(io.RawIOBase):
    """Takes bytes and drops them."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(data)


class _Muffler:
    """Stands in for stdout or stderr; drops what muted threads write and passes on the rest."""

    def __init__(self, stream: Any) -> None:
        self.__dict__["muffled"] = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(_nowhere if _thread.is_muted else self.muffled, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.muffled, name, value)


_thread = _ThreadState()
_nowhere = io.TextIOWrapper(io.BufferedWriter(_Nowhere()))
_muting = threading.Lock()
_num_muted = 0
# Until 3.13, `print` goes on with a stream that was replaced meanwhile and may have been freed: a
# muffler outlives its use.
_mufflers: deque[_Muffler] = deque(maxlen=16)


def _mute() -> None:
    """Put mufflers in place for one more call."""
    global _num_muted  # noqa: PLW0603  there is one stdout
    with _muting:
        _num_muted += 1
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and type(stream) is not _Muffler:
                _mufflers.append(_Muffler(stream))
                setattr(sys, name, _mufflers[-1])


def _unmute() -> None:
    """Take the mufflers away after the last call, where nobody has put something else there."""
    global _num_muted  # noqa: PLW0603
    with _muting:
        _num_muted -= 1
        if _num_muted:
            return
        for muffler in tuple(_mufflers):
            stream = muffler.muffled
            # Without a call between test and store no other thread comes in between.
            if sys.stdout is muffler:
                sys.stdout = stream
            if sys.stderr is muffler:
                sys.stderr = stream
