"""Ordinary files, opened without a wait for pipes and devices."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path


def open_regular(path: str | Path, *, follows_links: bool = True) -> BufferedReader:
    """A file open for reading; `OSError` if a pipe, a device or a folder is in its place.

    So is a link where it is not to be followed.
    """
    return os.fdopen(_handle(path, os.O_RDONLY, follows_links=follows_links), "rb")


def open_to_fill(path: Path) -> BinaryIO:
    """A file open for reading and writing, made where there is none.

    A link or a pipe in its place is taken away, since somebody else may have put it there.
    """
    if path.is_symlink() or not path.is_file():
        path.unlink(missing_ok=True)
    return os.fdopen(_handle(path, os.O_RDWR | os.O_CREAT, follows_links=False), "r+b")


def _handle(path: str | Path, flags: int, *, follows_links: bool) -> int:
    flags |= getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe opens at once, and ordinary files know no such
    if not follows_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return handle
