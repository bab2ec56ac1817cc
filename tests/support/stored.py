"""The user's store, for tests that look at the file itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

from jupyter_llm.common.database import store
from jupyter_llm.common.remembered import Remembered

Warnings = Callable[[], list[str]]


def written() -> Path:
    """Return the file with all in it that was to be written."""
    assert store().flush(60)
    return store().path


def rows(statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return what a statement finds in the store, or change something there behind our back."""
    with closing(connect(written(), isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def stored_bytes() -> bytes:
    """Return all that stands in the store's folder, deleted or not."""
    return b"".join(path.read_bytes() for path in sorted(written().parent.iterdir()))


def remember(value: object, kind: str = "%") -> None:
    """Change what is remembered of models and machines; only bytes are as a kernel writes."""
    if not isinstance(value, bytes):
        rows("UPDATE remembered SET value = ? WHERE kind LIKE ?", value, kind)
        return
    for name, key in rows("SELECT kind, key FROM remembered WHERE kind LIKE ?", kind):
        Remembered(name).put(key.decode(), value.decode("utf-8", "surrogateescape"))
    written()
