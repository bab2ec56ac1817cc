"""Checkpoints survive a restart, and nothing damaged or foreign is ever loaded."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import struct
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.permissions import POSIX, unprivileged
from support.template_engine import common

from jupyter_llm.engine.local.kept.checkpoint import _HEADER_SIZE, CheckpointStore

SCOPE = "sha256 of the model, build, context"
STATE = bytes(range(256))
ROOMY = 1 << 30


def open_store(folder: Path, scope: str = SCOPE, max_bytes: int = ROOMY) -> CheckpointStore:
    return CheckpointStore(folder, scope, max_bytes=max_bytes)


def keep(
    store: CheckpointStore, token_ids: list[int], state: bytes = STATE, *, whole: bool = False
) -> None:
    store.write(token_ids, state, whole=whole)
    assert store.flush(20)


def state_of(
    store: CheckpointStore, token_ids: list[int], more_than: int = 0, *, whole: bool = False
) -> bytes | None:
    found = store.find(token_ids, more_than=more_than, whole=whole)
    state = found.read() if found else None
    return None if state is None else bytes(state)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def only_file(folder: Path) -> Path:
    (path,) = files(folder)
    return path


def set_last_used(path: Path, ago_s: float) -> None:
    used_s = time.time() - ago_s
    os.utime(path, (used_s, used_s))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "checkpoints"


@pytest.fixture
def store(folder: Path) -> CheckpointStore:
    return open_store(folder)


# What is stored is found


def test_what_was_written_is_found_after_a_restart(folder: Path) -> None:
    keep(open_store(folder), [1, 2, -3, 2**31 - 1])
    found = open_store(folder).find([1, 2, -3, 2**31 - 1, 5], more_than=0)
    assert found is not None
    assert found.token_ids == (1, 2, -3, 2**31 - 1)
    assert found.num_common == 4
    assert bytes(found.read() or b"") == STATE


PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@settings(max_examples=40)
@given(stored=st.lists(PROMPTS, max_size=8), prompt=PROMPTS, more_than=st.integers(-1, 4))
@example(stored=[[1]], prompt=[2], more_than=-1)
@example(stored=[[1, 2, 3]], prompt=[1, 2, 0], more_than=2)
def test_the_longest_common_prefix_is_found(
    stored: list[list[int]], prompt: list[int], more_than: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        for token_ids in stored:
            keep(store, token_ids, bytes(token_ids))
        shared = [common(one, prompt) for one in stored]
        found = store.find(prompt, more_than=more_than)
        if max(shared, default=0) <= max(0, more_than):
            assert found is None
        else:
            assert found is not None
            assert found.num_common == max(shared)
            assert list(found.token_ids[: found.num_common]) == prompt[: found.num_common]
            assert bytes(found.read() or b"") == bytes(found.token_ids)


# What is replaced


def test_a_longer_prefix_replaces_the_shorter_ones(store: CheckpointStore, folder: Path) -> None:
    keep(store, [1])
    keep(store, [1, 2])
    keep(store, [1, 9])
    keep(store, [1, 2, 3])
    found = {store.find(prompt, more_than=0) for prompt in ([1, 2, 3], [1, 9])}
    assert {one.token_ids for one in found if one} == {(1, 2, 3), (1, 9)}
    assert len(files(folder)) == 2


# Damage


def sealed(data: bytes, offset: int, field: bytes) -> bytes:
    """Change a field and make the header's sum fit, as a sound file of another kind has it."""
    tokens = data[_HEADER_SIZE : -len(STATE)]
    fields = data[:offset] + field + data[offset + len(field) : _HEADER_SIZE - 32]
    return fields + sha256(fields + tokens).digest() + data[_HEADER_SIZE:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _data: b"",
    "garbage": lambda _data: bytes(range(255)) * 3,
    "cut in the header": lambda data: data[: _HEADER_SIZE - 1],
    "cut after the header": lambda data: data[:_HEADER_SIZE],
    "cut in the tokens": lambda data: data[: _HEADER_SIZE + 5],
    "cut by one byte": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "zeroed block": lambda data: data[:-64] + bytes(64),
    "wrong magic": lambda data: sealed(data, 0, b"GGUF\0\0\0\3"),
    "other version": lambda data: sealed(data, 8, struct.pack("<I", 2)),
    "more tokens than memory": lambda data: sealed(data, 12, struct.pack("<I", 2**32 - 1)),
    "a longer state than memory": lambda data: sealed(data, 16, struct.pack("<Q", 2**63)),
}


@pytest.mark.parametrize("is_found_before", [False, True])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_removed_and_never_loaded(
    folder: Path, damage: Callable[[bytes], bytes], *, is_found_before: bool
) -> None:
    store = open_store(folder)
    keep(store, [1, 2, 3])
    found = store.find([1, 2, 3], more_than=0)
    assert found is not None
    path = only_file(folder)
    path.write_bytes(damage(path.read_bytes()))
    if is_found_before:
        assert found.read() is None
    else:
        store = open_store(folder)
        assert state_of(store, [1, 2, 3]) is None
    assert not path.exists()
    keep(store, [1, 2, 3])
    assert state_of(store, [1, 2, 3]) == STATE


