"""Large pieces of memory that go back to the system as soon as nobody holds them.

The C library keeps freed memory for later, in each thread's own store. A state of the KV cache is
tens or hundreds of megabytes, and a kernel that unloads a model should have them back.
"""

from __future__ import annotations

import mmap
from contextlib import suppress


def pages(num_bytes: int) -> memoryview:
    """Zeroed memory of its own."""
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
