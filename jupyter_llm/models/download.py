"""A file of the hub on its way into huggingface_hub's cache.

huggingface_hub begins a file anew after each interrupt. So the bytes are fetched here, behind its
locks: what has come so far stays as `blobs/SHA256.incomplete` and is gone on with. A file gets its
name in the cache only when its SHA-256 is the one that the hub states.
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

_MAX_FAILURES = 5  # in a row, without a byte between them
WAIT_S = 1.0  # after the first of them, twice that after the second…
LOOK_S = 0.5
_SPARE_BYTES = 200 << 20  # left free on the disk
_CHUNK = 1 << 20
_CHECKING = "checking what is here"
_PARTIAL = 206
_WORTH_TRYING_AGAIN = (408, 429, 500, 502, 503, 504)

Tell = Callable[[int, str], None]
"""Is told how many bytes of a file are here, and in words what keeps it from growing."""


def download(repository: Repository, file: HubFile, cache: Path, tell: Tell) -> Path:
    """Bring a file into the cache, unless it is there, and return its path.

    Raises `DownloadError`; what has come stays, unless it is not what the hub promised.
    """
    folder = cache / folder_name(repository.name)
    blob = folder / "blobs" / file.sha256
    try:
        with explained(repository.name):
            with _alone(cache, repository, file, tell):
                if not _is_whole(blob, file, tell):
                    _fetch(repository, file, blob, tell)
                path = repository.folder(cache) / file.name
                _give_name(path, blob)
            if repository.branch != repository.revision:
                # Without it `hf cache prune` would take the model for one that nobody wants.
                reference = folder / "refs" / repository.branch
                reference.parent.mkdir(parents=True, exist_ok=True)
                with open_to_fill(reference) as out:
                    out.truncate()
                    out.write(repository.revision.encode("ascii"))
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{file.name} cannot be kept in {cache}: {error.strerror or error}. What has come "
            "stays there; make room, or the folder writable, and pull again."
        ) from None
    return path


def check_space(files: tuple[HubFile, ...], repository: Repository, cache: Path) -> None:
    """Raise `DownloadError` if what is still to come does not fit on the disk."""
    blobs = cache / folder_name(repository.name) / "blobs"
    missing = sum(max(0, file.size_bytes - _size_here(blobs / file.sha256)) for file in files)
    there = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if missing and missing + _SPARE_BYTES > free:
        raise DownloadError(
            f"{human_size(missing)} are to be downloaded, but only {human_size(free)} are free in "
            f"{cache}. Make room, or set HF_HOME to a folder on a larger disk."
        )


def _size_here(blob: Path) -> int:
    for path in (blob, _incomplete(blob)):
        with suppress(OSError):
            return path.stat().st_size
    return 0


def _incomplete(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")


@contextmanager
def _alone(cache: Path, repository: Repository, file: HubFile, tell: Tell) -> Iterator[None]:
    """Wait until nobody else fetches a file: no kernel, and no huggingface_hub anywhere."""
    from filelock import FileLock, Timeout

    path = cache / ".locks" / folder_name(repository.name) / f"{file.sha256}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o664)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOOK_S)
        except Timeout:
            blob = cache / folder_name(repository.name) / "blobs" / file.sha256
            tell(_size_here(blob), "another program downloads it")
    try:
        yield
    finally:
        lock.release()


def _is_whole(blob: Path, file: HubFile, tell: Tell) -> bool:
    """Whether a file is here as the hub has it; one that is not is removed."""
    if not blob.is_file():
        return False

    def check(share: float) -> bool:
        tell(int(share * file.size_bytes), _CHECKING)  # which ends it where it is not wanted
        return True

    check(0.0)
    is_long_enough = blob.stat().st_size == file.size_bytes
    if is_long_enough and file_sha256(blob, on_progress=check) == file.sha256:
        return True
    blob.unlink()
    return False


def _give_name(path: Path, blob: Path) -> None:
    """Let a name in a snapshot mean a file that was checked.

    huggingface_hub would ask the hub once more, and write wherever its answer's tag leads.
    """
    if path.exists() and path.samefile(blob):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.made")
    made.unlink(missing_ok=True)
    try:
        made.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:  # Windows wants a privilege for it
        shutil.copyfile(blob, made)
    made.replace(path)


def _fetch(repository: Repository, file: HubFile, blob: Path, tell: Tell) -> None:
    blob.parent.mkdir(parents=True, exist_ok=True)
    incomplete = _incomplete(blob)
    with open_to_fill(incomplete) as out:
        digest = _fill(out, repository, file, tell)
        size_bytes = out.tell()
        out.flush()
        os.fsync(out.fileno())  # or a power cut would leave another file under a name we trust
        status = os.fstat(out.fileno())
    if (size_bytes, digest) != (file.size_bytes, file.sha256):
        incomplete.unlink()
        raise DownloadError(
            f"{file.name} was not what the hub promised: {human_size(size_bytes)} with SHA-256 "
            f"{digest[:12]}… instead of {human_size(file.size_bytes)} with {file.sha256[:12]}…. It "
            "has been deleted. Pull again."
        )
    incomplete.replace(blob)
    note_sha256(blob, digest, status)


def _fill(out: BinaryIO, repository: Repository, file: HubFile, tell: Tell) -> str:
    """Bring what has come so far to its end, and return the SHA-256 of all of it."""
    from huggingface_hub import errors

    digest = hashlib.sha256()
    while chunk := out.read(_CHUNK):
        digest.update(chunk)
        tell(out.tell(), _CHECKING)
    num_failures = 0
    while (before := out.tell()) < file.size_bytes:
        trouble = None
        try:
            with opened(repository, file.name, after=before) as answer:
                is_rest = answer.status_code == _PARTIAL
                _check_answer(answer.headers, file, file.size_bytes - before * is_rest)
                if before and not is_rest:  # it begins anew
                    out.seek(0)
                    out.truncate()
                    digest = hashlib.sha256()
                for chunk in answer.iter_raw():
                    out.write(chunk)
                    digest.update(chunk)
                    tell(out.tell(), "")
                    if out.tell() > file.size_bytes:
                        return digest.hexdigest()
        except errors.HTTPError as error:  # type: ignore[attr-defined]
            trouble = error
            if not _may_pass(error):
                raise
        num_failures = 0 if out.tell() > before else num_failures + 1
        if num_failures > _MAX_FAILURES:
            raise trouble or DownloadError(
                f"The hub sends nothing of {file.name}. Pull again later."
            )
        if out.tell() < file.size_bytes:
            tell(out.tell(), "the connection broke, trying again")
            time.sleep(WAIT_S * 2**num_failures)
    return digest.hexdigest()


def _check_answer(headers: Mapping[str, str], file: HubFile, num_bytes: int) -> None:
    """Raise `DownloadError` where something else comes than so many bytes of a file."""
    kind = headers.get("content-type", "").partition(";")[0]
    size = headers.get("content-length", str(num_bytes))
    if kind == "text/html" or size != str(num_bytes):
        raise DownloadError(
            f"What comes in place of {file.name} has another length or kind ({size} bytes of "
            f"{kind or 'something'}). Does a proxy or a sign-in page answer for the hub? Pull "
            "again once it does not."
        )


def _may_pass(error: Exception) -> bool:
    """Whether an error is one of those that are gone a little later."""
    if type(error).__name__ == "TooManyRedirects":
        return False
    response = getattr(error, "response", None)
    return response is None or response.status_code in _WORTH_TRYING_AGAIN
