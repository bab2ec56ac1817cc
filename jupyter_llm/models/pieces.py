"""Models that come in pieces, since a package index takes no large files: one file is made of them.

The package's own `assemble()` would import its modules, write below the user's `~/.cache` and leave
half a file after an interrupt.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jupyter_llm.common.replacing import replacing
from jupyter_llm.common.tables import human_size
from jupyter_llm.errors import DownloadError, ModelFileError
from jupyter_llm.models.fingerprint import note_sha256, sha256_of_pieces
from jupyter_llm.models.sources import Found, in_pieces, pieces_folder

_CHUNK = 1 << 20


def find_pieces(name: str) -> Found | None:
    """The model of a name that is here in pieces."""
    return next((one for one in in_pieces() if one.pieces and name.lower() in one.names), None)


def licence_of_pieces() -> tuple[str, str]:
    """The text of the licence that lies beside the pieces, and where it lies."""
    terms = next(iter(sorted(pieces_folder().glob("*TERMS*"))), None)
    if terms is None:
        return "", ""
    return terms.read_text(encoding="utf-8", errors="replace"), str(terms)


def join(pieces: Found, tell: Callable[[int, str], None]) -> Path:
    """Make the file in our folder, and check it against the SHA-256 in the package.

    Raises `ModelFileError` if it is another one, or `DownloadError` if it cannot be kept.
    """
    path = Path(pieces.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_room(path, sum(piece.stat().st_size for piece in pieces.pieces))
        with replacing(path) as file:
            digest = _copy(pieces.pieces, file, tell)
            _check(path, digest)
    except (DownloadError, ModelFileError):
        raise
    except OSError as error:
        raise DownloadError(f"{path} cannot be written: {error.strerror}.") from None
    note_sha256(path, digest)
    return path


def _copy(pieces: tuple[Path, ...], file: BinaryIO, tell: Callable[[int, str], None]) -> str:
    """Write the pieces one after the other, and return the SHA-256 of all."""
    digest = hashlib.sha256()
    for piece in pieces:
        with piece.open("rb") as source:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                tell(file.tell(), "")
    return digest.hexdigest()


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise DownloadError(
            f"{path.name} takes {human_size(size)}, but only {human_size(free)} are free in "
            f"{path.parent}. Make room there."
        )


def _check(path: Path, digest: str) -> None:
    if digest != sha256_of_pieces(path.name):
        raise ModelFileError(
            path, f"The pieces of {path.name} are damaged. Install the package again."
        )
