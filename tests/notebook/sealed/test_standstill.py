"""Code that waits for what only the kernel has, and code that only takes long."""

from __future__ import annotations

import queue
import threading

import pytest
from support.seal import needs_seal

from jupyter_llm.notebook.sealed.trying import try_code

pytestmark = needs_seal

TAKEN = threading.Lock()
TAKEN.acquire()
NAMES = {"taken": TAKEN, "empty": queue.Queue()}
POOL = "from concurrent.futures import ThreadPoolExecutor as Pool\nimport time\n"


@pytest.mark.parametrize(
    "code",
    [
        "taken.acquire()",
        "empty.get()",
        "import asyncio\nawait asyncio.Event().wait()",
        f"{POOL}with Pool(2) as pool: pool.map(lambda _: taken.acquire(), range(2))",
    ],
)
def test_code_that_waits_for_ever_was_not_tried(code: str) -> None:
    seen = try_code([code], NAMES, timeout_s=3)
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
