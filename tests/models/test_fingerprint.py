"""A model file's SHA-256 is read once, and never taken for that of another file."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
import pytest

from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.fingerprint import file_sha256, known_sha256

DATA = b"weights" * 100_000
DIGEST = hashlib.sha256(DATA).hexdigest()
MARK = "0" * 64  # what only the cache can have said


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "jupyter_llm"


def mark(cache: Path) -> None:
    """Change what is remembered, so that an answer tells where it came from."""
    (file,) = cache.iterdir()
    remembered = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(dict.fromkeys(remembered, MARK)), encoding="utf-8")


def test_it_is_the_files_sha256(model: Path, cache: Path) -> None:
    assert file_sha256(model, cache) == DIGEST


def test_a_file_is_read_once(model: Path, cache: Path) -> None:
    file_sha256(model, cache)
    mark(cache)
    assert file_sha256(model, cache) == MARK


def test_it_is_known_only_after_it_was_read(model: Path, cache: Path) -> None:
    assert known_sha256(model, cache) is None
    file_sha256(model, cache)
    assert known_sha256(model, cache) == DIGEST


def test_a_link_is_the_file_it_leads_to(model: Path, cache: Path) -> None:
    file_sha256(model, cache)
    link = model.with_name("link.gguf")
    link.symlink_to(model)
    assert known_sha256(link, cache) == DIGEST


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
def test_a_file_that_changed_is_read_again(model: Path, cache: Path, change: object) -> None:
    file_sha256(model, cache)
    assert callable(change)
    change(model)
    assert known_sha256(model, cache) is None
    assert file_sha256(model, cache) == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "1", '"text"', "[" * 100_000, "\x00\xff", '{"key": 1, "other": "abc"}'],
    ids=lambda content: content[:10],
)
def test_a_damaged_cache_is_ignored_and_replaced(model: Path, cache: Path, content: str) -> None:
    file_sha256(model, cache)
    (file,) = cache.iterdir()
    file.write_bytes(content.encode("latin-1"))
    assert known_sha256(model, cache) is None
    assert file_sha256(model, cache) == DIGEST
    assert known_sha256(model, cache) == DIGEST


def test_a_remembered_value_that_is_no_sha256_is_ignored(model: Path, cache: Path) -> None:
    file_sha256(model, cache)
    (file,) = cache.iterdir()
    file.write_text(file.read_text(encoding="utf-8").replace(DIGEST, "cafe"), encoding="utf-8")
    assert file_sha256(model, cache) == DIGEST


def test_a_cache_that_cannot_be_written_costs_only_time(model: Path) -> None:
    assert file_sha256(model, model / "below a file") == DIGEST
    assert known_sha256(model, model / "below a file") is None


def test_files_do_not_forget_one_another(model: Path, cache: Path) -> None:
    other = model.with_name("other.gguf")
    other.write_bytes(b"other")
    file_sha256(model, cache)
    file_sha256(other, cache)
    assert known_sha256(model, cache) == DIGEST
    assert known_sha256(other, cache) == hashlib.sha256(b"other").hexdigest()


def test_many_at_once_leave_a_sound_cache(model: Path, cache: Path) -> None:
    paths = [model.with_name(f"{number}.gguf") for number in range(8)]
    for path in paths:
        path.write_text(path.name, encoding="utf-8")
    with ThreadPoolExecutor(4) as threads:
        digests = list(threads.map(lambda path: file_sha256(path, cache), paths))
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert [path.name for path in cache.iterdir()] == ["sha256.json"]
    known = {known_sha256(path, cache) for path in paths}
    assert known <= {None, *digests}
    assert known != {None}


def test_a_missing_file_says_so(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.gguf cannot be read: No such file"):
        file_sha256(tmp_path / "gone.gguf", cache)
    assert known_sha256(tmp_path / "gone.gguf", cache) is None


def test_by_default_it_is_remembered_in_the_users_cache_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    folder = platformdirs.user_cache_path("jupyter_llm")
    assert folder.is_relative_to(tmp_path)
    file_sha256(model)
    assert known_sha256(model) == DIGEST
    assert [path.name for path in folder.iterdir()] == ["sha256.json"]
