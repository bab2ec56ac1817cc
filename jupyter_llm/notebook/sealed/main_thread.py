"""The kernel's main thread, for calls of other threads: it takes them while it runs no cell."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TICK_S = 0.1
_PATIENCE_S = 0.5  # of a kernel that runs no cell, but something short


class MainThreadBusy(Exception):  # noqa: N818  it is no error
    """The main thread has other things to do."""


def is_main_thread() -> bool:
    """Whether this is the thread that runs cells."""
    return threading.current_thread() is threading.main_thread()


def in_main_thread(kernel: Any, call: Callable[[], T], *, tick: Callable[[], None]) -> T:
    """What a short call returns that is made in a kernel's main thread, between two cells.

    `tick` is called here while we wait. What it raises ends the wait, unless the call has begun.

    Raises
    ------
    MainThreadBusy
        A cell is running, or there is no such kernel.
    """
    loop = getattr(kernel, "io_loop", None)
    if loop is None:
        raise MainThreadBusy
    future: Future[T] = Future()

    def make() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  it is for who has asked
            future.set_exception(error)

    loop.add_callback(make)
    waited_s = 0.0
    try:
        while not wait([future], _TICK_S).done:
            waited_s += _TICK_S
            if waited_s > _PATIENCE_S and future.cancel():
                raise MainThreadBusy
            tick()
    finally:
        if not future.cancel():
            wait([future])  # nothing may come of it that nobody knows of
    return future.result()
