"""Calls the user's own `__repr__`s and the like within a time limit.

Each call runs on its own daemon thread, so the thread of the cells can abandon it and notices an
interrupt at once. An abandoned call gets an exception, which ends any loop in Python. C code, as of
`sum(range(10**9))`, may hold the interpreter's lock and so block all threads. Nothing in this
process can stop it, so its class is not called again.
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

_FAIR_S: Final = 0.05  # a call that had less time may be repeated
_LEAST_S: Final = 0.002  # with less time no call is made


class NoAnswerError(Exception):
    """The user's code returned no text; the message is the reason in few words."""


class Deadline:
    """A moment after which no work begins."""

    def __init__(self, in_s: float) -> None:
        self._end = time.monotonic() + in_s

    @property
    def left_s(self) -> float:
        """Return the remaining seconds, at least 0."""
        return max(0.0, self._end - time.monotonic())


def ask(call: Callable[[], object], asked: type, within_s: float) -> str:
    """Return the text that a call of the user's code returns; `asked` is the class of the code.

    `NoAnswerError`: it took too long, failed, or returned no text. A class that was too slow once
    is not called again.
    """
    key = _key_of(asked)
    if _thread.is_user_code_off:
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
    except BaseException:  # the user's interrupt must reach the caller
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
    return str.__str__(answer)  # plain, even for a subclass


@contextmanager
def without_user_code() -> Iterator[None]:
    """Run none of the user's code on this thread meanwhile."""
    _thread.is_user_code_off = True
    try:
        yield
    finally:
        _thread.is_user_code_off = False


def is_user_code_off() -> bool:
    """Whether this thread runs none of the user's code now."""
    return _thread.is_user_code_off


def _timed(call: Callable[[], object], key: tuple[object, ...], within_s: float) -> object:
    """Make a call on this thread, and record if it takes too long."""
    start_s = time.thread_time()
    try:
        return call()
    finally:
        # C code may have blocked all other threads: do not repeat it.
        if time.thread_time() - start_s > max(within_s, _FAIR_S):
            _slow.setdefault(key, _too_long(within_s))


def _too_long(within_s: float) -> str:
    return f"took longer than {within_s:.2g} s"


def _key_of(cls: type) -> tuple[object, ...]:
    """Return a key of a class that stays the same if its cell runs again."""
    shows = (class_attribute(cls, name) for name in ("_ai_repr_", "_repr_llm_", "__repr__"))
    codes = [show.__code__ for show in shows if type(show) is FunctionType]
    places = tuple((code.co_filename, code.co_firstlineno) for code in codes)
    return qualified_name(cls), places or id(cls)


_slow: dict[tuple[object, ...], str] = {}  # reasons not to call these again


class _TimeIsUp(BaseException):
    """An abandoned call's exception; `except Exception` does not catch it."""


class _ThreadState(threading.local):
    is_user_code_off = False


_thread = _ThreadState()
