"""The user's store: private, shared by processes, and trouble with the disk stops nobody."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from support.permissions import POSIX, unprivileged
from support.processes import run_python
from support.stored import Warnings, rows, stored_bytes, written

from jupyter_llm.common import database
from jupyter_llm.common.database import Database, Schema, erasable, store

TABLE = "CREATE TABLE words (id INTEGER PRIMARY KEY, word BLOB NOT NULL)"
WORDS = Schema("words", ((TABLE,),))


def add(word: str) -> Callable[[sqlite3.Connection], object]:
    data = (erasable(word.encode()),)
    return lambda connection: connection.execute("INSERT INTO words (word) VALUES (?)", data)


def put(*words: str) -> None:
    for word in words:
        store().write(WORDS, add(word))


def all_words(connection: sqlite3.Connection) -> list[str]:
    return [word.strip().decode() for (word,) in connection.execute("SELECT word FROM words")]


def words() -> list[str]:
    found: list[str] = store().read(WORDS, all_words, list[str]())
    return found


@pytest.fixture
def path(home: Path) -> Path:
    return store().path


@pytest.fixture
def start(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go on as a process that knows nothing of what this one has seen."""

    def start() -> None:
        written()
        monkeypatch.setitem(database._databases, path, Database(path))

    return start


# What is written


def test_what_is_written_is_read_in_its_order(path: Path) -> None:
    put("one", "two")
    assert words() == ["one", "two"]
    put("three")
    assert store().flush(30)
    assert Database(path).read(WORDS, all_words, list[str]()) == ["one", "two", "three"]


@POSIX
def test_it_is_its_owners_alone_and_so_is_the_journal(path: Path) -> None:
    modes: list[int] = []

    def look(connection: sqlite3.Connection) -> None:
        add("one")(connection)
        files = (Path(f"{path}-journal"), path, path.parent)
        modes.extend(stat.S_IMODE(file.stat().st_mode) for file in files)

    store().write(WORDS, look)
    assert words() == ["one"]
    assert modes == [0o600, 0o600, 0o700]


def test_work_that_cannot_be_done_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    put("one")
    store().write(WORDS, lambda connection: connection.execute("INSERT INTO words VALUES (1, 2)"))
    store().write(WORDS, lambda _connection: 1 / 0)
    put("two")
    assert words() == ["one", "two"]
    assert caplog.text.count("A write to the store failed") == 2


@pytest.mark.parametrize("seed", [1, 3])  # plain rows would leave some of these behind
def test_nothing_of_what_is_deleted_stays_in_the_file(seed: int) -> None:
    random = Random(seed)  # noqa: S311  no secrets here
    there: dict[int, bytes] = {}
    marks = [b"<%d %08d>" % (seed, step) for step in range(1500)]

    def change(connection: sqlite3.Connection, mark: bytes) -> None:
        number = random.choice(list(there)) if there and random.random() < 0.48 else None
        if number is not None and random.random() < 0.6:
            connection.execute("DELETE FROM words WHERE id = ?", (number,))
            del there[number]
            return
        word = erasable(mark + b"x" * random.choice([5, 30, 100]))
        values = (number, word) if seed % 2 else (number, erasable(mark * random.randrange(300)))
        row = connection.execute("INSERT OR REPLACE INTO words VALUES (?, ?)", values)
        assert row.lastrowid is not None
        there[row.lastrowid] = mark

    for start in range(0, len(marks), 10):
        for mark in marks[start : start + 10]:
            store().write(WORDS, partial(change, mark=mark))
        written()
    found = stored_bytes()
    assert {mark for mark in marks if mark in found} <= set(there.values())


# Versions


NEWER = Schema(
    "words",
    (*WORDS.versions, ("ALTER TABLE words ADD COLUMN kind TEXT", "UPDATE words SET kind = 'old'")),
)


@pytest.mark.parametrize("is_written_first", [False, True])
def test_older_tables_become_what_they_are_today(*, is_written_first: bool) -> None:
    put("one")
    if is_written_first:
        store().write(NEWER, add("two"))
    found: list[tuple[str]] = []
    store().read(NEWER, lambda c: found.extend(c.execute("SELECT kind FROM words")), None)
    assert found == [("old",), (None,)][: 1 + is_written_first]
    assert rows("SELECT name, version FROM rooms") == [("words", 2)]


@pytest.mark.parametrize(
    "statement", ["PRAGMA user_version = 2", "UPDATE rooms SET version = version + 1"]
)
def test_a_store_of_a_newer_version_is_left_alone(
    statement: str, path: Path, warnings: Warnings
) -> None:
    put("one")
    rows(statement)
    before = path.read_bytes()
    for _ in range(2):
        put("two")
        assert words() == []
        assert not store().flush(30)
    assert path.read_bytes() == before
    (message,) = warnings()
    assert "newer version" in message


# Damage


