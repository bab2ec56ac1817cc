"""The one file that outlasts kernels: SQLite, its owner's alone, shared by several processes.

A room hands over its tables as a `Schema` and works with them in functions of a connection. A
connection lives for one read or one batch of writes. So a forked child inherits none, and a file
that another process has moved away is not written to any more.

The journal is a rollback journal, since the shared memory of a write-ahead log does not work on
network folders. Whatever `flush` has acknowledged survives a kernel that is killed, and a power cut
where the disk keeps its word.
"""

from __future__ import annotations

import atexit
import logging
import os
import stat
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jupyter_llm.common.workers import Chore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection

    Work = Callable[[Connection], object]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_VERSION = 1
"""Of the file as a whole, its `user_version`. Rooms count their own, see `Schema`."""

BUSY_S = 5.0  # another process writes for milliseconds, but many may do so at once
_MAX_BUSY = 6  # times; then a process was stopped that holds the lock
_READ_S = 2.0  # a read waits so long for what was written before it
_EXIT_S = 2.0  # the end of a kernel is not held up for longer
_MAX_PENDING = 2_000  # writes that wait for a disk that does not take them
PRAGMAS = (
    "secure_delete = ON",
    "foreign_keys = ON",
    "journal_mode = TRUNCATE",
    "synchronous = FULL",
)
_OWN_ONLY = 0o600
_NEWER = "it was written by a newer version of jupyter_llm"
# A page of 4096 bytes keeps the first 489 bytes of a row that takes this much more than whole
# overflow pages; see "Cell Payload Overflow Pages" in SQLite's file format.
_BLANK = 512
_OVERFLOW = 4092
_SHORTEST = 489 + 3585


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a room: for each version the statements that lead to it from the one before.

    What was released stays as it is; the next migration is one more entry at the end.
    """

    room: str
    versions: tuple[tuple[str, ...], ...]


class _NewerError(OSError):
    """The file was written by a newer version of this package."""


class _DamagedError(OSError):
    """The file is no sound database; `number` is its inode."""

    def __init__(self, number: int, reason: object) -> None:
        super().__init__(f"it is damaged: {reason}")
        self.number = number


class Database:
    """A file of tables. Safe from any thread, and beside other processes.

    What is written is on its way when the call returns, and on disk some milliseconds later, in the
    order it came: the thread "jupyter-llm-store" writes, and ends when it has nothing to do.

    Trouble with the disk is logged once as a warning, never raised, and what could not be written
    is tried again with what comes next. A damaged file is set aside under another name, and a new
    one begun. One of a newer version stays as it is, and nothing is read or written. Neither is in
    a forked child, where a thread of the parent may have left SQLite locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards the pending writes
        self._pending: deque[tuple[Schema, Work]] = deque()  # the oldest of too many are given up
        self._writer = Chore(self._write_pending, "jupyter-llm-store")
        self._making = threading.Lock()  # held while the file is made or looked for
        self._is_checked = False
        self._num_busy = 0  # times without a success between them
        self._is_told = False
        atexit.register(self._close)

    def write(self, schema: Schema, work: Work) -> None:
        """Do some work in the background. Returns at once."""
        if self._is_forked:
            return
        with self._lock:
            self._pending.append((schema, work))
            if len(self._pending) > _MAX_PENDING:
                self._pending.popleft()
        self._writer.ask()

    def read(self, schema: Schema, look: Callable[[Connection], T], default: T) -> T:
        """What is found, after all that was written before; the default if there is nothing.

        There is nothing either if the file cannot be read.
        """
        import sqlite3

        if self._is_forked:
            return default
        self.flush(_READ_S)

        def read(connection: Connection) -> T:
            version = _version(connection, schema)
            if 0 < version < len(schema.versions):
                connection.execute("BEGIN IMMEDIATE")
                _bring_up_to_date(connection, schema)
                connection.execute("COMMIT")
            connection.execute("BEGIN")
            return look(connection) if version else default

        with self._making:
            is_there = os.path.exists(self.path)  # noqa: PTH110  pathlib's raises
        try:
            return self._with_connection(read) if is_there else default
        except (OSError, sqlite3.Error) as error:
            self._tell_trouble(error)
            return default

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, and return whether it is."""
        if self._is_forked:
            return True
        if self._pending:
            self._writer.ask()  # the disk may be well again
        return self._writer.wait(timeout_s) and not self._pending

    def trouble(self) -> str:
        """What is wrong with the file, "" where nothing is; it stays as it is."""
        import sqlite3

        folder = next(parent for parent in self.path.parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} may not be written to"
        if not os.path.lexists(self.path):
            return ""  # it is made when there is something to keep
        if self.path.is_file() and not os.access(self.path, os.R_OK | os.W_OK):
            return "it may not be read and written"

        def look(connection: Connection) -> None:
            check(connection)
            if connection.execute("PRAGMA user_version").fetchone()[0] > _VERSION:
                raise _NewerError(_NEWER)

        try:
            self._with_file(look)
        except (OSError, sqlite3.Error) as error:
            return str(error)
        return ""

    @property
    def _is_forked(self) -> bool:
        return self._pid != os.getpid()

    def _close(self) -> None:
        if not self.flush(_EXIT_S) and self._writer.wait(0):
            self._write_pending()  # from Python 3.12 on no thread starts at the end

    # The writer

    def _write_pending(self) -> tuple[float, bool]:
        import sqlite3

        with self._lock:
            writes, self._pending = self._pending, deque()
        try:
            if writes:
                self._with_connection(lambda connection: self._carry_out(connection, writes))
        except (OSError, sqlite3.Error) as error:
            is_busy = _code(error) == sqlite3.SQLITE_BUSY
            self._num_busy = self._num_busy + 1 if is_busy else 0
            if not is_busy or self._num_busy > _MAX_BUSY:
                self._tell_trouble(error)
            with self._lock:
                self._pending.extendleft(reversed(writes))
            return 0.0, is_busy
        self._num_busy = 0
        return 0.0, False

    def _carry_out(self, connection: Connection, writes: Sequence[tuple[Schema, Work]]) -> None:
        """Do all of some work, or none of it."""
        import sqlite3

        if not self._is_checked:
            check(connection)
            self._is_checked = True
        (num_pages,) = connection.execute("PRAGMA page_count").fetchone()
        if not num_pages:
            connection.execute("PRAGMA auto_vacuum = FULL")  # what is removed gives its room back
        connection.execute("BEGIN IMMEDIATE")
        for schema in dict.fromkeys(schema for schema, _ in writes):
            _bring_up_to_date(connection, schema)
        for _, work in writes:
            try:
                work(connection)
            except sqlite3.OperationalError:
                raise
            except Exception as error:
                if _is_damage(error):
                    raise
                logger.exception("Something could not be kept")  # it is no better the next time
        connection.execute("COMMIT")

    # The file

    def _make(self) -> None:
        """Make the file if there is none: SQLite would let everybody read it.

        Nobody may have it open meanwhile, since closing it here would end their locks.
        """
        with self._making, suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWN_ONLY))

    def _with_connection(self, use: Callable[[Connection], T]) -> T:
        """Work with the file, and if it turns out to be damaged, with a new one."""
        try:
            return self._with_file(use)
        except _DamagedError as error:
            self._set_aside(error)
        return self._with_file(use)

    def _with_file(self, use: Callable[[Connection], T]) -> T:
        import sqlite3

        self._make()
        status = self.path.lstat()
        number = status.st_ino
        if not stat.S_ISREG(status.st_mode):  # SQLite would write through a link
            raise _DamagedError(number, "a link or no file at all is in its place")
        uri = f"{self.path.absolute().as_uri()}?mode=rw"  # if it is gone by now, it is not made
        with closing(
            sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        ) as connection:
            try:
                for pragma in PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}")
                return use(connection)
            except sqlite3.Error as error:
                if _is_damage(error):
                    raise _DamagedError(number, error) from None
                raise

    def _set_aside(self, damage: _DamagedError) -> None:
        """Give a damaged file another name, unless another process was faster."""
        with self._making:
            if self.path.lstat().st_ino != damage.number:
                return
            name = f"{self.path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
            numbered = (self.path.with_name(f"{name}-{n}{self.path.suffix}") for n in count(1))
            target = next(path for path in numbered if not path.exists())
            with suppress(FileNotFoundError):  # first, or it would be taken for the new file's
                Path(f"{self.path}-journal").rename(f"{target}-journal")
            self.path.rename(target)
        logger.warning(
            "%s could not be read, as %s. It is now %s, and a new one has been begun: chats of "
            "earlier kernels and what was measured of models are not known any more.",
            self.path,
            damage,
            target.name,
        )

    def _tell_trouble(self, error: Exception) -> None:
        level = logging.DEBUG if self._is_told else logging.WARNING
        self._is_told = True
        if isinstance(error, _NewerError):
            advice = "Update jupyter_llm, or move the file away."
        else:
            advice = "Make room there, or make the folder writable."
        logger.log(
            level,
            "What is to be kept cannot be kept in %s (%s), so chats will be gone after a restart, "
            "and their answers cannot be verified then. %s",
            self.path,
            error,
            advice,
        )


def check(connection: Connection) -> None:
    """Raise `sqlite3.DatabaseError` if the pages of the file do not fit together: 60 ms for 64 MB.

    Raised through `Database.read` and `Database.write`, it sets the file aside.
    """
    import sqlite3

    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(answer.splitlines()[-1])


def _version(connection: Connection, schema: Schema) -> int:
    """The version of a room's tables, 0 if there are none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        found = connection.execute("SELECT version FROM rooms WHERE name = ?", (schema.room,))
        (room_version,) = found.fetchone() or (0,)
        if room_version <= len(schema.versions):
            return int(room_version)
    elif version < _VERSION:
        return 0
    raise _NewerError(_NEWER)


