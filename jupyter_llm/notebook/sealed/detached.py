"""Replaces what a forked copy shares with its parent by copies of its own.

A fork copies memory, but not open files: a file's position, sockets, pipes and shared memory are
the same for both processes.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_HARMLESS_DEVICES = frozenset({(1, 3), (1, 5), (1, 8), (1, 9)})  # null, zero, random, urandom
_SHARED = re.compile(
    r"(?m)^([0-9a-f]+)-([0-9a-f]+) (...)s ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$"
)
_PLACE = re.compile(r"([0-9a-f]+)-[0-9a-f]+ ")
# Shared memory of this process and its children, and memory in which readers keep locks or
# counters.
_UNREPORTED = re.compile(r"^/dev/zero|^anon_inode|/sem\.[^/]*$|-shm$|/lock\.mdb$")
_OPENMP = re.compile(r"(?m)(/.*libgomp.*)$")
_RIGHTS = (mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC)
_FIXED, _FAILED = 0x10, ctypes.c_void_p(-1).value
_STANDARD = (0, 1, 2)  # many libraries write useless text there
_MAX_COPIED = 512 << 20  # of shared memory without a file
_PIECE = 16 << 20


class TooMuchSharedError(MemoryError):
    """More memory is shared than can be copied in the time of a try."""


class Mapping(NamedTuple):
    """A shared piece of this process's memory."""

    start: int
    end: int
    protection: int
    offset: int
    device: int
    inode: int
    path: str

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return self.end - self.start


def detach(kept: int) -> list[Mapping]:
    """Replace all open files and shared memory, except descriptor `kept`.

    Return the shared memory.
    """
    _detach_descriptors(kept)
    text = Path("/proc/self/maps").read_text("utf-8", "surrogateescape")
    shared = _detach_memory(text)
    _stay_alone(text)
    return shared


def detach_files() -> None:
    """Open this process's regular files again: a fork shares its parent's offsets."""
    for path in Path("/proc/self/fd").iterdir():
        number = int(path.name)
        with suppress(OSError):
            status = os.fstat(number)
            if stat.S_ISREG(status.st_mode):
                own = os.open(path, os.O_RDONLY)
                _put(own, number, status)
    _stay_alone(Path("/proc/self/maps").read_text("utf-8", "surrogateescape"))


def written(shared: Sequence[Mapping]) -> str:
    """Return the path of formerly shared memory that was written to, "" if there is none."""
    path = ""
    text = Path("/proc/self/smaps").read_text("utf-8", "surrogateescape") if shared else ""
    for line in text.split("\n"):
        if match := _PLACE.match(line):
            start = int(match[1], 16)
            path = next((one.path for one in shared if one.start <= start < one.end), "")
        elif path and line.startswith("Anonymous:") and line.split()[1] != "0":
            return path
    return ""


def _stay_alone(maps: str) -> None:
    """Keep GCC's OpenMP from waiting for its threads, which do not exist after a fork."""
    for path in set(_OPENMP.findall(maps)):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(path).omp_set_num_threads(1)


def _detach_descriptors(kept: int) -> None:
    nothing, unwritable = (os.open(os.devnull, mode) for mode in (os.O_RDWR, os.O_RDONLY))
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number in (kept, nothing, unwritable):
            continue
        try:
            status = os.fstat(number)
        except OSError:  # the descriptor of the listing itself
            continue
        # Writing to a file or a pipe has to fail visibly; an eventfd has no such type.
        is_quiet = number in _STANDARD or not stat.S_IFMT(status.st_mode)
        _replace(number, status, nothing if is_quiet else unwritable)
    os.close(nothing)
    os.close(unwritable)


def _replace(number: int, status: os.stat_result, instead: int) -> None:
    """Put a descriptor of our own in place of an inherited one."""
    import fcntl

    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    own = instead
    if _is_readable(status) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_PATH:
        with suppress(OSError):
            own = _opened_again(number, status, flags & os.O_NONBLOCK)
    if own != instead:
        _put(own, number, status)
    else:
        os.dup2(own, number, inheritable=os.get_inheritable(number))


def _put(own: int, number: int, status: os.stat_result) -> None:
    """Replace a descriptor by another one, at the same place in the file."""
    try:
        if stat.S_ISREG(status.st_mode):
            os.lseek(own, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
        os.dup2(own, number, inheritable=os.get_inheritable(number))
    finally:
        os.close(own)


def _opened_again(number: int, status: os.stat_result, flags: int) -> int:
    """Return a read-only descriptor of the same file.

    A file without a name, which may be shared memory, is copied: Landlock knows files by path, so
    it would allow opening this one for writing.
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


def _shared_mappings(maps: str) -> Iterator[Mapping]:
    for start, end, rights, offset, major, minor, inode, path in _SHARED.findall(maps):
        protection = sum(bit for bit, letter in zip(_RIGHTS, rights, strict=True) if letter != "-")
        device = os.makedev(int(major, 16), int(minor, 16))
        numbers = int(start, 16), int(end, 16), protection, int(offset, 16)
        yield Mapping(*numbers, device, int(inode), path)


def _detach_memory(maps: str) -> list[Mapping]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    room = _MAX_COPIED
    shared = [one for one in _shared_mappings(maps) if _may_be_written(libc, one)]
    for mapping in shared:
        opened, offset = _same_file(mapping), mapping.offset
        if opened is None:
            room -= mapping.size
            if room < 0:
                raise TooMuchSharedError("much memory is shared with other processes")
            opened, offset = _copied(mapping), 0
        _map(libc, mapping, opened, offset)
    return [one for one in shared if not _UNREPORTED.search(one.path)]


def _may_be_written(libc: ctypes.CDLL, mapping: Mapping) -> bool:
    """Whether memory is writable or could become so, because its file is open for writing."""
    if mapping.protection & mmap.PROT_WRITE:
        return True
    protection = mapping.protection | mmap.PROT_WRITE
    if libc.mprotect(mapping.start, mapping.size, protection) != 0:
        return False
    libc.mprotect(mapping.start, mapping.size, mapping.protection)
    return True


def _same_file(mapping: Mapping) -> int | None:
    """Return the mapped file, opened for reading; None if it has no name any more."""
    with suppress(OSError):
        opened = os.open(mapping.path, os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(opened)
        is_same = (status.st_dev, status.st_ino) == (mapping.device, mapping.inode)
        if is_same and stat.S_ISREG(status.st_mode):
            return opened
        os.close(opened)
    return None


def _copied(mapping: Mapping) -> int:
    """Return a file with the same bytes; unreadable ones, as of a device, are zeros."""
    copy = os.memfd_create("copy")
    os.truncate(copy, mapping.size)
    # Memory beyond the end of its file is unreadable.
    with Path("/proc/self/mem").open("rb", buffering=0) as memory, suppress(OSError):
        memory.seek(mapping.start)
        while piece := memory.read(min(_PIECE, mapping.end - memory.tell())):
            os.write(copy, piece)
    return copy


def _map(libc: ctypes.CDLL, mapping: Mapping, opened: int, offset: int) -> None:
    """Replace shared memory by a private mapping of a file, and close the file."""
    kind = mmap.MAP_PRIVATE | _FIXED
    place = libc.mmap(mapping.start, mapping.size, mapping.protection, kind, opened, offset)
    os.close(opened)
    if place == _FAILED:
        raise OSError(ctypes.get_errno(), "shared memory cannot be made our own")