def overwritten(data: bytes, start: int, length: int = 500) -> bytes:
    noise = Random(start).randbytes(length)  # noqa: S311  no secrets here
    return data[:start] + noise + data[start + length :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"These are no tables.\n" * 100,
    "zeros": lambda data: bytes(len(data)),
    "cut off": lambda data: data[:9000],
    "half a page": lambda data: data[:700],
    "no header": lambda data: overwritten(data, 0, 16),
    "page of tables": lambda data: overwritten(data, 100),
    "page of words": lambda data: data[:8192] + b"\xff" * 3000 + data[11192:],
    "a table's name": lambda data: data.replace(b"TABLE words", b"TABLE werds").replace(
        b"tablewordswords", b"tablewerdswerds"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("is_read_first", [False, True])
def test_a_damaged_store_is_set_aside_and_told_in_one_line(
    damage: Callable[[bytes], bytes],
    path: Path,
    start: Callable[[], None],
    warnings: Warnings,
    *,
    is_read_first: bool,
) -> None:
    put(*map(str, range(20)))
    start()
    data = damage(path.read_bytes())
    path.write_bytes(data)
    if is_read_first:
        assert words() in ([], list(map(str, range(20))))
    put("after")
    assert words() == ["after"]
    (aside,) = path.parent.glob("*damaged*.sqlite3")
    assert aside.read_bytes() == data
    (message,) = warnings()
    assert aside.name in message
    assert "\n" not in message


@POSIX
@pytest.mark.parametrize("what", ["link", "dangling link", "zeros", "pipe", "folder"])
def test_what_is_no_file_in_the_stores_place_is_set_aside_and_not_written_through(
    what: str, path: Path, tmp_path: Path, warnings: Warnings
) -> None:
    other = tmp_path / "other"
    if what == "link":
        other.write_bytes(b"somebody's")
    path.parent.mkdir(parents=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if what == "zeros" else other)
    put("one")
    assert words() == ["one"]
    assert stat.S_ISREG(path.lstat().st_mode)
    assert (other.read_bytes() if other.exists() else b"") in (b"somebody's", b"")
    assert other.exists() == (what == "link")
    (message,) = warnings()
    assert "\n" not in message


# A disk that does not do as asked


def test_a_folder_that_cannot_be_made_is_told_once_and_nothing_fails(
    path: Path, warnings: Warnings
) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("a file", encoding="utf-8")
    for word in ("one", "two"):
        put(word)
        assert not store().flush(30)
        assert words() == []
    (message,) = warnings()
    assert "a restart will lose chats" in message
    path.parent.unlink()
    put("three")
    assert words() == ["one", "two", "three"]


@POSIX
@pytest.mark.parametrize("is_folder", [False, True])
def test_what_is_read_only_is_still_read_and_told_once(
    monkeypatch: pytest.MonkeyPatch, warnings: Warnings, *, is_folder: bool
) -> None:
    with TemporaryDirectory() as home, unprivileged(Path(home)):
        monkeypatch.setenv("HOME", home)
        put("one")
        path = written()
        Path(f"{path}-journal").unlink()  # with it, nothing need be made in the folder
        (path.parent if is_folder else path).chmod(0o500 if is_folder else 0o400)
        before = path.read_bytes()
        for _ in range(2):
            assert words() == ["one"]
            put("two")
            assert not store().flush(30)
        assert path.read_bytes() == before
        (path.parent if is_folder else path).chmod(0o700)
        assert words() == ["one", "two", "two"]
    assert len(warnings()) == 1


FULL_DISK = """
import resource
from common.test_database import put, store, words

put("before")
assert store().flush(30)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
size = store().path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
put("during", "then" * 10_000)
assert not store().flush(30)
assert words() == ["before"]
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
put("after")
print([word[:6] for word in words()])
"""


@POSIX
def test_a_full_disk_loses_nothing_once_there_is_room_again() -> None:
    said, errors = run_python(FULL_DISK)
    assert said.strip() == "['before', 'during', 'thenth', 'after']"
    assert errors.count("a restart will lose chats") == 1


# Processes and threads


@pytest.mark.parametrize("is_stopped", [False, True])
def test_writing_waits_for_no_other_process(
    monkeypatch: pytest.MonkeyPatch, warnings: Warnings, *, is_stopped: bool
) -> None:
    if is_stopped:
        monkeypatch.setattr(database, "BUSY_S", 0.001)
    put("one")
    with closing(sqlite3.connect(written(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        put("two")
        assert not store().flush(0.05)
        while is_stopped and not warnings():
            store().flush(0.01)
        other.execute("COMMIT")
    assert store().flush(30)
    assert words() == ["one", "two"]
    assert len(warnings()) == is_stopped


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_writes_nothing_and_does_not_hang() -> None:
    put("one")
    assert words() == ["one"]
    with store()._lock, store()._writer._changed, store()._making:  # another thread's, say
        child = os.fork()
        if not child:
            put("two")
            os._exit(0 if store().flush(0) and words() == [] else 1)
        alarm = threading.Timer(20, os.kill, (child, signal.SIGKILL))  # should it hang
        alarm.start()
        _, status = os.waitpid(child, 0)
        alarm.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    assert words() == ["one"]
