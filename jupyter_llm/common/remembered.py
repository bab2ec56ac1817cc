"""Stores facts that are slow to compute and remain true in the next kernel."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from jupyter_llm.common.database import Schema, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from sqlite3 import Connection

_SCHEMA = Schema(
    "remembered",
    (
        (
            """CREATE TABLE remembered (
                number INTEGER PRIMARY KEY, kind TEXT, key BLOB, value BLOB, UNIQUE (kind, key)
            )""",
        ),
    ),
)


_SUM_SIZE = 8


class Remembered:
    """Facts of one kind about models and machines in the user's store, the latest `max_values`.

    Each value carries a checksum, so a fact that a failing disk changed is not used.
    """

    def __init__(self, kind: str, *, max_values: int = 256) -> None:
        self._kind = kind
        self._max_values = max_values

    def get(self, key: str) -> str | None:
        """Return a value, None if it is not stored."""
        values = self._look("WHERE kind = ? AND key = ?", self._kind, _bytes(key))
        return values.get(key)

    def all(self) -> dict[str, str]:
        """Return all values by their keys, the oldest first."""
        return self._look("WHERE kind = ? ORDER BY number", self._kind)

    def put(self, key: str, value: str) -> None:
        """Store a value in place of an earlier one."""
        self.put_all({key: value})

    def put_all(self, values: Mapping[str, str]) -> None:
        """Store values by their keys, in place of earlier ones."""

        def work(connection: Connection) -> None:
            connection.executemany(
                "INSERT OR REPLACE INTO remembered (kind, key, value) VALUES (?, ?, ?)",
                (
                    (self._kind, _bytes(key), _sealed(_bytes(key), _bytes(value)))
                    for key, value in values.items()
                ),
            )
            connection.execute(
                "DELETE FROM remembered WHERE kind = ? AND number NOT IN (SELECT number FROM"
                " remembered WHERE kind = ? ORDER BY number DESC LIMIT ?)",
                (self._kind, self._kind, self._max_values),
            )

        store().write(_SCHEMA, work)

    def forget(self, keys: Iterable[str]) -> None:
        """Delete values."""
        rows = [(self._kind, _bytes(key)) for key in keys]
        statement = "DELETE FROM remembered WHERE kind = ? AND key = ?"
        store().write(_SCHEMA, lambda connection: connection.executemany(statement, rows))

    def _look(self, condition: str, *values: object) -> dict[str, str]:
        statement = f"SELECT key, value FROM remembered {condition}"  # noqa: S608  our own words

        def look(connection: Connection) -> dict[str, str]:
            rows = connection.execute(statement, values)
            return {
                _text(key): _text(value[_SUM_SIZE:])
                for key, value in rows
                if (type(key), type(value)) == (bytes, bytes)
                and value == _sealed(key, value[_SUM_SIZE:])
            }

        return store().read(_SCHEMA, look, {})


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # paths need not be Unicode


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _sealed(key: bytes, value: bytes) -> bytes:
    return sha256(key + b"\0" + value).digest()[:_SUM_SIZE] + value
