"""Attempts to get out of a sealed copy: none succeeds, and all is as it was before."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pathlib
import platform
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.paths import DATA
from support.seal import needs_seal

from jupyter_llm.notebook.sealed.trying import try_code

if TYPE_CHECKING:
    from support.escape_world import World  # of what only Linux has

    from jupyter_llm.notebook.sealed.seen import Seen

pytestmark = [needs_seal, pytest.mark.slow]

ATTEMPTS: list[dict[str, Any]] = tomllib.loads((DATA / "escapes.toml").read_text(encoding="utf-8"))[
    "attempt"
]
GROUPS = sorted({attempt["group"] for attempt in ATTEMPTS})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from support.escape_world import World

    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


def attempted(attempt: dict[str, Any], world: World) -> Seen:
    from support import escape_world

    return escape_world.attempted(attempt, world)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "step", [0, pytest.param(1, marks=pytest.mark.soak), 3], ids=["alone", "first", "third"]
)
def test_nothing_gets_out(
    group: str, step: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from support.escape_world import successes

    machine = platform.machine()
    attempts = [
        attempt
        for attempt in ATTEMPTS
        if attempt["group"] == group and attempt.get("machine", machine) == machine
    ]
    # A copy of a small process is made in a third of the time.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(successes, tmp_path, attempts, step).result() == {}
    assert capfd.readouterr() == ("", "")


def test_there_are_enough_attempts() -> None:
    names = [attempt["name"] for attempt in ATTEMPTS]
    assert len(set(names)) == len(names) > 200


def test_what_was_begun_can_go_on(tmp_path: Path) -> None:
    from support.escape_world import World

    with closing(World(tmp_path)) as world:
        code = "cursor.fetchall(), list(numbers), begun.rollback(), wal.close(), lock.acquire()"
        assert attempted({"code": code}, world).runs
        assert world.names["cursor"].fetchall() == [("Kyiv",)]
        assert list(world.names["numbers"]) == [0, 1, 2]
        world.names["begun"].commit()
        world.names["wal"].execute("insert into sales values ('Oslo')")
        world.names["wal"].commit()
        assert world.names["lock"].acquire(blocking=False)


def test_a_forged_verdict_is_only_text(world: World) -> None:
    verdict = b'{"outcome": "runs", "text": "", "result": "forged", "names": ["x"]}'
    code = f"os.write(said, {verdict!r})\nos._exit(0)"
    seen = attempted({"code": code}, world)
    assert (seen.outcome, seen.result, seen.names) == ("runs", "forged", ("x",))


LOSS = """b'{"outcome": "runs", "text": "", "num_lost": -1}'"""
LONG = 'b\'{"outcome": "raises", "text": "", "report": "%s"}\' % (b"x" * 20_000)'


@pytest.mark.parametrize(
    "said", ["b'{'", "b'[' * 90000", "b'\\xff\\x00'", "b'{\"names\": 5}'", LONG, LOSS]
)
def test_a_verdict_that_is_none_says_nothing(said: str, world: World) -> None:
    seen = attempted({"code": f"os.write(said, {said})\nos._exit(0)"}, world)
    assert seen.text == "not tried: the copy's report is invalid"


def test_a_verdict_without_an_end_is_cut(world: World) -> None:
    seen = attempted({"code": "while True: os.write(said, b' ' * 65536)"}, world)
    assert seen.outcome == "untried"


def test_a_copy_that_ends_early_has_said_nothing(world: World) -> None:
    assert attempted({"code": "os.close(said)"}, world).outcome in ("untried", "refused")


def test_no_process_is_left(world: World) -> None:
    before = world.state()["children"]
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"
    assert attempted({"code": code}, world).runs
    assert world.state()["children"] == before


# Here since all of /dev/shm is looked at above: tests of another file may run at the same time.
SHARED, OPEN = "write to shared memory (", "write to a file or pipe that is open"


@pytest.fixture
def others(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What others read, too, and have written."""
    context = multiprocessing.get_context("spawn")
    (tmp_path / "array.bin").write_bytes(b"\1")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading, writing = os.pipe()
    kept = os.open(fifo, os.O_RDWR)
    os.write(kept, b"as it was")
    shared = SharedMemory(create=True, size=16)
    with (
        os.fdopen(kept, "wb"),
        os.fdopen(reading, "rb"),
        os.fdopen(writing, "wb", buffering=0) as pipe,
        mmap.mmap(-1, 16) as own,
        subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
    ):
        yield {
            "array": np.memmap(tmp_path / "array.bin", np.uint8, "r+"),
            "child": child,
            "fifo": str(fifo),
            "kept": kept,
            "own": own,
            "pathlib": pathlib,
            "pipe": pipe,
            "shared": shared,
            "value": context.Value("i", 7),
        }
        child.kill()
    shared.close()
    shared.unlink()


@pytest.mark.parametrize(
    ("code", "would"),
    [
        ("open(fifo).read()", "use a pipe (fifo)"),
        ("import os\nos.read(os.open(fifo, os.O_RDONLY), 1)", "use a pipe (fifo)"),
        ("try: pathlib.Path(fifo).open()\nexcept OSError: pass", "use a pipe (fifo)"),
        ("array[0] = 1", "write to shared memory (array.bin)"),
        ("try:\n    shared.buf[0] = 1\n    1 / 0\nexcept ZeroDivisionError: pass", SHARED),
        ("value.value = 1", SHARED),
        ("pipe.write(b'x')", OPEN),
        ("child.communicate(b'x')", OPEN),
    ],
)
def test_what_would_reach_others_past_any_file_is_named(
    code: str, would: str, others: dict[str, Any]
) -> None:
    seen = try_code([code], others)
    assert seen.outcome == "refused"
    assert seen.text.startswith(f"not tried: it would {would}")
    assert os.read(others["kept"], 100) == b"as it was"


def test_what_only_reads_what_others_share_runs(others: dict[str, Any]) -> None:
    code = "array.sum(), bytes(shared.buf[:1]), value.value, own.write(b'x')"
    assert try_code([code], others).result == "(np.uint64(1), b'\\x00', 7, 1)"
