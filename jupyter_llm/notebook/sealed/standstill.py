"""Whether a process waits for ever: for a lock, a queue or an event that nobody in it will give."""

from __future__ import annotations

from pathlib import Path

from jupyter_llm.notebook.sealed.syscalls import HARMLESS

_WAITS = [HARMLESS.get(name) for name in ("futex", "epoll_wait", "epoll_pwait")]
_LIMIT = 4  # where it stands behind the number of the call, for all of them
_NO_LIMIT = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # no time's address, or -1


def stands_still(pid: int) -> bool:
    """Whether all threads of a process, which nobody else reaches, wait without a limit."""
    # One thread may wake another between the two looks, and then wait itself.
    return _waits_for_ever(pid) and _waits_for_ever(pid)


def _waits_for_ever(pid: int) -> bool:
    try:
        calls = [
            (task / "syscall").read_text("ascii").split()
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:  # it has ended, or this system does not tell
        return False
    return all(
        len(call) > _LIMIT and int(call[0]) in _WAITS and int(call[_LIMIT], 16) in _NO_LIMIT
        for call in calls
    )
