"""One process at a time: a lock on a file, gone with the process that holds it."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL_S = 0.002
_HELD = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _give_back(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give_back(descriptor: int) -> None:
        # Closing is not enough: a process that was forked meanwhile shares the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def file_lock(path: Path, *, timeout_s: float) -> Iterator[bool]:
    """Hold the lock of a file, which is made if need be; yields whether we have it.

    Not after `timeout_s`, nor where the file cannot be made. Where the file system knows no locks,
    everybody has it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError:
        yield False
        return
    try:
        is_ours = _taken_in_time(descriptor, timeout_s)
        try:
            yield is_ours
        finally:
            if is_ours:
                with suppress(OSError):
                    _give_back(descriptor)
    finally:
        os.close(descriptor)


def _taken_in_time(descriptor: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            _take(descriptor)
        except OSError as error:
            if error.errno not in _HELD:
                return True
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
