"""The SHA-256 of model files, remembered, since reading gigabytes takes seconds.

A file is known again by its path, size, modification time and inode.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

from jupyter_llm.errors import ModelFileError

_CACHE_FILE = "sha256.json"
_MAX_REMEMBERED = 256  # files, the latest ones
_SHA256 = re.compile("[0-9a-f]{64}")


def file_sha256(path: Path, cache_folder: Path | None = None) -> str:
    """Return the SHA-256 of a file in hexadecimal; reads the file only if it is not known yet.

    What is known stands in `cache_folder`, by default the user's own. Other threads run while the
    file is read. A cache that is damaged or cannot be written costs only time.

    Raises
    ------
    ModelFileError
        The file cannot be read.
    """
    cache = _cache_file(cache_folder)
    try:
        with path.open("rb") as file:
            key = _key(path, os.fstat(file.fileno()))
            if known := _remembered(cache).get(key):
                return known
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            is_unchanged = key == _key(path, os.fstat(file.fileno()))
    except OSError as error:
        raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None
    if is_unchanged:  # nobody was writing it
        _remember(cache, key, digest)
    return digest


def known_sha256(path: Path, cache_folder: Path | None = None) -> str | None:
    """Return the SHA-256 of a file if `file_sha256` has read it as it is now, at no cost."""
    try:
        key = _key(path, path.stat())
    except OSError:
        return None
    return _remembered(_cache_file(cache_folder)).get(key)


def _cache_file(folder: Path | None) -> Path:
    if folder is None:
        from platformdirs import user_cache_path

        folder = user_cache_path("jupyter_llm")
    return folder / _CACHE_FILE


def _key(path: Path, status: os.stat_result) -> str:
    resolved = os.path.realpath(path)  # pathlib's raises where links go in circles
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {resolved}"


def _remembered(cache: Path) -> dict[str, str]:
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # none yet, or damaged
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and _SHA256.fullmatch(value)
    }


def _remember(cache: Path, key: str, digest: str) -> None:
    """Add a file to the cache; of two kernels that do so at once, one may have to do it again."""
    remembered = _remembered(cache) | {key: digest}
    latest = dict(list(remembered.items())[-_MAX_REMEMBERED:])
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=cache.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(latest, file, indent=0)
            Path(temporary).replace(cache)
        finally:
            Path(temporary).unlink(missing_ok=True)
