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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_HARMLESS_DEVICES = frozenset({(1, 3), (1, 5), (1, 8), (1, 9)})  # null, zero, random, urandom
_SHARED = re.compile(
    r"(?m)^([0-9a-f]+)-([0-9a-f]+) (...)s ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$"
)
_PLACE = re.compile(r"([0-9a-f]+)-[0-9a-f]+ ")
# Memory of this process and its children, and where who only reads notes that, or holds a lock.
_UNTOLD = re.compile(r"^/dev/zero|^anon_inode|/sem\.[^/]*$|-shm$|/lock\.mdb$")
_OPENMP = re.compile(r"(?m)(/.*libgomp.*)$")
_RIGHTS = (mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC)
_FIXED, _FAILED = 0x10, ctypes.c_void_p(-1).value
_STANDARD = (0, 1, 2)  # where all sorts of libraries write what nobody needs
_MAX_COPIED = 512 << 20  # of shared memory that no file holds
_PIECE = 16 << 20


class TooMuchSharedError(MemoryError):
    """More memory is shared than can be copied in the time of a try."""


class Mapping(NamedTuple):
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
        """How many bytes it is."""
        return self.end - self.start


def detach(kept: int) -> list[Mapping]:
    """Make all that is open or shared our own, but for one descriptor; tells what memory was."""
    _detach_descriptors(kept)
    text = Path("/proc/self/maps").read_text("utf-8", "surrogateescape")
    shared = _detach_memory(text)
    _stay_alone(text)
    return shared


def written(shared: Sequence[Mapping]) -> str:
    """The path of memory that was shared and has been written to since; "" if there is none."""
    path = ""
    text = Path("/proc/self/smaps").read_text("utf-8", "surrogateescape") if shared else ""
    for line in text.split("\n"):
        if found := _PLACE.match(line):
            start = int(found[1], 16)
            path = next((one.path for one in shared if one.start <= start < one.end), "")
        elif path and line.startswith("Anonymous:") and line.split()[1] != "0":
            return path
    return ""


def _stay_alone(maps: str) -> None:
    """Keep OpenMP of GCC from waiting for its threads, which are not here after a fork."""
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
        except OSError:  # the folder that was listed
            continue
        # Who writes to a file or a pipe is to see that it cannot; an eventfd has no such type.
        is_quiet = number in _STANDARD or not stat.S_IFMT(status.st_mode)
        _replace(number, status, nothing if is_quiet else unwritable)
    os.close(nothing)
    os.close(unwritable)


def _replace(number: int, status: os.stat_result, instead: int) -> None:
    """Put something of our own in a descriptor's place."""
    import fcntl

    is_inherited = os.get_inheritable(number)
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    own = instead
    if _is_readable(status) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_PATH:
        with suppress(OSError):
            own = _opened_again(number, status, flags & os.O_NONBLOCK)
    if own != instead and stat.S_ISREG(status.st_mode):
        os.lseek(own, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(own, number, inheritable=is_inherited)
    if own != instead:
        os.close(own)


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
    return [one for one in shared if not _UNTOLD.search(one.path)]


def _may_be_written(libc: ctypes.CDLL, mapping: Mapping) -> bool:
    """Whether memory can be written, or could be made so: its file was open for writing."""
    if mapping.protection & mmap.PROT_WRITE:
        return True
    protection = mapping.protection | mmap.PROT_WRITE
    if libc.mprotect(mapping.start, mapping.size, protection) != 0:
        return False
    libc.mprotect(mapping.start, mapping.size, mapping.protection)
    return True


def _same_file(mapping: Mapping) -> int | None:
    """The file that is mapped, opened to read; None where it has no name any more."""
    with suppress(OSError):
        opened = os.open(mapping.path, os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(opened)
        is_same = (status.st_dev, status.st_ino) == (mapping.device, mapping.inode)
        if is_same and stat.S_ISREG(status.st_mode):
            return opened
        os.close(opened)
    return None


def _copied(mapping: Mapping) -> int:
    """A file of the same bytes. What cannot be read, as a device's, becomes zeros."""
    copy = os.memfd_create("copy")
    os.truncate(copy, mapping.size)
    # What lies beyond the end of its file cannot be read.
    with Path("/proc/self/mem").open("rb", buffering=0) as memory, suppress(OSError):
        memory.seek(mapping.start)
        while piece := memory.read(min(_PIECE, mapping.end - memory.tell())):
            os.write(copy, piece)
    return copy


def _map(libc: ctypes.CDLL, mapping: Mapping, opened: int, offset: int) -> None:
    """Put a file in the place of shared memory, as a copy on write, and close it."""
    kind = mmap.MAP_PRIVATE | _FIXED
    place = libc.mmap(mapping.start, mapping.size, mapping.protection, kind, opened, offset)
    os.close(opened)
    if place == _FAILED:
        raise OSError(ctypes.get_errno(), "shared memory cannot be made our own")
