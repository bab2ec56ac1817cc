"""The number of threads follows the machine's load."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.engines import load
from support.processes import started
from support.waiting import until

from jupyter_llm.engine.local import resident
from jupyter_llm.engine.local.native import threads
from jupyter_llm.engine.local.native.threads import CoreLoad, ThreadCount
from jupyter_llm.engine.local.resident import ResidentModel


def steps(team: ThreadCount, number: int, step_s: float, num_tokens: int = 1) -> None:
    for _ in range(number):
        team.observe(num_tokens, step_s)


def free() -> float:
    return 0.0


def test_one_hiccup_changes_nothing_and_two_in_a_row_shrink_the_team() -> None:
    team = ThreadCount(4, free)
    steps(team, 20, 0.01)
    steps(team, 1, 0.06)
    assert team.count == 4
    steps(team, 5, 0.01)
    steps(team, 2, 0.06)
    assert team.count == 2


def test_a_team_does_not_grow_while_others_need_the_cores() -> None:
    num_busy = 2.0
    team = ThreadCount(2, lambda: num_busy)
    team.start(2.0)
    steps(team, 100, 0.015)
    assert team.count == 1
    num_busy = 0.1
    steps(team, 20, 0.015)
    assert team.count == 2


def test_a_team_grows_after_one_long_step_of_a_quiet_machine() -> None:
    team = ThreadCount(2, free)
    team.start(1.0)  # what the kernel itself computed before
    team.observe(512, 0.4)
    assert team.count == 2


@pytest.mark.parametrize("limit", [2, 6, 8, 16, 64])
@pytest.mark.parametrize("start_busy", [0.0, 3.0, 100.0])
def test_on_a_quiet_machine_the_team_becomes_whole(limit: int, start_busy: float) -> None:
    team = ThreadCount(limit, free)
    team.start(0.0)
    for _ in range(100):
        team.observe(1, 0.1 / team.count)
    team.start(start_busy)
    for _ in range(500):
        team.observe(1, 0.1 / team.count)
    assert team.count == limit


@pytest.mark.parametrize(("num_busy", "count"), [(0.1, 4), (1.2, 3), (3.9, 1), (9.0, 1)])
def test_a_run_starts_with_the_cores_that_are_free(num_busy: float, count: int) -> None:
    team = ThreadCount(4, free)
    team.start(num_busy)
    assert team.count == count


def test_what_kept_the_cores_busy_before_is_not_counted_once_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = CoreLoad()
    end_s = time.monotonic() + 0.2
    while time.monotonic() < end_s:
        pass
    monkeypatch.setattr(threads, "_num_waiting", lambda: 0.0)
    assert load.num_busy(without_us=False) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many want a core")
def test_who_waits_for_a_core_is_counted_beside_who_asks() -> None:
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until(lambda: threads._num_waiting() >= 1)
    finally:
        spinner.kill()
        spinner.wait()


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


def test_a_model_starts_with_the_cores_that_were_free_while_it_was_loaded(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        spinners = [stack.enter_context(started("while True: pass")) for _ in range(3)]

        class Slow(ResidentModel):
            """A model whose loading takes as long as the spinners need for some work."""

            def __init__(self, *args: Any) -> None:
                work = [psutil.Process(one.pid) for one in spinners]
                end_s = sum(one.cpu_times().user for one in work) + 0.3
                until(lambda: sum(one.cpu_times().user for one in work) > end_s)
                super().__init__(*args)

        monkeypatch.setattr(resident, "ResidentModel", Slow)
        engine = load(tiny_gguf, n_threads=8, checkpoints=False)
        assert engine.status().n_threads < 8
