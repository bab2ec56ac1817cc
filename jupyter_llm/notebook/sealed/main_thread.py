"""Runs calls of other threads in the kernel's main thread while it runs no cell."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TICK_S = 0.1
_PATIENCE_S = 0.5  # longest wait for a kernel that runs no cell


class MainThreadBusy(Exception):  # noqa: N818 no error
    """The main thread is busy."""


def is_main_thread() -> bool:
    """Whether this is the thread that runs cells."""
    return threading.current_thread() is threading.main_thread()


def in_main_thread(kernel: Any, call: Callable[[], T], *, tick: Callable[[], None]) -> T:
    """Return the result of a short call in a kernel's main thread, between two cells.

    `tick` is called here meanwhile. If it raises, the wait ends, unless the call has begun.

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
        except BaseException as error:  # noqa: BLE001 raised in the calling thread
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
            wait([future])  # its result must not be lost
    return future.result()
