"""The parts of the operating system that we call: its C library, and pages of memory."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress


def c_library() -> ctypes.CDLL:
    """Return the C library, as an object of its own: its functions get no types from others."""
    try:
        return ctypes.CDLL(None)
    except TypeError:  # Windows opens no library without a name
        return ctypes.cdll.msvcrt


def pages(num_bytes: int) -> memoryview:
    """Zeroed memory of its own, which goes back to the system as soon as nobody holds it.

    The C library keeps freed memory for later, in each thread's own store. A state of the KV cache
    is tens or hundreds of megabytes, and a kernel that unloads a model should have them back.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return memoryview(mmap.mmap(-1, max(1, num_bytes)))[:num_bytes]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, max(1, num_bytes), flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A fault for each small page takes longer than what is written there (25 ms instead of 6
        # for 34 MB). A system without huge pages refuses.
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)[:num_bytes]