def _bring_up_to_date(connection: Connection, schema: Schema) -> None:
    """Make the tables of a room, or make of older ones what they are today."""
    version = _version(connection, schema)
    if version == len(schema.versions):
        return
    connection.execute("CREATE TABLE IF NOT EXISTS rooms (name TEXT PRIMARY KEY, version INTEGER)")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    for statement in (one for step in schema.versions[version:] for one in step):
        connection.execute(statement)
    row = (schema.room, len(schema.versions))
    connection.execute("INSERT OR REPLACE INTO rooms VALUES (?, ?)", row)


def _code(error: Exception) -> int | None:
    """SQLite's own number of an error, None if it is another's."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_damage(error: Exception) -> bool:
    """Tell whether an error means that the file is no sound database of ours."""
    import sqlite3

    if not isinstance(error, sqlite3.DatabaseError):
        return False
    is_broken = _code(error) in (None, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return is_broken or str(error).startswith("no such ")  # table or column


def erasable(data: bytes) -> bytes:
    """Data between blanks, laid out so that nothing of it stays when its row is deleted.

    SQLite overwrites what is deleted with zeros. But when it puts the rows in a page in order, it
    may leave copies there of which it knows nothing any more. A long row keeps its first bytes in
    such a page and all the rest in pages of its own; what stands there is never copied.
    """
    num_pages = max(0, -((_SHORTEST - _BLANK - len(data)) // _OVERFLOW))
    return (b" " * _BLANK + data).ljust(_SHORTEST + num_pages * _OVERFLOW)


_databases: dict[Path, Database] = {}


def store() -> Database:
    """The user's own; its file need not exist."""
    from platformdirs import user_data_path

    path = user_data_path("jupyter_llm") / "store" / "store.sqlite3"
    return _databases.get(path) or _databases.setdefault(path, Database(path))
