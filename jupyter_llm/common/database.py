"""The SQLite file that outlasts kernels; its owner alone may read it, and processes share it.

A room passes its tables as a `Schema`, and works with them in functions of a connection. A
connection lives for one read or one batch of writes. So a forked child inherits none, and nothing
is written to a file that another process has moved away.

The journal is a rollback journal, because the shared memory of a write-ahead log fails on network
folders. Everything that `flush` has acknowledged survives a killed kernel. It survives a power cut
if the disk reports its writes truthfully.
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
"""The file's `user_version`. Each room has its own version, see `Schema`."""

BUSY_S = 5.0  # another process writes for milliseconds, but many may do so at once
_MAX_BUSY = 6  # attempts; after that, a stopped process probably holds the lock
_READ_S = 2.0  # longest time a read waits for earlier writes
_EXIT_S = 2.0  # longest delay of a kernel's end
_MAX_PENDING = 2_000  # writes that wait while the disk fails
PRAGMAS = (
    "secure_delete = ON",
    "foreign_keys = ON",
    "journal_mode = TRUNCATE",
    "synchronous = FULL",
)
_OWN_ONLY = 0o600
_NEWER = "it was written by a newer version of jupyter_llm"
# A page of 4096 bytes stores the first 489 bytes of a row that needs this much more than whole
# overflow pages; see "Cell Payload Overflow Pages" in SQLite's file format.
_BLANK = 512
_OVERFLOW = 4092
_SHORTEST = 489 + 3585


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a room: for each version, the statements that migrate from the one before.

    Released versions never change; the next migration is one more entry at the end.
    """

    room: str
    versions: tuple[tuple[str, ...], ...]


class _NewerError(OSError):
    """A newer version of this package wrote the file."""


class _DamagedError(OSError):
    """The file is not a sound database; `number` is its inode."""

    def __init__(self, number: int, reason: object) -> None:
        super().__init__(f"it is damaged: {reason}")
        self.number = number


class Database:
    """A file of tables; any thread may use it, and other processes at the same time.

    `write` returns at once. The thread "jupyter-llm-store" writes to the disk in order,
    milliseconds later, and ends when it is idle.

    A disk error is logged once as a warning and never raised. The failed writes are tried again
    with the next ones. A damaged file is renamed and a new one is created. A file of a newer
    version is neither read nor written. A forked child does neither, because a thread of the parent
    may have left SQLite locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards the pending writes
        self._pending: deque[tuple[Schema, Work]] = deque()  # if too many, the oldest are dropped
        self._writer = Chore(self._write_pending, "jupyter-llm-store")
        self._making = threading.Lock()  # locked while the file is created or checked for
        self._is_checked = False
        self._num_busy = 0  # since the last success
        self._is_reported = False
        atexit.register(self._close)

    def write(self, schema: Schema, work: Work) -> None:
        """Do work in the background. Return at once."""
        if self._is_forked:
            return
        with self._lock:
            self._pending.append((schema, work))
            if len(self._pending) > _MAX_PENDING:
                self._pending.popleft()
        self._writer.ask()

    def read(self, schema: Schema, look: Callable[[Connection], T], default: T) -> T:
        """Return the result of `look` after all earlier writes.

        Return `default` if the file is missing or cannot be read.
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
            self._report(error)
            return default

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written; return whether it is."""
        if self._is_forked:
            return True
        if self._pending:
            self._writer.ask()  # the disk may work again
        return self._writer.wait(timeout_s) and not self._pending

    def trouble(self) -> str:
        """Return what is wrong with the file, "" if nothing; the file is not changed."""
        import sqlite3

        folder = next(parent for parent in self.path.parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} is not writable"
        if not os.path.lexists(self.path):
            return ""  # created at the first write
        if self.path.is_file() and not os.access(self.path, os.R_OK | os.W_OK):
            return "it cannot be read and written"

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
            self._write_pending()  # Python 3.12+ starts no thread at exit

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
                self._report(error)
            with self._lock:
                self._pending.extendleft(reversed(writes))
            return 0.0, is_busy
        self._num_busy = 0
        return 0.0, False

    def _carry_out(self, connection: Connection, writes: Sequence[tuple[Schema, Work]]) -> None:
        """Do all of the work in one transaction, or none of it."""
        import sqlite3

        if not self._is_checked:
            check(connection)
            self._is_checked = True
        (num_pages,) = connection.execute("PRAGMA page_count").fetchone()
        if not num_pages:
            connection.execute("PRAGMA auto_vacuum = FULL")  # deleted rows shrink the file
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
                logger.exception("A write to the store failed")  # a retry would fail too
        connection.execute("COMMIT")

    # The file

    def _make(self) -> None:
        """Create the file if it is missing: SQLite would let everybody read it.

        Nobody may have it open meanwhile: closing it here would release their locks.
        """
        with self._making, suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWN_ONLY))

    def _with_connection(self, use: Callable[[Connection], T]) -> T:
        """Work with the file, or with a new one if it turns out to be damaged."""
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
        if not stat.S_ISREG(status.st_mode):  # SQLite would follow a link
            raise _DamagedError(number, "a link or no file at all is in its place")
        uri = f"{self.path.absolute().as_uri()}?mode=rw"  # not created if deleted by now
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
        """Rename a damaged file, unless another process was faster."""
        with self._making:
            if self.path.lstat().st_ino != damage.number:
                return
            name = f"{self.path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
            numbered = (self.path.with_name(f"{name}-{n}{self.path.suffix}") for n in count(1))
            target = next(path for path in numbered if not path.exists())
            with suppress(FileNotFoundError):  # first, or SQLite would apply it to the new file
                Path(f"{self.path}-journal").rename(f"{target}-journal")
            self.path.rename(target)
        logger.warning(
            "%s could not be read: %s. It was renamed to %s, and a new file was created without "
            "the chats of earlier kernels and the measurements of models.",
            self.path,
            damage,
            target.name,
        )

    def _report(self, error: Exception) -> None:
        level = logging.DEBUG if self._is_reported else logging.WARNING
        self._is_reported = True
        if isinstance(error, _NewerError):
            advice = "Update jupyter_llm, or move the file away."
        else:
            advice = "Free space there, or make the folder writable."
        logger.log(
            level,
            "Nothing can be stored in %s (%s), so a restart will lose chats and the records that "
            "`/verify` needs. %s",
            self.path,
            error,
            advice,
        )


