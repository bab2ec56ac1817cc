"""What a forked copy still shares with its parent, replaced by what is the copy's own.

A fork copies memory, but not what is open: a file's place in it, a socket, a pipe and memory that
is meant to be shared are the same for both.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_HARMLESS_DEVICES = frozenset({(1, 3), (1, 5), (1, 8), (1, 9)})  # null, zero, random, urandom
_SHARED = re.compile(
    r"(?m)^([0-9a-f]+)-([0-9a-f]+) (...)s ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$"
)
_OPENMP = re.compile(r"(?m)(/.*libgomp.*)$")
_RIGHTS = (mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC)
_FIXED, _FAILED = 0x10, ctypes.c_void_p(-1).value
_STANDARD = (0, 1, 2)  # where all sorts of libraries write what nobody needs
_MAX_COPIED = 512 << 20  # of shared memory that no file holds
_PIECE = 16 << 20


class TooMuchSharedError(MemoryError):
    """More memory is shared than can be copied in the time of a try."""


class _Mapping(NamedTuple):
    """A piece of this process's memory that it shares."""

    start: int
    end: int
    protection: int
    offset: int
    device: int
    inode: int
    path: str

    @property
    def size(self) -> int:
        return self.end - self.start


def detach(kept: int) -> bool:
    """Make all that is open or shared our own, but for one descriptor.

    Tells whether a file was open for writing, which is now open for reading.
    """
    was_writable = _detach_descriptors(kept)
    text = Path("/proc/self/maps").read_text("utf-8", "surrogateescape")
    _detach_memory(text)
    _stay_alone(text)
    return was_writable


def _stay_alone(maps: str) -> None:
    """Keep OpenMP of GCC from waiting for its threads, which are not here after a fork."""
    for path in set(_OPENMP.findall(maps)):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(path).omp_set_num_threads(1)


def _detach_descriptors(kept: int) -> bool:
    was_writable = False
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number in (kept, nothing):
            continue
        try:
            status = os.fstat(number)
        except OSError:  # the folder that was listed
            continue
        was_writable |= _replace(number, status, nothing)
    os.close(nothing)
    return was_writable


def _replace(number: int, status: os.stat_result, nothing: int) -> bool:
    """Put something of our own in a descriptor's place; tells whether it was a file to write."""
    import fcntl

    is_inherited = os.get_inheritable(number)
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    own = nothing
    if _is_readable(status) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_PATH:
        with suppress(OSError):
            own = _opened_again(number, status, flags & os.O_NONBLOCK)
    elif stat.S_ISREG(status.st_mode) and number not in _STANDARD:
        own = os.open(os.devnull, os.O_RDONLY)  # who writes to it is to see that it cannot
    if own != nothing and stat.S_ISREG(status.st_mode):
        os.lseek(own, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(own, number, inheritable=is_inherited)
    if own != nothing:
        os.close(own)
    return stat.S_ISREG(status.st_mode) and flags & os.O_ACCMODE != os.O_RDONLY


def _opened_again(number: int, status: os.stat_result, flags: int) -> int:
    """A descriptor of the same file that can only read.

    Of a file without a name, which may be memory that many share, it is a copy: Landlock knows
    files by where they are, and so lets such a one be opened for writing.
    """
    link = f"/proc/self/fd/{number}"
    if stat.S_ISREG(status.st_mode) and not _has_name(link, status):
        if status.st_size > _MAX_COPIED:
            raise OSError(errno.EFBIG, "too much to be copied")
        copy = os.memfd_create("copy")
        try:
            done = 0
            while sent := os.sendfile(copy, number, done, _PIECE):
                done += sent
            return os.open(f"/proc/self/fd/{copy}", os.O_RDONLY)
        finally:
            os.close(copy)
    return os.open(link, os.O_RDONLY | flags)


def _has_name(link: str, status: os.stat_result) -> bool:
    try:
        named = Path(link).readlink().stat()
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)


def _is_readable(status: os.stat_result) -> bool:
    if stat.S_ISCHR(status.st_mode):
        return (os.major(status.st_rdev), os.minor(status.st_rdev)) in _HARMLESS_DEVICES
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)


def _shared_mappings(maps: str) -> Iterator[_Mapping]:
    for start, end, rights, offset, major, minor, inode, path in _SHARED.findall(maps):
        protection = sum(bit for bit, letter in zip(_RIGHTS, rights, strict=True) if letter != "-")
        device = os.makedev(int(major, 16), int(minor, 16))
        numbers = int(start, 16), int(end, 16), protection, int(offset, 16)
        yield _Mapping(*numbers, device, int(inode), path)


def _detach_memory(maps: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    room = _MAX_COPIED
    for mapping in _shared_mappings(maps):
        if not _may_be_written(libc, mapping):
            continue
        if _map_file(libc, mapping):
            continue
        room -= mapping.size
        if room < 0:
            raise TooMuchSharedError("much memory is shared with other processes")
        _copy(libc, mapping)


def _may_be_written(libc: ctypes.CDLL, mapping: _Mapping) -> bool:
    """Whether memory can be written, or could be made so: its file was open for writing."""
    if mapping.protection & mmap.PROT_WRITE:
        return True
    protection = mapping.protection | mmap.PROT_WRITE
    if libc.mprotect(mapping.start, mapping.size, protection) != 0:
        return False
    libc.mprotect(mapping.start, mapping.size, mapping.protection)
    return True


def _map_file(libc: ctypes.CDLL, mapping: _Mapping) -> bool:
    """Map the same file again, as a copy on write; false where it has no name any more."""
    try:
        opened = os.open(mapping.path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        status = os.fstat(opened)
        if (status.st_dev, status.st_ino) != (mapping.device, mapping.inode):
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        _map(libc, mapping, mmap.MAP_PRIVATE, opened, mapping.offset, mapping.protection)
    finally:
        os.close(opened)
    return True


def _copy(libc: ctypes.CDLL, mapping: _Mapping) -> None:
    """Put the same bytes in the same place. What cannot be read, as a device's, becomes zeros."""
    pieces = []
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for start in range(mapping.start, mapping.end, _PIECE):
            memory.seek(start)
            piece = b""
            with suppress(OSError):  # beyond the end of its file
                piece = memory.read(min(_PIECE, mapping.end - start))
            pieces.append((start, piece))
            if len(piece) < min(_PIECE, mapping.end - start):
                break
    everything = mmap.PROT_READ | mmap.PROT_WRITE
    _map(libc, mapping, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0, everything)
    for start, piece in pieces:
        ctypes.memmove(start, piece, len(piece))
    libc.mprotect(mapping.start, mapping.size, mapping.protection)


def _map(
    libc: ctypes.CDLL, mapping: _Mapping, kind: int, opened: int, offset: int, protection: int
) -> None:
    place = libc.mmap(mapping.start, mapping.size, protection, kind | _FIXED, opened, offset)
    if place == _FAILED:
        raise OSError(ctypes.get_errno(), "shared memory cannot be made our own")
