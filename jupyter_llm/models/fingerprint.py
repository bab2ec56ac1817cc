"""The SHA-256 of model files, remembered, since reading gigabytes takes seconds.

A file is known again by its path, size, modification time and inode.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import ModelFileError

_REMEMBERED = Remembered("fingerprint")
_SHA256 = re.compile("[0-9a-f]{64}")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; the file is read only if it is not known yet.

    Other threads run while the file is read. A store that is damaged or cannot be written costs
    only time; a file that cannot be read is a `ModelFileError`.
    """
    try:
        with path.open("rb") as file:
            key = _key(path, os.fstat(file.fileno()))
            if known := _known(key):
                return known
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            is_unchanged = key == _key(path, os.fstat(file.fileno()))
    except OSError as error:
        raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None
    if is_unchanged:  # nobody was writing it
        _REMEMBERED.put(key, digest)
    return digest


def known_sha256(path: Path) -> str | None:
    """The SHA-256 of a file if `file_sha256` has read it as it is now, at no cost."""
    try:
        return _known(_key(path, path.stat()))
    except OSError:
        return None


def file_identity(path: Path) -> str:
    """What tells a file from others and from itself once it has changed, without reading it."""
    with suppress(OSError):
        return hashlib.sha256(os.fsencode(_key(path, path.stat()))).hexdigest()
    return ""


def _known(key: str) -> str | None:
    value = _REMEMBERED.get(key)
    return value if value is not None and _SHA256.fullmatch(value) else None


def _key(path: Path, status: os.stat_result) -> str:
    resolved = os.path.realpath(path)  # pathlib's raises where links go in circles
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {resolved}"
