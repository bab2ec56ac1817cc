"""What other threads ask of the kernel's main thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TypeVar

import pytest
from tornado.ioloop import IOLoop

from jupyter_llm.notebook.sealed.main_thread import MainThreadBusy, in_main_thread

TIMEOUT_S = 20
T = TypeVar("T")


def nothing() -> None:
    """Do nothing."""


def beside(work: Callable[[SimpleNamespace], T]) -> T:
    """What some work returns in another thread, while the main thread runs a kernel's loop."""

    async def served() -> T:
        kernel = SimpleNamespace(io_loop=IOLoop.current())
        with ThreadPoolExecutor(1) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, work, kernel)

    return asyncio.run(served())


def test_a_call_is_made_in_the_main_thread() -> None:
    made = beside(lambda kernel: in_main_thread(kernel, threading.current_thread, tick=nothing))
    assert made is threading.main_thread()


def test_what_a_call_raises_is_raised_where_it_was_asked_for() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        beside(lambda kernel: in_main_thread(kernel, fail, tick=nothing))


def test_a_busy_main_thread_is_not_waited_for_and_does_it_never() -> None:
    made: list[int] = []
    waiting: list[Callable[[], None]] = []
    kernel = SimpleNamespace(io_loop=SimpleNamespace(add_callback=waiting.append))
    with pytest.raises(MainThreadBusy):
        in_main_thread(kernel, lambda: made.append(1), tick=nothing)
    for callback in waiting:
        callback()
    assert made == []


def test_who_gives_up_leaves_no_call_behind_that_has_begun() -> None:
    ended: list[int] = []
    has_begun, is_given_up = threading.Event(), threading.Event()

    def go_on() -> None:
        has_begun.set()
        assert is_given_up.wait(TIMEOUT_S)
        ended.append(1)

    def give_up() -> None:
        if has_begun.is_set():
            is_given_up.set()
            raise InterruptedError

    def asked(kernel: SimpleNamespace) -> list[int]:
        with pytest.raises(InterruptedError):
            in_main_thread(kernel, go_on, tick=give_up)
        return list(ended)

    assert beside(asked) == [1]


def test_without_a_kernel_nothing_is_done() -> None:
    with pytest.raises(MainThreadBusy):
        in_main_thread(None, lambda: 1, tick=nothing)
