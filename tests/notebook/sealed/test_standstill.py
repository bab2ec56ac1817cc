"""Code that waits for what only the kernel has, and code that only takes long."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from support.seal import needs_seal

from jupyter_llm.notebook.sealed import copy
from jupyter_llm.notebook.sealed.standstill import stands_still
from jupyter_llm.notebook.sealed.trying import try_code

pytestmark = needs_seal

TAKEN = threading.Lock()
TAKEN.acquire()
NAMES = {"taken": TAKEN, "empty": queue.Queue()}
POOL = "from concurrent.futures import ThreadPoolExecutor as Pool\nimport time\n"


@pytest.fixture(scope="module")
def looks_at_children() -> None:
    """Skip where a process is not told what those that it started wait for."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            Path(f"/proc/{process.pid}/syscall").read_text("ascii")
        except OSError:
            pytest.skip("this system does not tell what a process waits for")
        finally:
            process.kill()


@pytest.mark.parametrize(
    "code",
    [
        "taken.acquire()",
        "empty.get()",
        "import asyncio\nawait asyncio.Event().wait()",
        f"{POOL}with Pool(2) as pool: pool.map(lambda _: taken.acquire(), range(2))",
    ],
)
def test_code_that_waits_for_ever_was_not_tried(
    code: str, looks_at_children: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_still, later_s = 0, 0.0

    def tick() -> None:
        """Let the time be over once nothing goes on any more, however long that took to come."""
        nonlocal num_still, later_s
        children = psutil.Process().children()
        num_still = num_still + 1 if any(stands_still(child.pid) for child in children) else 0
        later_s = 1000.0 if num_still > 10 else 0.0

    clock = SimpleNamespace(sleep=time.sleep, monotonic=lambda: time.monotonic() + later_s)
    monkeypatch.setattr(copy, "time", clock)
    seen = try_code([code], NAMES, timeout_s=100, tick=tick)
    text = "not tried: it waits for something that is not in the copy"
    assert (seen.outcome, seen.text) == ("untried", text)


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(60)",
        "taken.acquire(timeout=60)",
        "import asyncio\nawait asyncio.sleep(60)",
        f"{POOL}with Pool(2) as pool: pool.map(time.sleep, [60, 60])",
    ],
)
def test_code_that_takes_long_is_still_running(code: str) -> None:
    assert try_code([code], NAMES, timeout_s=3).text == "still running after 3 s"
