"""Folders that may not be written, whoever runs the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Give up root's rights to write everywhere, and let a folder be ours nonetheless."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, -1)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
