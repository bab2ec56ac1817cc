"""Lines that several processes append to."""

from __future__ import annotations

import multiprocessing
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_llm.common import line_file
from jupyter_llm.common.file_lock import file_lock
from jupyter_llm.common.line_file import LineFile, Lines

HEADER = b"header"
MAX_LINE = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "lines"


@pytest.fixture
def file(path: Path) -> LineFile:
    return open_file(path)


def open_file(path: Path, max_size: int = 1 << 20) -> LineFile:
    return LineFile(path, max_line=MAX_LINE, max_size=max_size)


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    with file_lock(path.with_name("lock"), timeout_s=0) as is_ours:
        assert is_ours
        yield


def test_lines_come_back_in_order_after_the_header(file: LineFile, path: Path) -> None:
    assert file.read() == Lines()
    file.append([b"one", b"two"], header=HEADER)
    size = file.append([b"three"], header=HEADER)
    assert file.read() == Lines((HEADER, b"one", b"two", b"three"), size)
    assert path.stat().st_size == size


def test_only_the_owner_may_look(file: LineFile, path: Path) -> None:
    file.append([b"secret"], header=HEADER)
    file.rewrite(lambda found: found.lines)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for found in path.parent.iterdir():
        assert stat.S_IMODE(found.stat().st_mode) == 0o600


@pytest.mark.parametrize("torn", [b"half", b"\xff", b"\n\n", b"x" * 5000])
def test_a_torn_line_does_not_take_the_next_one_along(
    file: LineFile, path: Path, torn: bytes
) -> None:
    file.append([b"one"], header=HEADER)
    path.write_bytes(path.read_bytes() + torn)
    file.append([b"two"], header=HEADER)
    found = file.read()
    assert (found.lines[:2], found.lines[-1]) == ((HEADER, b"one"), b"two")
    assert found.num_skipped == (len(torn) > MAX_LINE)


def test_lines_that_are_too_long_are_skipped_without_being_held(file: LineFile, path: Path) -> None:
    longest = b"x" * MAX_LINE
    file.append([longest, longest + b"x", b"x" * 100_000, b"end"], header=HEADER)
    found = file.read()
    assert found.lines == (HEADER, longest, b"end")
    assert found.num_skipped == 2


def test_of_a_file_that_is_too_large_header_and_end_are_read(path: Path) -> None:
    file = open_file(path, max_size=400)
    file.append([b"%099d" % number for number in range(50)], header=HEADER)
    found = file.read()
    assert found.is_cut
    assert found.lines == (HEADER, *(b"%099d" % number for number in range(47, 50)))


def test_a_huge_file_without_lines_is_not_read_whole(path: Path) -> None:
    file = open_file(path)
    file.append([], header=HEADER)
    with path.open("r+b") as handle:
        handle.truncate(1 << 40)  # a hole
    found = file.read()
    assert found.is_cut
    assert found.lines == (HEADER,)


def test_a_pipe_in_its_place_does_not_let_us_wait(file: LineFile, path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="regular"):
        file.read()
    with pytest.raises(OSError, match=r"regular|No such device"):
        file.append([b"one"], header=HEADER)


def test_a_file_is_written_anew_in_one_step(file: LineFile, path: Path) -> None:
    file.append([b"one", b"two"], header=HEADER)
    size = file.rewrite(lambda found: [line.upper() for line in found.lines])
    assert file.read() == Lines((b"HEADER", b"ONE", b"TWO"), size)
    assert {found.name for found in path.parent.iterdir()} == {path.name, "lock"}


def test_a_file_without_lines_is_removed(file: LineFile, path: Path) -> None:
    file.append([b"one"], header=HEADER)
    assert file.rewrite(lambda _: []) == 0
    assert not path.exists()


def test_lines_move_to_another_file_and_replace_what_is_there(path: Path) -> None:
    target = open_file(path.with_name("target"))
    target.append([b"old"], header=HEADER)
    source = open_file(path)
    source.append([b"one"], header=HEADER)
    source.rewrite(lambda found: found.lines, target=target.path)
    assert not path.exists()
    assert target.read().lines == (HEADER, b"one")


def test_who_cannot_have_the_lock_appends_all_the_same(
    file: LineFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_file, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(line_file, "_READER_PATIENCE_S", 0.01)
    file.append([b"one"], header=HEADER)
    with locked_by_another(path):
        file.append([b"two"], header=HEADER)
        assert file.read().lines == (HEADER, b"one", b"two")
        with pytest.raises(TimeoutError):
            file.rewrite(lambda _: [])
    assert file.read().lines == (HEADER, b"one", b"two")


def test_without_a_lock_to_be_had_lines_are_read_and_appended(file: LineFile, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("lock").mkdir()  # cannot be opened, as in a folder that may not be written
    file.append([b"one"], header=HEADER)
    assert file.read().lines == (HEADER, b"one")
    with pytest.raises(TimeoutError):
        file.rewrite(lambda _: [])


def test_a_rewrite_gives_up_if_lines_came_meanwhile(
    file: LineFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_file, "_PATIENCE_S", 0.01)
    file.append([b"one"], header=HEADER)

    def change(found: Lines) -> tuple[bytes, ...]:
        open_file(path).append([b"two"], header=HEADER)  # waits in vain for the lock we hold
        return found.lines[:1]

    with pytest.raises(TimeoutError):
        file.rewrite(change)
    assert file.read().lines == (HEADER, b"one", b"two")
    assert not list(path.parent.glob("*.tmp"))


def append_numbers(path: Path, writer: int, count: int) -> None:
    file = open_file(path)
    for number in range(count):
        padding = b"x" * (number * 7 % 900)
        file.append([b"%d %d %s" % (writer, number, padding)], header=HEADER)


def rewrite_often(path: Path, stop: str) -> None:
    file = open_file(path)
    while not Path(stop).exists():
        file.rewrite(lambda found: found.lines or [HEADER])


def test_processes_that_append_and_rewrite_at_once_lose_no_line(tmp_path: Path, path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    stop = tmp_path / "stop"
    writers = [
        context.Process(target=append_numbers, args=(path, number, 150)) for number in range(2)
    ]
    rewriter = context.Process(target=rewrite_often, args=(path, str(stop)))
    for process in (*writers, rewriter):
        process.start()
    for process in writers:
        process.join(60)
    stop.touch()
    rewriter.join(60)
    assert [process.exitcode for process in (*writers, rewriter)] == [0, 0, 0]
    header, *lines = open_file(path).read().lines
    assert header == HEADER
    for writer in (b"0", b"1"):
        numbers = [int(line.split()[1]) for line in lines if line.split()[0] == writer]
        assert numbers == list(range(150))


def test_a_lock_is_given_back_though_a_child_was_forked_meanwhile(path: Path) -> None:
    path.parent.mkdir()
    lock = path.with_name("lock")
    reading, writing = os.pipe()
    with file_lock(lock, timeout_s=0) as is_ours:
        assert is_ours
        child = os.fork()
        if not child:
            os.read(reading, 1)
            os._exit(0)
    with file_lock(lock, timeout_s=0) as is_ours:
        assert is_ours
    os.write(writing, b"!")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
