"""Keeps the chats of a notebook on disk, so that they are there after a restart.

One file a notebook, named after its path: `FOLDER/SHA256-OF-THE-PATH.jsonl`. Its first line says
what it is and for which notebook, every other one an entry of `saved.py`. Turns are appended as
they come; now and then the file is written anew without what no longer counts.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jupyter_llm.chat.saved import (
    ChatChanged,
    ChatCleared,
    Entry,
    Json,
    Origin,
    SavedChat,
    SavedTurn,
    TurnForgotten,
    TurnRemoved,
    fold,
    within,
)
from jupyter_llm.chat.saved_json import (
    DamagedRecordError,
    decode,
    encode,
    from_line,
    to_line,
)
from jupyter_llm.common.line_file import LineFile, Lines
from jupyter_llm.notebook.cells.path import absolute

logger = logging.getLogger(__name__)

_KIND = "history"
_VERSION = 1
_MAX_BYTES = 32 << 20  # a notebook; a long turn with its tokens takes 20 kB
_MAX_LINE = 8 << 20  # what the largest context windows hold, several times
_MIN_REWRITE = 1 << 20
_FLUSH_S = 2.0


def history_folder() -> Path:
    """Return where histories are kept; it need not exist."""
    from platformdirs import user_data_path

    return user_data_path("jupyter_llm") / "history"


def history_file(notebook: Path, folder: Path | None = None) -> Path:
    """Return the file that holds a notebook's history, if there is one."""
    name = sha256(os.fsencode(absolute(notebook))).hexdigest()[:32]
    return (folder or history_folder()) / f"{name}.jsonl"


@dataclass(frozen=True, slots=True)
class _Place:
    """A notebook and the file its chats are in."""

    notebook: str
    file: LineFile

    @property
    def header(self) -> bytes:
        return to_line({"jupyter_llm": _KIND, "version": _VERSION, "path": self.notebook})

    def is_foreign(self, found: Lines) -> bool:
        """Tell whether what was found is another notebook's. Without a header it is ours.

        Raises
        ------
        OSError
            It is of a format that we do not know.
        """
        header = _header(found)
        if header is None:
            return False
        if header.get("version") != _VERSION:
            raise OSError(f"{self.file.path} was written by another version of jupyter_llm")
        return header.get("path") != self.notebook


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """Write the file anew, under the name of a notebook that was moved if one is given."""

    path: Path | None = None


