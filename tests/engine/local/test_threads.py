"""The number of threads follows the machine's load."""

from __future__ import annotations

import threading

import pytest

from jupyter_llm.engine.local.threads import CoreLoad, ThreadCount


def steps(threads: ThreadCount, number: int, step_s: float, num_tokens: int = 1) -> None:
    for _ in range(number):
        threads.observe(num_tokens, step_s)


def free() -> float:
    return 0.0


def test_one_hiccup_changes_nothing_and_two_in_a_row_shrink_the_team() -> None:
    threads = ThreadCount(4, free)
    steps(threads, 20, 0.01)
    steps(threads, 1, 0.06)
    assert threads.count == 4
    steps(threads, 5, 0.01)
    steps(threads, 2, 0.06)
    assert threads.count == 2


def test_a_team_does_not_grow_while_others_need_the_cores() -> None:
    num_busy = 2.0
    threads = ThreadCount(2, lambda: num_busy)
    threads.start(2.0)
    steps(threads, 100, 0.015)
    assert threads.count == 1
    num_busy = 0.1
    steps(threads, 20, 0.015)
    assert threads.count == 2


def test_a_team_grows_after_one_long_step_of_a_quiet_machine() -> None:
    threads = ThreadCount(2, free)
    threads.start(1.0)  # what the kernel itself computed before
    threads.observe(512, 0.4)
    assert threads.count == 2


@pytest.mark.parametrize("limit", [2, 6, 8, 16, 64])
@pytest.mark.parametrize("start_busy", [0.0, 3.0, 100.0])
def test_on_a_quiet_machine_the_team_becomes_whole(limit: int, start_busy: float) -> None:
    threads = ThreadCount(limit, free)
    threads.start(0.0)
    for _ in range(100):
        threads.observe(1, 0.1 / threads.count)
    threads.start(start_busy)
    for _ in range(500):
        threads.observe(1, 0.1 / threads.count)
    assert threads.count == limit


@pytest.mark.parametrize(("num_busy", "count"), [(0.1, 4), (1.2, 3), (3.9, 1), (9.0, 1)])
def test_a_run_starts_with_the_cores_that_are_free(num_busy: float, count: int) -> None:
    threads = ThreadCount(4, free)
    threads.start(num_busy)
    assert threads.count == count


def test_the_load_is_measured_with_and_without_this_process() -> None:
    load = CoreLoad()
    assert load.num_busy(without_us=False) is None  # too short a look
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    spinner = threading.Thread(target=spin)
    spinner.start()
    stop.wait(0.5)
    with_us = load.num_busy(without_us=False)
    stop.wait(0.5)
    without_us = load.num_busy(without_us=True)
    stop.set()
    spinner.join()
    assert with_us is not None
    assert without_us is not None
    assert with_us > 0.4
    assert without_us < with_us + 0.5
