"""Opens ordinary files without waiting for pipes and devices."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | Path, *, follows_links: bool = True) -> BufferedReader:
    """Open a file for reading; raise `OSError` for a pipe, a device or a folder.

    A link raises it, too, unless `follows_links`.
    """
    return os.fdopen(_handle(path, os.O_RDONLY, follows_links=follows_links), "rb")


def open_to_fill(path: Path) -> BinaryIO:
    """Open a file for reading and writing; create it if it is missing.

    A link or a pipe in its place is deleted, since somebody else may have put it there.
    """
    if path.is_symlink() or not path.is_file():
        path.unlink(missing_ok=True)
    return os.fdopen(_handle(path, os.O_RDWR | os.O_CREAT, follows_links=False), "r+b")


def _handle(path: str | Path, flags: int, *, follows_links: bool) -> int:
    flags |= getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe opens at once; no effect on ordinary files
    if not follows_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return handle