def check(connection: Connection) -> None:
    """Raise `sqlite3.DatabaseError` if the file's pages do not fit together: 60 ms for 64 MB.

    If the error leaves `Database.read` or `Database.write`, the file is set aside.
    """
    import sqlite3

    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(answer.splitlines()[-1])


def _version(connection: Connection, schema: Schema) -> int:
    """Return the version of a room's tables, 0 if it has none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        row = connection.execute("SELECT version FROM rooms WHERE name = ?", (schema.room,))
        (room_version,) = row.fetchone() or (0,)
        if room_version <= len(schema.versions):
            return int(room_version)
    elif version < _VERSION:
        return 0
    raise _NewerError(_NEWER)


def _bring_up_to_date(connection: Connection, schema: Schema) -> None:
    """Create a room's tables, or migrate older ones."""
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
    """Return SQLite's number of an error, None if the error has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_damage(error: Exception) -> bool:
    """Whether an error means that the file is not a sound database of ours."""
    import sqlite3

    if not isinstance(error, sqlite3.DatabaseError):
        return False
    is_broken = _code(error) in (None, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return is_broken or str(error).startswith("no such ")  # table or column


def erasable(data: bytes) -> bytes:
    """Pad data so that SQLite leaves no copy of it when its row is deleted.

    SQLite overwrites a deleted row with zeros. But when it reorders the rows of a page, it may
    leave stale copies in that page. A long row stores only its first bytes in such a page, and the
    rest in overflow pages, which are never copied. So the first bytes are blanks.
    """
    num_pages = max(0, -((_SHORTEST - _BLANK - len(data)) // _OVERFLOW))
    return (b" " * _BLANK + data).ljust(_SHORTEST + num_pages * _OVERFLOW)


_databases: dict[Path, Database] = {}


def store() -> Database:
    """Return the user's database; its file need not exist."""
    from platformdirs import user_data_path

    path = user_data_path("jupyter_llm") / "store" / "store.sqlite3"
    return _databases.get(path) or _databases.setdefault(path, Database(path))
