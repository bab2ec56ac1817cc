"""Ctrl-C for the main thread of a test."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

_STEADY_S = 0.03  # longer than anybody sleeps who waits for Python's own lock


def interrupt_main() -> None:
    """Interrupt the main thread as soon as it sleeps; call it from another one.

    Python looks for signals between two steps. One that comes after the last look and before the
    call that waits is not seen until that call returns, which may be never.
    """
    main = threading.main_thread()
    assert main.ident is not None
    signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003  polars lets what waits go on waiting
    before: list[str] = []
    while (now := _state(main.native_id)) != before or "S (sleeping)" not in now[0]:
        before = now
        time.sleep(_STEADY_S)
    signal.pthread_kill(main.ident, signal.SIGINT)


def _state(thread_id: int | None) -> list[str]:
    """Whether a thread sleeps, and how often it has gone to sleep or made way for others."""
    lines = Path(f"/proc/self/task/{thread_id}/status").read_text("ascii", "replace").splitlines()
    return [line for line in lines if line.startswith(("State:", "voluntary", "nonvoluntary"))]
