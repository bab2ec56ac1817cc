"""Ask the user's own `__repr__`s and the like, within a time limit.

Each call runs on a daemon thread of its own, so that the thread of the cells can give up on it and
hears of an interrupt at once. A call that is given up gets an exception, which ends any loop in
Python. What computes inside C, as `sum(range(10**9))`, may keep the interpreter's lock, and with it
all threads: nothing in this process can break that off, so its class is not asked again.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Final

from jupyter_llm.common.workers import UserCode
from jupyter_llm.notebook.values.peek import class_attribute, is_a, qualified_name, short_name

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


def ask(call: Callable[[], object], asked: type, within_s: float) -> str:
    """The text that a call of the user's code gives; `asked` is the class it belongs to.

    `NoAnswerError`: it took too long, failed, or gave no text. A class that was too slow once is
    not asked again.
    """
    key = _key_of(asked)
    if _thread.asks_nobody:
        raise NoAnswerError("was not asked yet")
    if key in _slow:
        raise NoAnswerError(_slow[key])
    if within_s < _LEAST_S:
        raise NoAnswerError("was not asked: no time was left")
    in_context = contextvars.copy_context().run
    code = UserCode(
        lambda: in_context(_timed, call, key, within_s), "jupyter-llm-repr", ending=_TimeIsUp
    )
    try:
        code.start()
        has_ended = code.wait(within_s)
    except RuntimeError:
        raise NoAnswerError("was not asked: no thread could be started") from None
    except BaseException:  # the user's interrupt is ours to pass on, not to keep
        code.give_up()
        raise
    if not has_ended:
        code.give_up()
        if within_s >= _FAIR_S:
            _slow[key] = _too_long(within_s)
        raise NoAnswerError(_too_long(within_s))
    if (error := code.error()) is not None:
        raise NoAnswerError(f"failed: {short_name(type(error))}")
    answer = code.result()
    if not is_a(answer, str):
        raise NoAnswerError(f"gave {short_name(type(answer))}, not a text")
    return str.__str__(answer)  # a plain one of a subclass too


@contextmanager
def asking_nobody() -> Iterator[None]:
    """Run no code of the user's on this thread meanwhile: nobody gives an answer."""
    _thread.asks_nobody = True
    try:
        yield
    finally:
        _thread.asks_nobody = False


def is_asking_nobody() -> bool:
    """Whether no code of the user's is run on this thread now."""
    return _thread.asks_nobody


def _timed(call: Callable[[], object], key: tuple[object, ...], within_s: float) -> object:
    """Make a call on this thread, and note it if it takes too long."""
    start_s = time.thread_time()
    try:
        return call()
    finally:
        # Inside C it may have kept all other threads waiting: once is enough.
        if time.thread_time() - start_s > max(within_s, _FAIR_S):
            _slow.setdefault(key, _too_long(within_s))


def _too_long(within_s: float) -> str:
    return f"took longer than {within_s:.2g} s"


def _key_of(cls: type) -> tuple[object, ...]:
    """By what a class is known again, also when the cell that defines it ran once more."""
    shows = (class_attribute(cls, name) for name in ("_ai_repr_", "_repr_llm_", "__repr__"))
    codes = [show.__code__ for show in shows if type(show) is FunctionType]
    places = tuple((code.co_filename, code.co_firstlineno) for code in codes)
    return qualified_name(cls), places or id(cls)


_slow: dict[tuple[object, ...], str] = {}  # why those are not asked again


class _TimeIsUp(BaseException):
    """Ends a call that was given up. No Exception: `except Exception` must not keep it alive."""


class _ThreadState(threading.local):
    asks_nobody = False


_thread = _ThreadState()