class History:
    """The chats of one notebook, as they are kept on disk.

    What is recorded is on its way when the call returns, and on disk a millisecond later: the
    thread "jupyter-llm-history" writes, and ends when it has nothing to do; `flush` waits for it.
    Trouble with the disk is logged once as a warning, never raised, and what could not be written
    is tried again with the next turn. In a forked child nothing is written. Safe from any thread,
    and beside other kernels of the same notebook.

    The file takes about `max_bytes`; the oldest turns go first.
    """

    def __init__(
        self, path: Path, *, folder: Path | None = None, max_bytes: int = _MAX_BYTES
    ) -> None:
        self._folder = folder or history_folder()
        self._max_bytes = max_bytes
        self._max_line = min(_MAX_LINE, max_bytes)
        self._pid = os.getpid()
        self._is_told: set[str] = set()
        self._changed = threading.Condition()  # guards all below
        self._path = path
        self._pending: deque[bytes | _Rewrite] = deque()
        self._writer: threading.Thread | None = None
        self._described: dict[str, ChatChanged] = {}  # what the file says, as far as we know
        # The writer's own:
        self._place = self._place_of(path)
        self._is_checked = False
        self._rewrite_at = self._next_rewrite(0)
        atexit.register(self.flush)

    @property
    def path(self) -> Path:
        """The notebook's path."""
        return self._path

    @property
    def file(self) -> Path:
        """Where the chats are kept."""
        return history_file(self._path, self._folder)

    def load(self) -> dict[str, SavedChat]:
        """Return the chats by name, as they were last recorded by any kernel."""
        self.flush()
        place = self._place
        try:
            found = place.file.read()
            chats = self._chats(place, found)
        except OSError as error:
            self._tell_trouble(error)
            return {}
        if self._is_forked:
            return chats
        with self._changed:
            num_current = sum(len(chat.turns) for chat in chats.values())
            num_bytes = found.size * num_current // max(len(found.lines), 1)
            self._rewrite_at = self._next_rewrite(num_bytes)
            self._described = {
                name: ChatChanged(name, chat.system, chat.state) for name, chat in chats.items()
            }
        return chats

    def record(self, turn: SavedTurn, *, is_kept: bool = True) -> None:
        """Keep a turn; it takes the place of an earlier one of the same chat and origin.

        With `is_kept=False` nothing of it is kept, and the turn whose place it took is forgotten.
        """
        if is_kept:
            self._append(turn)
        elif turn.origin is not None:
            self.forget(turn.chat, turn.origin)

    def forget(self, chat: str, origin: Origin) -> None:
        """Forget the turn of a cell."""
        self._append(TurnForgotten(chat, origin))

    def remove(self, removed: TurnRemoved) -> None:
        """Forget a turn, and remove what it said from the disk."""
        self._append(removed, _Rewrite())

    def describe(self, chat: str, *, system: str | None, state: Json = None) -> None:
        """Keep a chat's system text, and JSON that only the chat understands, if they changed."""
        if self._is_forked:
            return
        change = ChatChanged(chat, system, state)
        with self._changed:
            if self._described.get(chat) != change:
                self._append(change)
                self._described[chat] = change

    def clear(self, chat: str | None = None) -> None:
        """Forget a chat, or all of them, and remove what they said from the disk."""
        if self._is_forked:
            return
        with self._changed:
            if chat is None:
                self._described.clear()
            else:
                self._described.pop(chat, None)
            self._append(ChatCleared(chat), _Rewrite())

    def moved(self, path: Path) -> None:
        """Follow the notebook to another path; what was kept for that one before is replaced."""
        if self._is_forked:
            return
        with self._changed:
            self._path = path
            self._put(_Rewrite(path))

    def flush(self, timeout_s: float = _FLUSH_S) -> bool:
        """Wait until all is written, and return whether it is."""
        if self._is_forked:
            return True
        with self._changed:
            if self._pending and self._writer is None:
                self._start_writer()  # the disk may be well again
            is_idle = self._changed.wait_for(lambda: self._writer is None, timeout_s)
            return is_idle and not self._pending

    def close(self) -> None:
        """Write what is left; for a history that is not needed until the process ends."""
        self.flush()
        atexit.unregister(self.flush)

    @property
    def _is_forked(self) -> bool:
        return self._pid != os.getpid()

    def _place_of(self, path: Path) -> _Place:
        file = history_file(path, self._folder)
        size = 4 * self._max_bytes
        return _Place(absolute(path), LineFile(file, max_line=self._max_line, max_size=size))

    # What is to be written

    def _append(self, entry: Entry, *more: _Rewrite) -> None:
        line = encode(entry)
        if len(line) > self._max_line:
            self._tell_once(
                "long",
                "A turn of %.1f MB is more than can be kept of one; it will be gone after a "
                "restart.",
                len(line) / 1e6,
            )
            return
        self._put(line, *more)

    def _put(self, *tasks: bytes | _Rewrite) -> None:
        if self._is_forked:
            return
        with self._changed:
            self._pending.extend(tasks)
            self._trim_pending()
            if self._writer is None:
                self._start_writer()

    def _start_writer(self) -> None:
        self._writer = threading.Thread(
            target=self._write_pending, name="jupyter-llm-history", daemon=True
        )
        try:
            self._writer.start()
        except RuntimeError:  # the interpreter is shutting down, or has no room
            self._write_pending()

    # The writer

    def _write_pending(self) -> None:
        while True:
            with self._changed:
                tasks = self._next_tasks()
                if not tasks:
                    self._stop_writing()
                    return
            try:
                self._carry_out(tasks)
            except OSError as error:
                self._tell_trouble(error)
                with self._changed:
                    self._pending.extendleft(reversed(tasks))
                    self._trim_pending()
                    self._stop_writing()
                return

    def _next_tasks(self) -> list[bytes | _Rewrite]:
        """Take a rewrite, or all the lines before the next one."""
        tasks: list[bytes | _Rewrite] = []
        while self._pending and not isinstance(self._pending[0], _Rewrite):
            tasks.append(self._pending.popleft())
        if not tasks and self._pending:
            tasks.append(self._pending.popleft())
        return tasks

    def _trim_pending(self) -> None:
        """Forget the oldest lines that wait for a disk that does not take them."""
        lines = [task for task in self._pending if isinstance(task, bytes)]
        excess = sum(map(len, lines)) - self._max_line
        for line in lines:
            if excess <= 0:
                return
            self._pending.remove(line)
            excess -= len(line)

    def _stop_writing(self) -> None:
        self._writer = None
        self._changed.notify_all()

    def _carry_out(self, tasks: Sequence[bytes | _Rewrite]) -> None:
        match tasks:
            case [_Rewrite(None)]:
                self._rewrite(self._place)
            case [_Rewrite(Path() as path)]:
                place = self._place_of(path)
                self._rewrite(place)
                self._place, self._is_checked = place, True
            case _:
                self._check()
                lines = [task for task in tasks if isinstance(task, bytes)]
                size = self._place.file.append(lines, header=self._place.header)
                if size >= self._rewrite_at:
                    self._shrink()

    def _check(self) -> None:
        """Do not write into a file that is not this notebook's, or of an unknown format."""
        if self._is_checked:
            return
        place = self._place
        if place.is_foreign(place.file.read()):
            place.file.rewrite(lambda _: [place.header])
        self._is_checked = True

    def _shrink(self) -> None:
        try:
            self._rewrite(self._place)
        except OSError as error:  # the lines are there, and can be put in order later
            logger.debug("%s cannot be written anew now: %s", self._place.file.path, error)
            self._rewrite_at += _MIN_REWRITE

    def _rewrite(self, target: _Place) -> None:
        """Write all that counts anew, to where the notebook is now."""
        place = self._place
        size = place.file.rewrite(
            lambda found: self._current(place, found, target.header), target=target.file.path
        )
        self._rewrite_at = self._next_rewrite(size)

    def _next_rewrite(self, num_bytes: int) -> int:
        """Return from which size on it pays to look for what no longer counts."""
        return min(max(_MIN_REWRITE, 2 * num_bytes), self._max_bytes)

    def _current(self, place: _Place, found: Lines, header: bytes) -> list[bytes]:
        chats = self._chats(place, found)
        kept = within(chats, self._max_bytes, lambda turn: len(encode(turn)))
        if kept != chats:
            self._tell_once(
                "full",
                "The chats of %s outgrew the %.1f MB that are kept of them, so the oldest turns "
                "are gone from the disk. `%%llm /history --export FILE.md` copies the others.",
                self._path.name,
                self._max_bytes / 1e6,
            )
        entries = [encode(entry) for chat in kept.values() for entry in chat.entries()]
        return [header, *entries] if entries else []

    # What is read

    def _chats(self, place: _Place, found: Lines) -> dict[str, SavedChat]:
        if place.is_foreign(found):
            return {}
        num_damaged = found.num_skipped
        entries: list[Entry] = []
        for line in found.lines[_header(found) is not None :]:
            try:
                entries.append(decode(line))
            except DamagedRecordError as error:
                logger.debug("A line of %s is damaged: %s", place.file.path, error)
                num_damaged += 1
        if num_damaged or found.is_cut:
            self._tell_once(
                "damaged",
                "%s is damaged: %s could not be read. The rest of the chats is there.",
                place.file.path,
                "its beginning" if found.is_cut else f"{num_damaged} of its lines",
            )
        return fold(entries)

    # What is said

    def _tell_trouble(self, error: OSError) -> None:
        self._tell_once(
            "trouble",
            "The chats of %s cannot be kept in %s (%s), so they will be gone after a restart. "
            "Make room there, or make the folder writable.",
            self._path.name,
            self._folder,
            error,
        )

    def _tell_once(self, what: str, message: str, *values: object) -> None:
        level = logging.DEBUG if what in self._is_told else logging.WARNING
        self._is_told.add(what)
        logger.log(level, message, *values)


def _header(found: Lines) -> dict[str, Any] | None:
    if not found.lines:
        return None
    try:
        record = from_line(found.lines[0])
    except DamagedRecordError:
        return None
    return record if record.get("jupyter_llm") == _KIND else None
