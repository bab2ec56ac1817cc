"""Keeps the answers of rows on disk, so that a column that was stopped goes on where it was.

An answer stands under a hash of all that it depends on, sealed with another one: it can be read by
whoever asks the same, and by nobody else, not even from what a file system keeps of deleted rows.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from hashlib import sha256, shake_256
from typing import TYPE_CHECKING

from jupyter_llm.ask.prompt_store import SCHEMA
from jupyter_llm.common.database import store
from jupyter_llm.common.packing import DamagedValueError, packed, unpacked
from jupyter_llm.engine.completion import Choice, Completion, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from jupyter_llm.engine.request import Request

MAX_BYTES = 128 << 20  # of all answers; the oldest go first
_NAME_SIZE, _ONCE_SIZE = 16, 8
_ROW_SIZE = 150  # without the answer
_PUT = (
    "INSERT OR REPLACE INTO kept VALUES ((SELECT coalesce(max(number), 0) FROM kept) + ?, ?, ?, ?)"
)
_TRIM = "DELETE FROM kept WHERE number <= (SELECT max(number) FROM kept) - ?"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The stored part of a completion that ended by itself.

    `confidence`: the probability of an answer that is no choice, or of its fields, if asked for.
    """

    text: str
    reasoning: str = ""
    choice: Choice | None = None
    confidence: float | dict[str, float] | None = None

    def completion(self, model: str) -> Completion:
        """Return the completion, without its usage and record."""
        return Completion(
            text=self.text,
            reasoning=self.reasoning,
            choice=self.choice,
            finish_reason="stop",
            usage=Usage(),
            model=model,
        )


def secret_of(request: Request, model: str) -> bytes:
    """Return the secret of an answer: it follows from the question and the model."""
    constraint = [type(request.constraint).__name__, request.constraint]
    asked = [model, constraint, request.prompt, request.answer_prefix, request.params]
    return sha256(packed(asked)).digest()


def find(secrets: Sequence[bytes]) -> dict[bytes, KeptAnswer]:
    """Return the answers stored under some secrets, without damaged ones."""

    def look(connection: Connection) -> dict[bytes, KeptAnswer]:
        query = "SELECT answer FROM kept WHERE name = ?"
        rows = ((one, connection.execute(query, (_name(one),)).fetchone()) for one in secrets)
        found = ((one, _opened(one, row[0])) for one, row in rows if row)
        return {secret: answer for secret, answer in found if answer is not None}

    return store().read(SCHEMA, look, {})


def put(secret: bytes, answer: KeptAnswer, owner: bytes | None) -> None:
    """Write an answer of a notebook in the background; returns at once."""
    once = os.urandom(_ONCE_SIZE)
    sealed = once + _mixed(zlib.compress(packed(answer)), secret + once)

    def write(connection: Connection) -> None:
        connection.execute(_PUT, (len(sealed) + _ROW_SIZE, _name(secret), owner, sealed))
        connection.execute(_TRIM, (MAX_BYTES,))

    store().write(SCHEMA, write)


def _name(secret: bytes) -> bytes:
    return sha256(secret).digest()[:_NAME_SIZE]


def _opened(secret: bytes, data: object) -> KeptAnswer | None:
    """Return the answer of a sealed row; None if it is damaged."""
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
