"""A file of lines that several processes append to, none of which tears another's.

Every append is one write under the lock that rewriting holds too. Whoever cannot have the lock in
time appends all the same, since a single write goes in one piece on a local disk, and a rewrite
gives up if the file has grown under its hands.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jupyter_llm.common.file_lock import file_lock

_PATIENCE_S = 5.0  # a rewrite takes far less; who holds it longer was stopped
_READER_PATIENCE_S = 0.5
_LOCK_NAME = "lock"  # one a folder: two files of it are never locked at once
_OWN_ONLY = 0o600
_FLAGS = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe of that name would let us wait for ever
)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file without their line feeds, blank ones left out.

    `num_skipped` were too long; with `is_cut` the file was, and what stands here is its end.
    """

    lines: tuple[bytes, ...] = ()
    size: int = 0
    num_skipped: int = 0
    is_cut: bool = False


class LineFile:
    """A file of lines in a folder for its owner only.

    A line has at most `max_line` bytes, and of a file at most `max_size` are read.
    """

    def __init__(self, path: Path, *, max_line: int, max_size: int) -> None:
        self.path = path
        self._max_line = max_line
        self._max_size = max_size

    def append(self, lines: Sequence[bytes], *, header: bytes) -> int:
        """Add lines, after the header in a file that has none yet; return the file's size.

        Raises
        ------
        OSError
            They are not there; without the lock some may be.
        """
        self._make_folder()
        with self._lock(_PATIENCE_S) as is_ours:
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _FLAGS, _OWN_ONLY
            )
            try:
                start = _checked_size(descriptor)
                data = b"".join(line + b"\n" for line in (lines if start else [header, *lines]))
                if start and not _ends_line(descriptor, start):
                    data = b"\n" + data  # a torn line must not take the next one along
                if os.write(descriptor, data) < len(data):
                    if is_ours:  # else others may have added theirs
                        os.ftruncate(descriptor, start)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return start + len(data)
            finally:
                os.close(descriptor)

    def read(self) -> Lines:
        """Return the lines; none if there is no such file.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        with self._lock(_READER_PATIENCE_S):
            return self._read()

    def rewrite(
        self, change: Callable[[Lines], Sequence[bytes]], *, target: Path | None = None
    ) -> int:
        """Put other lines in place of these and return their size; without any, remove the file.

        They move to `target` if there is one.

        Raises
        ------
        OSError
            Nothing was changed, perhaps because another process is at work (`TimeoutError`).
        """
        self._make_folder()
        with self._lock(_PATIENCE_S) as is_ours:
            if not is_ours:
                raise TimeoutError(f"{self.path} is locked by another process")
            found = self._read()
            lines = change(found)
            if lines:
                size = self._replace(found, lines, target or self.path)
            else:
                size = 0
                (target or self.path).unlink(missing_ok=True)
            if target is not None and target != self.path:
                self.path.unlink(missing_ok=True)
            return size

    def _replace(self, found: Lines, lines: Sequence[bytes], target: Path) -> int:
        handle, draft = tempfile.mkstemp(suffix=".tmp", dir=self.path.parent)  # for its owner only
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(line + b"\n" for line in lines)
                file.flush()
                os.fsync(handle)  # or a crash might leave an empty file
                size = file.tell()
            if self._size() != found.size:
                raise TimeoutError(f"{self.path} is being written by another process")
            Path(draft).replace(target)
        finally:
            Path(draft).unlink(missing_ok=True)
        return size

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _lock(self, timeout_s: float) -> contextlib.AbstractContextManager[bool]:
        return file_lock(self.path.with_name(_LOCK_NAME), timeout_s=timeout_s)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _read(self) -> Lines:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            return Lines()
        with os.fdopen(descriptor, "rb") as file:
            size = _checked_size(descriptor)
            is_cut = size > self._max_size
            header = [file.readline(self._max_line).strip()] if is_cut else []
            if is_cut:
                file.seek(size - self._max_size)
                self._skip(file)  # the first one is half
            parts = [*header, *self._parts(file)]
        return Lines(
            lines=tuple(part for part in parts if part),
            size=size,
            num_skipped=parts.count(None),
            is_cut=is_cut,
        )

    def _parts(self, file: BinaryIO) -> Iterator[bytes | None]:
        """Yield the lines from here on, None for one that is too long."""
        while line := file.readline(self._max_line + 1):
            if line.endswith(b"\n") or len(line) <= self._max_line:
                yield line.strip()
            else:
                self._skip(file)
                yield None

    def _skip(self, file: BinaryIO) -> None:
        while (rest := file.readline(self._max_line)) and not rest.endswith(b"\n"):
            pass


def _checked_size(descriptor: int) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    return status.st_size


def _ends_line(descriptor: int, size: int) -> bool:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"
