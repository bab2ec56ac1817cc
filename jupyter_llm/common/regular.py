"""Opens what should be an ordinary file, and waits for no pipe or device in its place."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path


def open_regular(path: str | Path, *, follows_links: bool = True) -> BufferedReader:
    """A file open for reading; `OSError` if a pipe, a device or a folder is in its place.

    So is a link where it is not to be followed.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe opens at once, and ordinary files know no such
    if not follows_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return os.fdopen(handle, "rb")
