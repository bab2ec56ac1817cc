"""Detects that a process waits for ever, for a lock, a queue or an event."""

from __future__ import annotations

from pathlib import Path

from jupyter_llm.notebook.sealed.syscalls import HARMLESS

_WAITS = [HARMLESS.get(name) for name in ("futex", "epoll_wait", "epoll_pwait")]
_LIMIT = 4  # index of the timeout argument, the same for all of them
_NO_LIMIT = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # a null pointer, or -1


def is_stuck(pid: int) -> bool:
    """Whether all threads of an isolated process wait without a time limit."""
    # Twice: one thread may wake another in between, and then wait itself.
    return _waits_for_ever(pid) and _waits_for_ever(pid)


def _waits_for_ever(pid: int) -> bool:
    try:
        calls = [
            (task / "syscall").read_text("ascii").split()
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:  # it has ended, or the system hides it
        return False
    return all(
        len(call) > _LIMIT and int(call[0]) in _WAITS and int(call[_LIMIT], 16) in _NO_LIMIT
        for call in calls
    )
