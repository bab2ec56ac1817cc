"""Stores prompts on disk, so that an answer can be written again, and the answers of columns."""

from __future__ import annotations

import logging
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from jupyter_llm.common.database import Schema, erasable, store
from jupyter_llm.common.packing import DamagedValueError, packed, unpacked
from jupyter_llm.engine.constraint import BeginsWith, Constraint, Grammar, OneOf
from jupyter_llm.engine.request import Prompt
from jupyter_llm.notebook.cells.path import path_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from sqlite3 import Connection

    from jupyter_llm.engine.request import Request
    from jupyter_llm.notebook.cells.path import PathChange

logger = logging.getLogger(__name__)

MAX_BYTES = 64 << 20
MAX_UNPACKED = 64 << 20  # no prompt is longer; one that says so is no friend
_TOKEN_RANGE = range(-(2**31), 2**31)
_TOUCH = "UPDATE prompts SET used_at = ? WHERE sha256 = ?"
_PUT = "REPLACE INTO prompts (sha256, used_at, size, prompt, owner) VALUES (?, ?, ?, ?, ?)"
_TRIM = """DELETE FROM prompts WHERE id IN (
    SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY used_at DESC) AS total FROM prompts)
    WHERE total > ?
)"""

SCHEMA = Schema(
    "prompts",
    (
        (
            """CREATE TABLE prompts (
                id INTEGER PRIMARY KEY,
                sha256 TEXT NOT NULL UNIQUE,
                used_at REAL NOT NULL,
                size INTEGER NOT NULL,
                prompt BLOB NOT NULL
            )""",
            "CREATE INDEX prompts_by_use ON prompts (used_at, size)",
        ),
        ("ALTER TABLE prompts ADD COLUMN owner BLOB",),
        # A row's number is that of the last one and its own size: how many bytes stand before it
        # is known without a count.
        (
            """CREATE TABLE IF NOT EXISTS kept (
                number INTEGER PRIMARY KEY, name BLOB UNIQUE, owner BLOB, answer BLOB
            )""",
        ),
    ),
)
_CLEAR = (
    "DELETE FROM prompts WHERE owner = ? OR owner IS NULL",
    "DELETE FROM kept WHERE owner = ? OR owner IS NULL",
)
_FOLLOW = (
    "UPDATE prompts SET owner = ? WHERE owner = ?",
    "UPDATE kept SET owner = ? WHERE owner = ?",
)


@dataclass(frozen=True, slots=True)
class KeptPrompt:
    """A stored prompt, which gives the same tokens again, with at most one constraint."""

    prompt: Prompt
    answer_prefix: str = ""
    begins_with: BeginsWith | None = None
    one_of: OneOf | None = None
    grammar: Grammar | None = None

    @classmethod
    def of(cls, request: Request) -> Self:
        """The prompt of a request."""
        given = request.constraint
        kinds = {"begins_with": BeginsWith, "one_of": OneOf, "grammar": Grammar}
        constraint: Any = {name: given for name, kind in kinds.items() if isinstance(given, kind)}
        return cls(request.prompt, request.answer_prefix, **constraint)

    @property
    def constraint(self) -> Constraint | None:
        """The constraint of the answer."""
        return self.begins_with or self.one_of or self.grammar


class PromptStore:
    """The prompts that all kernels of the user share. Safe from any thread.

    They take at most 64 MB; the least recently used are removed first. `notebook` returns the path
    of the notebook, if known: `clear` removes its prompts, and those stored while it was unknown.
    """

    def __init__(self, notebook: Callable[[], Path | None] = lambda: None) -> None:
        self._notebook = notebook

    def keep(self, key: str, prompt: KeptPrompt) -> None:
        """Write a prompt in the background, unless it is stored already; returns at once."""
        used_at, owner = time.time(), self.owner

        def write(connection: Connection) -> None:
            if connection.execute(_TOUCH, (used_at, key)).rowcount > 0:
                return
            data = erasable(zlib.compress(packed(prompt)))
            connection.execute(_PUT, (key, used_at, len(data), data, owner))
            connection.execute(_TRIM, (MAX_BYTES,))

        store().write(SCHEMA, write)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove prompts from the disk, in the background; returns at once."""
        names = [(name,) for name in keys]
        statement = "DELETE FROM prompts WHERE sha256 = ?"
        store().write(SCHEMA, lambda connection: connection.executemany(statement, names))

    def clear(self) -> None:
        """Remove all that is stored of this notebook from the disk, in the background."""
        for statement in _CLEAR:
            _write(statement, self.owner)

    def follow(self, change: PathChange) -> None:
        """Keep the prompts of a notebook that was renamed."""
        if change.is_rename and change.old is not None:
            for statement in _FOLLOW:
                _write(statement, path_key(change.new), path_key(change.old))

    @property
    def owner(self) -> bytes | None:
        """The key of the notebook in this store, if its path is known."""
        path = self._notebook()
        return None if path is None else path_key(path)

    def find(self, key: str) -> KeptPrompt | None:
        """Return a prompt, or None if it is not stored; a damaged one is removed."""
        statement, name = "SELECT prompt FROM prompts WHERE sha256 = ?", (key,)
        row = store().read(SCHEMA, lambda one: one.execute(statement, name).fetchone(), None)
        if row is None:
            return None
        try:
            prompt = _unpacked(row[0])
        except (DamagedValueError, zlib.error) as error:
            logger.info("A damaged prompt is removed: %s", error)
            self.forget([key])
            return None
        _write(_TOUCH, time.time(), key)
        return prompt


def _write(statement: str, *values: object) -> None:
    store().write(SCHEMA, lambda connection: connection.execute(statement, values))


def _unpacked(data: object) -> KeptPrompt:
    """Read the prompt of a row; `DamagedValueError` or `zlib.error` if it is damaged."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data.lstrip(b" ") if isinstance(data, bytes) else b"", MAX_UNPACKED)
    if not unpacker.eof:
        raise DamagedValueError("it is cut off, or longer than any prompt")
    kept = unpacked(text, KeptPrompt)
    for message in kept.prompt if isinstance(kept.prompt, tuple) else ():
        if not all(token in _TOKEN_RANGE for token in message.token_ids or ()):
            raise DamagedValueError("there is a token that no model has")
    return kept
