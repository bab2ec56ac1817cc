"""Keeps the answers of rows on disk, so that a column that was stopped goes on where it was.

An answer stands under a hash of all that it depends on, sealed with another one: it can be read by
whoever asks the same, and by nobody else, not even from what a file system keeps of deleted rows.
"""

from __future__ import annotations

import os
import threading
import zlib
from dataclasses import dataclass
from functools import partial
from hashlib import sha256, shake_256
from typing import TYPE_CHECKING, Self

from jupyter_llm.common.database import Schema, store
from jupyter_llm.common.packing import DamagedValueError, packed, unpacked
from jupyter_llm.engine.completion import Choice, Completion, Score, Usage
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.notebook.cells.path import path_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from jupyter_llm.engine.request import Request
    from jupyter_llm.notebook.cells.path import PathChange

_MAX_BYTES = 128 << 20  # of all answers; the oldest go first
_NAME_SIZE, _ONCE_SIZE = 16, 8

# A row's number is that of the last one and its own size: how many bytes stand before it is known
# without a count.
_TABLE = "kept (number INTEGER PRIMARY KEY, name BLOB UNIQUE, owner BLOB, answer BLOB)"
_SCHEMA = Schema("kept", ((f"CREATE TABLE {_TABLE}",),))
_MOST_WAITING = 5_000
_ROW_SIZE = 100  # without the answer
_PUT = (
    "INSERT OR REPLACE INTO kept VALUES ((SELECT coalesce(max(number), 0) FROM kept) + ?, ?, ?, ?)"
)
_TRIM = "DELETE FROM kept WHERE number <= (SELECT max(number) FROM kept) - ?"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What is kept of a completion; `logprobs` are those of the texts of a choice.

    `confidence` is how likely another answer was, or each of its fields, where that was asked for.
    """

    text: str
    reasoning: str = ""
    logprobs: tuple[float, ...] = ()
    confidence: float | dict[str, float] | None = None

    @classmethod
    def of(cls, completion: Completion) -> Self:
        """What is to be known of a completion that ended by itself."""
        scores = completion.choice.scores if completion.choice is not None else ()
        logprobs = tuple(score.logprob for score in scores)
        return cls(completion.text, completion.reasoning, logprobs)

    def completion(self, request: Request, model: str) -> Completion:
        """The completion again, without what it cost and how it was made."""
        texts = request.constraint.texts if isinstance(request.constraint, OneOf) else ()
        scores = tuple(Score(t, (p,)) for t, p in zip(texts, self.logprobs, strict=False))
        return Completion(
            text=self.text,
            reasoning=self.reasoning,
            finish_reason="stop",
            usage=Usage(),
            model=model,
            choice=Choice(scores) if scores else None,
        )


def secret_of(request: Request, model_sha256: str, shape: str) -> bytes:
    """What nobody has who does not ask the same of the same model."""
    constraint = [type(request.constraint).__name__, request.constraint]
    asked = [model_sha256, shape, constraint, request.prompt, request.answer_prefix, request.params]
    return sha256(packed(asked)).digest()


class KeptAnswers:
    """The answers of all columns that a user had filled, 128 MB at most. Safe from any thread.

    What a notebook has kept can be cleared, and what was kept while nobody knew whose it is;
    `notebook` tells its path, if known.
    """

    def __init__(self, notebook: Callable[[], Path | None] = lambda: None) -> None:
        self._notebook = notebook
        self._lock = threading.Lock()
        self._waiting: list[tuple[object, ...]] = []  # what the next write takes along

    def find(self, secrets: Sequence[bytes]) -> dict[bytes, KeptAnswer]:
        """What is kept under some secrets, and sound."""

        def look(connection: Connection) -> list[tuple[bytes, tuple[bytes] | None]]:
            query = "SELECT answer FROM kept WHERE name = ?"
            ask = connection.execute
            return [(secret, ask(query, (_name(secret),)).fetchone()) for secret in secrets]

        nothing: list[tuple[bytes, tuple[bytes] | None]] = []
        rows = store().read(_SCHEMA, look, nothing) if secrets else nothing
        opened = ((secret, _opened(secret, row[0])) for secret, row in rows if row)
        return {secret: answer for secret, answer in opened if answer is not None}

    def put(self, secret: bytes, answer: KeptAnswer) -> None:
        """Write an answer in the background; returns at once."""
        sealed = _sealed(secret, answer)
        row = (len(sealed) + _ROW_SIZE, _name(secret), self._owner, sealed)
        with self._lock:
            if len(self._waiting) > _MOST_WAITING:  # nobody takes them along
                self._waiting = []
            self._waiting.append(row)
            if len(self._waiting) == 1:
                store().write(_SCHEMA, partial(self._write, self._waiting))

    def _write(self, rows: list[tuple[object, ...]], connection: Connection) -> None:
        with self._lock:
            if self._waiting is rows:
                self._waiting = []
        connection.executemany(_PUT, rows)
        connection.execute(_TRIM, (_MAX_BYTES,))

    def clear(self) -> None:
        """Remove all answers of this notebook from the disk, in the background."""
        _change("DELETE FROM kept WHERE owner = ? OR owner IS NULL", self._owner)

    def follow(self, change: PathChange) -> None:
        """Go along with a notebook that was renamed."""
        if change.is_rename and change.old is not None:
            owners = (_name(path_key(path)) for path in (change.new, change.old))
            _change("UPDATE kept SET owner = ? WHERE owner = ?", *owners)

    @property
    def _owner(self) -> bytes | None:
        path = self._notebook()
        return None if path is None else _name(path_key(path))


def _change(statement: str, *owners: bytes | None) -> None:
    store().write(_SCHEMA, lambda connection: connection.execute(statement, owners))


def _name(secret: bytes) -> bytes:
    return sha256(secret).digest()[:_NAME_SIZE]


def _sealed(secret: bytes, answer: KeptAnswer) -> bytes:
    once = os.urandom(_ONCE_SIZE)
    return once + _mixed(zlib.compress(packed(answer)), secret + once)


def _opened(secret: bytes, data: object) -> KeptAnswer | None:
    """The answer that was sealed; None if it is not as we write it."""
    if not isinstance(data, bytes):
        return None
    mixed = _mixed(data[_ONCE_SIZE:], secret + data[:_ONCE_SIZE])
    try:
        return unpacked(zlib.decompress(mixed), KeptAnswer)  # which checks a sum
    except (zlib.error, DamagedValueError):
        return None


def _mixed(data: bytes, secret: bytes) -> bytes:
    pad = shake_256(secret).digest(len(data))
    return (int.from_bytes(data) ^ int.from_bytes(pad)).to_bytes(len(data))