@settings(max_examples=300)
@given(position=st.integers(0, _HEADER_SIZE + 3 * 4 + len(STATE) - 1), mask=st.integers(1, 255))
def test_no_flipped_byte_goes_unnoticed(position: int, mask: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keep(open_store(folder), [1, 2, 3])
        path = only_file(folder)
        data = bytearray(path.read_bytes())
        data[position] ^= mask
        path.write_bytes(data)
        assert state_of(open_store(folder), [1, 2, 3]) is None
        assert not path.exists()


# The cap


def test_the_least_recently_used_give_way_over_all_scopes(folder: Path) -> None:
    state = bytes(1000)
    stores = [open_store(folder, scope, max_bytes=3500) for scope in ("a", "b")]
    paths = {}
    for number in range(3):
        before = set(files(folder))
        keep(stores[number % 2], [number], state)
        (paths[number],) = set(files(folder)) - before
        set_last_used(paths[number], 100 - number)
    assert state_of(stores[0], [0]) == state  # used again
    keep(stores[0], [3], state)
    assert not paths[1].exists()
    assert paths[0].exists()
    assert paths[2].exists()
    assert sum(path.stat().st_size for path in files(folder)) <= 3500


def test_the_cap_touches_no_file_that_is_not_ours(folder: Path) -> None:
    notes = [folder / "notes.kv", folder / "thesis" / "draft.kv", folder / ("a" * 32) / "notes.txt"]
    for path in notes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
        set_last_used(path, 10_000)
    store = open_store(folder, max_bytes=1000)
    keep(store, [1])
    keep(store, [2], bytes(700))
    assert set(notes) < set(files(folder))


# Atomic and private


@POSIX
def test_only_their_owner_can_read_the_files(store: CheckpointStore, folder: Path) -> None:
    keep(store, [1])
    path = only_file(folder)
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, folder)]
    assert modes == [0o600, 0o700, 0o700]


# Trouble with the disk


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@POSIX
def test_a_read_only_folder_is_told_once_and_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with tempfile.TemporaryDirectory() as name, unprivileged(Path(name)):
        folder = Path(name)
        folder.chmod(0o500)
        store = open_store(folder)
        for number in range(3):
            keep(store, [number])
            assert store.find([number], more_than=0) is None
        folder.chmod(0o700)
    (told,) = warnings_of(caplog)
    assert str(folder) in told
    assert "Free space there, or make the folder writable." in told


@POSIX
def test_a_full_disk_leaves_nothing_half_written(
    store: CheckpointStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    keep(store, [1], b"small")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        keep(store, [1, 2], bytes(3 << 20))
        keep(store, [1, 3], bytes(3 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(warnings_of(caplog)) == 1
    assert state_of(store, [1, 2]) == b"small"
    only_file(folder)
    keep(store, [1, 2], bytes(3 << 20))
    assert state_of(store, [1, 2]) == bytes(3 << 20)


# Others at the same time


@pytest.mark.parametrize("is_one", [True, False], ids=["threads of one", "many"])
def test_many_kernels_at_once_read_only_what_was_written(folder: Path, *, is_one: bool) -> None:
    shared = open_store(folder, max_bytes=20_000)

    def work(seed: int) -> int:
        store = shared if is_one else open_store(folder, max_bytes=20_000)
        num_read = 0
        for step in range(40):
            token_ids = [(seed * step) % 5, step % 3]
            store.write(token_ids, bytes(token_ids) * 1000)
            assert step % 4 or store.flush(20)
            if found := store.find([*token_ids, 9], more_than=0):
                state = found.read()
                assert state in (None, bytes(found.token_ids) * 1000)
                num_read += state is not None
            if step == 20 and seed == 1:  # as the user may who needs the room
                shutil.rmtree(folder, ignore_errors=True)
        assert store.flush(20)
        return num_read

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(work, range(1, 5))) > 0
    assert not list(folder.rglob("*.tmp"))
    assert sum(path.stat().st_size for path in files(folder)) <= 20_000


# What the engine thread pays


def to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@POSIX
@pytest.mark.parametrize("make", [os.mkfifo, to_zeros, Path.mkdir], ids=["pipe", "link", "folder"])
def test_what_is_no_file_in_a_states_place_is_not_waited_for(
    make: Callable[[Path], None], store: CheckpointStore, folder: Path
) -> None:
    keep(store, [1, 2, 3])
    found = store.find([1, 2, 3], more_than=0)
    assert found is not None
    path = only_file(folder)
    path.unlink()
    make(path)
    assert found.read() is None
    assert store.find([1, 2, 3], more_than=0) is None
