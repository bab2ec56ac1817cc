"""Keeps the kernel alive when a model file is cut off while llama.cpp reads its mapped pages.

If a file became shorter, reading a mapped page that it no longer has raises SIGBUS. That ends the
process, and the user's variables are lost. Here such pages become zeros instead, which take no
memory. llama.cpp goes on, and `Weights.check_file` raises before its results are used, even if the
file was deleted since. Files stay mapped, so several kernels share their pages.

The signal is raised by an instruction of llama.cpp's that reads weights. No thread holds a lock
there, nor the interpreter's, since calls into llama.cpp let go of it: so Python may run. Only on
Linux is it known where a file lies in memory; elsewhere it is looked at between two batches.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import signal
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from jupyter_llm.engine.local.native.system import c_library
from jupyter_llm.models.fingerprint import FileState

Part = tuple[str, int, int, int]
"""A file as `FileState` knows it."""

_NO_PAGE = 2  # BUS_ADRERR: the page cannot be had
_FIXED = 0x10  # MAP_FIXED
_FAILED = -1  # MAP_FAILED
_WITH_PLACE = 4  # SA_SIGINFO
_MACHINES = ("x86_64", "aarch64")  # on some others, what follows looks otherwise


class _Fault(ctypes.Structure):
    """The start of a `siginfo_t`."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("number", "errno", "code")),
        ("address", ctypes.c_size_t),
    ]


class _Action(ctypes.Structure):
    """A `struct sigaction`."""

    _fields_ = [
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_byte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


_files: dict[int, Part] = {}  # what was loaded, by its inode
_cut: set[Part] = set()  # of these, what had pages that became zeros
_blanked: list[range] = []  # where
_before = _Action()  # whoever hears of the other faults


def guard(files: FileState) -> None:
    """See that a model's files may be cut off from here on, before they are mapped."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return
    _files.update((part[1], part) for part in files.parts)
    ours, now = _Action(flags=_WITH_PLACE), _Action()
    ours.handler = ctypes.cast(_handler, ctypes.c_void_p).value
    _library().sigaction(signal.SIGBUS, ctypes.byref(ours), ctypes.byref(now))
    if now.handler != ours.handler:
        ctypes.pointer(_before)[0] = now


def was_cut(files: FileState) -> bool:
    """Whether zeros were read in the place of some of a model's weights."""
    return not _cut.isdisjoint(files.parts)


def _handle(number: int, fault: Any, _context: object) -> None:
    with suppress(Exception):  # none can cross C
        if fault.contents.code == _NO_PAGE and _is_blanked(fault.contents.address):
            return
    _library().sigaction(number, ctypes.byref(_before), None)
    signal.raise_signal(number)


def _is_blanked(address: int) -> bool:
    """Put zeros in the place of a file of ours, and say whether it was one."""
    with open("/proc/self/maps", "rb") as lines:  # noqa: PTH123  as few calls as can be
        for line in lines:
            span, _, _, _, inode, *_ = line.split(maxsplit=5)
            start, end = (int(text, 16) for text in span.split(b"-"))
            if not start <= address < end:
                continue
            if int(inode) not in _files:  # another thread may have been here first
                return inode == b"0" and any(address in place for place in _blanked)
            _cut.add(_files[int(inode)])
            _blanked.append(range(start, end))  # before others may look, as they may during a call
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
            made: int = _library().mmap(start, end - start, mmap.PROT_READ, flags, -1, 0)
            return made != _FAILED
    return False


@cache
def _library() -> ctypes.CDLL:
    """The C library, as far as it is needed here."""
    library = c_library()
    number, size = ctypes.c_int, ctypes.c_size_t
    library.mmap.argtypes = [size, size, number, number, number, ctypes.c_long]
    return library


_handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(_Fault), ctypes.c_void_p)(_handle)
