"""The chats of notebooks in the user's store: their tables, and all changes to them."""

from __future__ import annotations

import logging
import os
import struct
from dataclasses import astuple, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyter_llm.chat.context import Part, Turn
from jupyter_llm.chat.question import asked_in
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.database import Schema, check, erasable
from jupyter_llm.common.packing import converted, packed, unpacked
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.notebook.cells.path import path_key
from jupyter_llm.notebook.cells.rendering import without_secrets

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from sqlite3 import Connection, Cursor

    from jupyter_llm.engine.provenance import Provenance

logger = logging.getLogger(__name__)

Origin: TypeAlias = tuple[str, int]
"""The cell a prompt came from: its id, and which of its prompts it was."""

MAX_BYTES = 32 << 20  # a notebook; a long turn with its tokens takes 20 kB
_END_OF_TIME = 253402300800.0  # the year 10000, which dates do not reach
_TOKEN_SIZE = 4
_TITLE = 100  # characters; a page shows as many as there is room for
_OF_COMPLETION = (  # beside what is packed otherwise
    *("text", "finish_reason", "usage", "model", "seed", "exact", "tokens_of", "reasoning"),
)


SCHEMA = Schema(
    "chats",
    (
        (
            """CREATE TABLE chats (
                id INTEGER PRIMARY KEY,
                notebook BLOB NOT NULL,
                name BLOB NOT NULL,
                state BLOB,
                num_dropped INTEGER NOT NULL DEFAULT 0,
                UNIQUE (notebook, name)
            )""",
            """CREATE TABLE turns (
                id INTEGER PRIMARY KEY,
                chat INTEGER NOT NULL REFERENCES chats ON DELETE CASCADE,
                number INTEGER NOT NULL,
                parent INTEGER NOT NULL,
                finished_at REAL NOT NULL,
                cell BLOB,
                prompt_of_cell INTEGER,
                size INTEGER NOT NULL,
                words BLOB NOT NULL,
                UNIQUE (chat, cell, prompt_of_cell)
            )""",
            "CREATE INDEX turns_by_age ON turns (chat, finished_at, size)",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class ChatState:
    """The state of a chat beside its turns.

    `cuts`: the number of the last turn that each conversation leaves out. `choices`: the active
    turn after each turn whose active follower is not the newest.
    """

    system: str | None = None
    cuts: dict[str, int] = field(default_factory=dict)
    choices: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChat:
    """A stored chat: its turns, the oldest first.

    `num_dropped`: how many older turns were removed to save room. `num_other_branches`: how many
    branches are missing, if only one is here. `passing`: the numbers of turns that may not be
    stored; they stay as long as the kernel.
    """

    name: str
    state: ChatState = ChatState()
    turns: tuple[Turn, ...] = ()
    num_dropped: int = 0
    num_other_branches: int = 0
    passing: frozenset[int] = frozenset()

    @property
    def kept(self) -> list[tuple[int, Turn]]:
        """The turns that may be searched, each with its place in the chat."""
        places = enumerate(self.turns, self.num_dropped + 1)
        return [(place, turn) for place, turn in places if turn.number not in self.passing]

    @property
    def num_turns(self) -> int:
        """The number of turns, with the dropped ones."""
        return len(self.turns) + self.num_dropped

    @property
    def when(self) -> float | None:
        """The end of the last turn, in seconds since 1970."""
        return self.turns[-1].finished_at if self.turns else None

    @property
    def title(self) -> str:
        """The first prompt in one line."""
        return one_line(asked_in(self.kept[0][1].prompt))[:_TITLE] if self.kept else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWords:
    """The fields of a turn that are never queried: one column holds them as JSON."""

    prompt: str
    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    seed: int | None = None
    exact: bool = False
    provenance: dict[str, Any] | None = None
    told: tuple[Part, ...] = ()
    tokens: bytes | None = None  # four bytes each
    tokens_of: str | None = None  # the model file they hold for
    reasoning: str = ""
    by: str = ""
    instruction: str = ""

    @classmethod
    def of(cls, turn: Turn) -> TurnWords:
        """Return the fields of a turn, without log-probabilities, which take the most room."""
        completion = turn.completion
        record, ids = completion.provenance, completion.token_ids
        return cls(
            prompt=turn.prompt,
            by=turn.by,
            instruction=turn.instruction,
            provenance=record.to_json() if record is not None else None,
            told=tuple(map(_without_secrets, turn.parts)),
            tokens=None if ids is None else struct.pack(f"<{len(ids)}i", *ids),
            **{name: getattr(completion, name) for name in _OF_COMPLETION},
        )

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        numbers = (*astuple(self.usage), self.seed or 0)
        if not all(0 <= number < _END_OF_TIME for number in numbers):
            raise ValueError(f"there is a number out of range among {numbers}")
        if len(self.tokens or b"") % _TOKEN_SIZE or min(self.token_ids or (0,)) < 0:
            raise ValueError("the stored tokens are invalid")

    @property
    def token_ids(self) -> tuple[int, ...] | None:
        """The tokens of the answer."""
        if self.tokens is None:
            return None
        return struct.unpack(f"<{len(self.tokens) // _TOKEN_SIZE}i", self.tokens)

    @property
    def completion(self) -> Completion:
        """The answer."""
        return Completion(
            provenance=_provenance(self.provenance),
            token_ids=self.token_ids,
            **{name: getattr(self, name) for name in _OF_COMPLETION},
        )


def _provenance(record: dict[str, Any] | None) -> Provenance | None:
    from jupyter_llm.engine.provenance import Provenance

    try:
        return Provenance.from_json(record) if record is not None else None
    except ProvenanceError as error:
        logger.debug("The record of a turn is damaged: %s", error)
        return None


def origin_of(origin: Hashable) -> Origin | None:
    """Return the cell and the number of a prompt, if they identify it."""
    match origin:
        case (str() as cell, int() as number):
            return cell, number
        case _:
            return None


class StoredChats:
    """The chats of one notebook, through a connection that is open for a moment.

    Two kernels of a notebook may give turns the same number, so the time identifies a turn. Turns
    after a removed one follow the turn before it only if no other turn has its number.
    """

    def __init__(self, path: Path, connection: Connection) -> None:
        self.connection = connection
        self.notebook = path_key(path)

    def load(self) -> dict[str, SavedChat]:
        """Return the chats by name, as any kernel wrote them last, without empty ones."""
        rows = self._run(
            "SELECT id, name, state, num_dropped FROM chats WHERE notebook = ? ORDER BY id",
            self.notebook,
        )
        chats, num_lost = [], 0
        for chat, *row in rows.fetchall():
            saved = _chat(row)
            turns = list(map(_turn, self._run(_TURNS, chat)))
            num_lost += turns.count(None) if saved is not None else len(turns)
            if saved is not None:
                chats.append(replace(saved, turns=tuple(filter(None, turns))))
        if num_lost:
            check(self.connection)  # perhaps there is more that is not as it should be
            logger.warning(
                "%d of the turns of %s could not be read, as they are damaged. The rest is there.",
                num_lost,
                os.fsdecode(self.notebook),
            )
        return {chat.name: chat for chat in chats if chat != SavedChat(name=chat.name)}

    def keep(self, chat: str, turn: Turn) -> None:
        """Store a turn; it overwrites the turn of the same prompt in the same cell."""
        words = erasable(packed(TurnWords.of(turn)))
        cell, prompt_of_cell = origin_of(turn.origin) or (None, None)
        self._run(
            """INSERT INTO turns
                (chat, number, parent, finished_at, cell, prompt_of_cell, size, words)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (chat, cell, prompt_of_cell) DO UPDATE SET
                number = excluded.number, parent = excluded.parent, size = excluded.size,
                finished_at = excluded.finished_at, words = excluded.words""",
            *(self._made(chat), turn.number, turn.parent, turn.finished_at),
            *(None if cell is None else _bytes(cell), prompt_of_cell, len(words), words),
        )
        self._shrink()

    def describe(self, chat: str, state: ChatState) -> None:
        """Store the state of a chat."""
        if state == ChatState():
            self._run("UPDATE chats SET state = NULL WHERE id = ?", self._id(chat))
            self._leave_out_if_empty(chat)
        else:
            words = erasable(packed(state))
            statement = "UPDATE chats SET state = ? WHERE id = ? AND state IS NOT ?"
            self._run(statement, words, self._made(chat), words)

    def forget(self, chat: str, origins: Iterable[Origin]) -> None:
        """Forget the turns of some cells."""
        for cell, prompt_of_cell in origins:
            row = self._run(
                "SELECT id, number, parent FROM turns"
                " WHERE chat = ? AND cell = ? AND prompt_of_cell = ?",
                *(self._id(chat), _bytes(cell), prompt_of_cell),
            ).fetchone()
            if row is not None:
                self._run("DELETE FROM turns WHERE id = ?", row[0])
                self._join(chat, number=row[1], parent=row[2])

    def release(self, chat: str, origins: Iterable[Origin]) -> None:
        """Take the turns of some cells from their cells."""
        for cell, prompt_of_cell in origins:
            self._run(
                "UPDATE turns SET cell = NULL, prompt_of_cell = NULL"
                " WHERE chat = ? AND cell = ? AND prompt_of_cell = ?",
                *(self._id(chat), _bytes(cell), prompt_of_cell),
            )

    def remove(self, chat: str, number: int, parent: int, finished_at: float | None) -> None:
        """Remove a turn. Without a time nothing is removed: the prompt never had an answer."""
        row = self._run(
            "SELECT id, parent FROM turns WHERE chat = ? AND finished_at = ?",
            *(self._id(chat), finished_at),
        ).fetchone()
        if row is not None:
            self._run("DELETE FROM turns WHERE id = ?", row[0])
            parent = row[1]
        self._join(chat, number=number, parent=parent)

    def clear(self, chat: str | None) -> None:
        """Forget a chat, or all of them."""
        name = None if chat is None else _bytes(chat)
        statement = "DELETE FROM chats WHERE notebook = ? AND name = coalesce(?, name)"
        self._run(statement, self.notebook, name)

    def rename(self, chat: str, new_name: str) -> None:
        """Rename a chat, unless another kernel has stored turns under the new name."""
        self._run(
            "DELETE FROM chats WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM turns WHERE chat = chats.id)",
            self._id(new_name),
        )
        statement = "UPDATE OR IGNORE chats SET name = ? WHERE id = ?"
        self._run(statement, _bytes(new_name), self._id(chat))

    def move(self, path: Path) -> None:
        """Move the chats to another path; chats stored for that path are replaced."""
        target = path_key(path)
        if target != self.notebook:
            self._run("DELETE FROM chats WHERE notebook = ?", target)
            self._run("UPDATE chats SET notebook = ? WHERE notebook = ?", target, self.notebook)

    def _run(self, statement: str, *values: object) -> Cursor:
        return self.connection.execute(statement, values)

    def _id(self, chat: str) -> int | None:
        row = self._run(
            "SELECT id FROM chats WHERE notebook = ? AND name = ?", self.notebook, _bytes(chat)
        ).fetchone()
        return row[0] if row is not None else None

    def _made(self, chat: str) -> int | None:
        """Return the id of a chat, and add the chat if necessary."""
        statement = "INSERT OR IGNORE INTO chats (notebook, name) VALUES (?, ?)"
        self._run(statement, self.notebook, _bytes(chat))
        return self._id(chat)

    def _join(self, chat: str, *, number: int, parent: int) -> None:
        """Let the turns after a removed one follow the turn before it."""
        self._run(
            "UPDATE turns SET parent = ?3 WHERE chat = ?1 AND parent = ?2 AND NOT EXISTS"
            " (SELECT 1 FROM turns WHERE chat = ?1 AND number = ?2)",
            *(self._id(chat), number, parent),
        )
        self._leave_out_if_empty(chat)

    def _leave_out_if_empty(self, chat: str) -> None:
        self._run(
            "DELETE FROM chats WHERE id = ? AND state IS NULL AND num_dropped = 0"
            " AND NOT EXISTS (SELECT 1 FROM turns WHERE chat = chats.id)",
            self._id(chat),
        )

    def _shrink(self) -> None:
        """Remove the oldest turns of a notebook that takes too much room, down to 3/4 of it."""
        turns = self._run(
            "SELECT turns.id, chat, size FROM turns JOIN chats ON chats.id = chat"
            " WHERE notebook = ? ORDER BY finished_at, turns.id",
            self.notebook,
        ).fetchall()
        excess = sum(size for *_, size in turns) - MAX_BYTES
        if excess <= 0:
            return
        excess += MAX_BYTES // 4
        for turn, chat, size in turns:
            if excess <= 0:
                break
            self._run("DELETE FROM turns WHERE id = ?", turn)
            self._run("UPDATE chats SET num_dropped = num_dropped + 1 WHERE id = ?", chat)
            excess -= size
        _tell_full(self.notebook)


_TURNS = """SELECT number, parent, finished_at, cell, prompt_of_cell, words
    FROM turns WHERE chat = ? ORDER BY id"""


@cache
def _tell_full(notebook: bytes) -> None:
    logger.warning(
        "The chats of %s outgrew the %.1f MB that are kept of them, so the oldest turns are gone "
        "from the disk. `%%llm /history --export FILE.md` copies the others.",
        Path(os.fsdecode(notebook)).name,
        MAX_BYTES / 1e6,
    )


def _chat(row: list[object]) -> SavedChat | None:
    """Read a row as a chat without its turns; None if it is damaged."""
    try:
        name, state, num_dropped = converted(row, tuple[bytes, bytes | None, int])
        kept = ChatState() if state is None else unpacked(state, ChatState)
        return SavedChat(name=_text(name), state=kept, num_dropped=num_dropped)
    except ValueError as error:
        logger.debug("A chat is damaged: %s", error)
        return None


def _turn(row: tuple[object, ...]) -> Turn | None:
    """Read a row as a turn; None if it is damaged."""
    try:
        number, parent, finished_at, cell, prompt_of_cell, data = converted(
            row, tuple[int, int, float, bytes | None, int | None, bytes]
        )
        words = unpacked(data, TurnWords)
        return Turn(
            prompt=words.prompt,
            completion=words.completion,
            origin=None if cell is None else (_text(cell), prompt_of_cell),
            by=words.by,
            instruction=words.instruction,
            parts=tuple(map(_of_an_earlier_kernel, words.told)),
            number=number,
            parent=parent,
            finished_at=finished_at if 0 <= finished_at < _END_OF_TIME else 0.0,
        )
    except ValueError as error:
        logger.debug("A turn is damaged: %s", error)
        return None


def _without_secrets(part: Part) -> Part:
    """Return a part with the cell as it was sent: the cell itself may hold a secret."""
    return part if part.cell is None else replace(part, cell=without_secrets(part.cell))


def _of_an_earlier_kernel(part: Part) -> Part:
    """Return a part whose cell does not count as one of this kernel's timeline."""
    if part.cell is None:
        return part
    return replace(part, cell=replace(part.cell, number=-abs(part.cell.number)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")
