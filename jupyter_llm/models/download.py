"""Downloads a file of the hub into huggingface_hub's cache.

huggingface_hub restarts a file after each interrupt. So we download here, under its locks: a
partial file stays as `blobs/SHA256.incomplete` and is continued later. A file gets its name in the
cache only if it has the SHA-256 that the hub states.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jupyter_llm.common.files import open_to_fill
from jupyter_llm.common.tables import human_size
from jupyter_llm.errors import DownloadError
from jupyter_llm.models.fingerprint import file_sha256, note_sha256
from jupyter_llm.models.hub import HubFile, Repository, explained, folder_name, opened

_MAX_FAILURES = 5  # in a row, without a byte received between them
WAIT_S = 1.0  # after the first one; doubled after each further one
LOOK_S = 0.5
_SPARE_BYTES = 200 << 20  # to remain free on the disk
_CHUNK = 1 << 20
_CHECKING = "checking the downloaded part"
_PARTIAL = 206
_WORTH_TRYING_AGAIN = (408, 429, 500, 502, 503, 504)

ReportBytes = Callable[[int, str], None]
"""Receives the number of bytes of a file, and the reason if it does not grow."""


def download(repository: Repository, file: HubFile, cache: Path, report: ReportBytes) -> Path:
    """Download a file into the cache, unless it is complete there, and return its path.

    Raises `DownloadError`. The received part is kept, unless the result has the wrong SHA-256.
    """
    folder = cache / folder_name(repository.name)
    blob = folder / "blobs" / file.sha256
    try:
        with explained(repository.name):
            with _alone(cache, repository, file, report):
                if not _is_complete(blob, file, report):
                    _fetch(repository, file, blob, report)
                path = repository.folder(cache) / file.name
                _give_name(path, blob)
            if repository.branch != repository.revision:
                # Without it, `hf cache prune` would delete the model as unused.
                reference = folder / "refs" / repository.branch
                reference.parent.mkdir(parents=True, exist_ok=True)
                with open_to_fill(reference) as out:
                    out.truncate()
                    out.write(repository.revision.encode("ascii"))
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{file.name} cannot be written to {cache}: {error.strerror or error}. Free space "
            "or make the folder writable, then pull again: the download resumes."
        ) from None
    return path


def check_space(files: tuple[HubFile, ...], repository: Repository, cache: Path) -> None:
    """Raise `DownloadError` if the missing bytes do not fit on the disk."""
    blobs = cache / folder_name(repository.name) / "blobs"
    missing = sum(max(0, file.size_bytes - _size_here(blobs / file.sha256)) for file in files)
    folder = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if missing and missing + _SPARE_BYTES > free:
        raise DownloadError(
            f"The download needs {human_size(missing)}, but only {human_size(free)} are free in "
            f"{cache}. Free space, or set HF_HOME to a folder on a larger disk."
        )


def _size_here(blob: Path) -> int:
    for path in (blob, _incomplete(blob)):
        with suppress(OSError):
            return path.stat().st_size
    return 0


def _incomplete(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")


@contextmanager
def _alone(
    cache: Path, repository: Repository, file: HubFile, report: ReportBytes
) -> Iterator[None]:
    """Wait until no other kernel and no huggingface_hub downloads the file."""
    from filelock import FileLock, Timeout

    path = cache / ".locks" / folder_name(repository.name) / f"{file.sha256}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o664)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOOK_S)
        except Timeout:
            blob = cache / folder_name(repository.name) / "blobs" / file.sha256
            report(_size_here(blob), "another program downloads it")
    try:
        yield
    finally:
        lock.release()


def _is_complete(blob: Path, file: HubFile, report: ReportBytes) -> bool:
    """Whether the file is here with the right SHA-256; a wrong one is deleted."""
    if not blob.is_file():
        return False

    def check(share: float) -> bool:
        report(int(share * file.size_bytes), _CHECKING)  # raises if the download was cancelled
        return True

    check(0.0)
    is_long_enough = blob.stat().st_size == file.size_bytes
    if is_long_enough and file_sha256(blob, on_progress=check) == file.sha256:
        return True
    blob.unlink()
    return False


def _give_name(path: Path, blob: Path) -> None:
    """Link a checked file to its name in a snapshot; copy it where links are not allowed.

    huggingface_hub does not do this for us. It would ask the hub again, and take the path to write
    from the ETag of the reply.
    """
    if path.exists() and path.samefile(blob):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.made")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:  # Windows requires a privilege
        shutil.copyfile(blob, temporary)
    temporary.replace(path)


def _fetch(repository: Repository, file: HubFile, blob: Path, report: ReportBytes) -> None:
    blob.parent.mkdir(parents=True, exist_ok=True)
    incomplete = _incomplete(blob)
    with open_to_fill(incomplete) as out:
        digest = _fill(out, repository, file, report)
        size_bytes = out.tell()
        out.flush()
        # or after a power cut a file with a trusted name could have other bytes
        os.fsync(out.fileno())
        status = os.fstat(out.fileno())
    if (size_bytes, digest) != (file.size_bytes, file.sha256):
        incomplete.unlink()
        raise DownloadError(
            f"{file.name} was damaged and is deleted: {human_size(size_bytes)} with SHA-256 "
            f"{digest[:12]}…, where the hub states {human_size(file.size_bytes)} with "
            f"{file.sha256[:12]}…. Pull again."
        )
    incomplete.replace(blob)
    note_sha256(blob, digest, status)


def _fill(out: BinaryIO, repository: Repository, file: HubFile, report: ReportBytes) -> str:
    """Download the rest of a partial file; return the SHA-256 of the whole."""
    from huggingface_hub import errors

    digest = hashlib.sha256()
    while chunk := out.read(_CHUNK):
        digest.update(chunk)
        report(out.tell(), _CHECKING)
    num_failures = 0
    while (before := out.tell()) < file.size_bytes:
        trouble = None
        try:
            with opened(repository, file.name, after=before) as answer:
                is_rest = answer.status_code == _PARTIAL
                _check_answer(answer.headers, file, file.size_bytes - before * is_rest)
                if before and not is_rest:  # the server sends all of it
                    out.seek(0)
                    out.truncate()
                    digest = hashlib.sha256()
                for chunk in answer.iter_raw():
                    out.write(chunk)
                    digest.update(chunk)
                    report(out.tell(), "")
                    if out.tell() > file.size_bytes:
                        return digest.hexdigest()
        except errors.HTTPError as error:  # type: ignore[attr-defined]
            trouble = error
            if not _may_pass(error):
                raise
        num_failures = 0 if out.tell() > before else num_failures + 1
        if num_failures > _MAX_FAILURES:
            raise trouble or DownloadError(f"The hub does not send {file.name}. Pull again later.")
        if out.tell() < file.size_bytes:
            report(out.tell(), "the connection broke, trying again")
            time.sleep(WAIT_S * 2**num_failures)
    return digest.hexdigest()


def _check_answer(headers: Mapping[str, str], file: HubFile, num_bytes: int) -> None:
    """Raise `DownloadError` if the response is not `num_bytes` of a file."""
    kind = headers.get("content-type", "").partition(";")[0]
    size = headers.get("content-length", str(num_bytes))
    if kind == "text/html" or size != str(num_bytes):
        raise DownloadError(
            f"The reply for {file.name} is not that file: it is {size} bytes of "
            f"{kind or 'an unknown kind'}. If a proxy or a sign-in page answers in place of the "
            "hub, sign in, then pull again."
        )


def _may_pass(error: Exception) -> bool:
    """Whether an error may disappear by itself."""
    if type(error).__name__ == "TooManyRedirects":
        return False
    response = getattr(error, "response", None)
    return response is None or response.status_code in _WORTH_TRYING_AGAIN
