"""A model file's SHA-256 is read once, and never taken for that of another file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from support.stored import remember

from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.fingerprint import file_sha256, stored_sha256

DATA = b"weights" * 100_000
DIGEST = hashlib.sha256(DATA).hexdigest()
MARK = "0" * 64  # what only the cache can have said


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA)
    return path


def mark(value: object = MARK.encode()) -> None:
    """Change what is remembered, so that an answer tells where it came from."""
    remember(value)


def test_a_file_is_read_once_and_known_from_then_on(model: Path) -> None:
    assert stored_sha256(model) is None
    assert file_sha256(model) == stored_sha256(model) == DIGEST
    mark()
    assert file_sha256(model) == MARK


def change_content(path: Path) -> None:
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(0, 1))


def change_size(path: Path) -> None:
    status = path.stat()
    path.write_bytes(DATA + b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(DATA[::-1])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [change_content, change_size, replace])
def test_a_file_that_changed_is_read_again(model: Path, change: object) -> None:
    file_sha256(model)
    assert callable(change)
    change(model)
    assert stored_sha256(model) is None
    assert file_sha256(model) == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.mark.parametrize("value", [MARK, None, 7])
def test_a_remembered_value_that_is_no_sha256_is_ignored_and_replaced(
    model: Path, value: object
) -> None:
    file_sha256(model)
    mark(value)
    assert stored_sha256(model) is None
    assert file_sha256(model) == stored_sha256(model) == DIGEST


def test_a_store_that_cannot_be_written_costs_only_time(model: Path, home: Path) -> None:
    (home / ".local").touch()
    assert file_sha256(model) == file_sha256(model) == DIGEST


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.gguf cannot be read: No such file"):
        file_sha256(tmp_path / "gone.gguf")
    assert stored_sha256(tmp_path / "gone.gguf") is None
