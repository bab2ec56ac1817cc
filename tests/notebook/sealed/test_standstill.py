"""Code that waits for what only the kernel has, and code that only takes long."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.seal import needs_seal
from support.waiting import until

from jupyter_llm.notebook.sealed.trying import try_code

pytestmark = [needs_seal, pytest.mark.slow]

TAKEN = threading.Lock()
TAKEN.acquire()
KEPT = ThreadPoolExecutor(1)
KEPT.submit(int).result()
NAMES = {"taken": TAKEN, "empty": queue.Queue(), "kept": KEPT}
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
        "kept.submit(int).result()",
        "import asyncio\nawait asyncio.Event().wait()",
        f"{POOL}with Pool(2) as pool: pool.map(lambda _: taken.acquire(), range(2))",
    ],
)
def test_code_that_waits_for_ever_is_not_waited_for(code: str, looks_at_children: None) -> None:
    seen = try_code([code], NAMES, timeout_s=10_000)
    text = "not tried: it waits for something that is not in the copy"
    assert (seen.outcome, seen.text) == ("untried", text)


def test_code_that_imports_what_a_thread_imports_is_not_waited_for(
    looks_at_children: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "jupyter_llm_is_imported_for_long"
    (tmp_path / f"{name}.py").write_text("import threading\nthreading.gate.acquire()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(threading, "gate", gate := threading.Semaphore(0), raising=False)
    thread = threading.Thread(target=__import__, args=(name,), daemon=True)
    thread.start()
    until(lambda: name in sys.modules)
    try:
        assert try_code([f"import {name}"], {}, timeout_s=10_000).outcome == "untried"
    finally:
        gate.release()
        thread.join(60)
        del sys.modules[name]


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
