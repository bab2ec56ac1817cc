"""The chats of this notebook on disk: written as they grow, restored when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.common.database import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jupyter_llm.chat.store import SavedChat, StoredChats
    from jupyter_llm.notebook.cells.path import PathChange

_CELL_FLUSH_S = 5.0  # a cell that has ended is held up for milliseconds, unless the disk is busy


class Archive:
    """Keeps the named chats of one notebook, as long as it is known which notebook that is.

    Nothing is read before a chat is asked for. Safe from any thread, and beside other kernels of
    the same notebook.
    """

    def __init__(self) -> None:
        self.path: Path | None = None  # the notebook's, if it is known
        self._waiting: dict[str, SavedChat] | None = None  # None: not read yet

    def open(self, path: Path | None) -> None:
        """Keep the chats of this notebook from here on; those of another stay where they are."""
        if path != self.path:
            self.path, self._waiting = path, None

    def follow(self, change: PathChange) -> None:
        """Go along with a notebook that was renamed, or turn to another one."""
        if change.is_rename and self.path is not None:
            self._write(lambda chats: chats.move(change.new))
            self.path = change.new
        else:
            self.open(change.new)

    @property
    def waiting(self) -> dict[str, SavedChat]:
        """The chats of earlier kernels that nobody has asked for in this one."""
        if self._waiting is None:
            self._waiting = self._load()
        return self._waiting

    def take(self, name: str) -> SavedChat | None:
        """Take out a chat of an earlier kernel."""
        return self.waiting.pop(name, None)

    def write(self, work: Callable[..., object], name: str | None, *args: Any) -> None:
        """Let a method of `StoredChats` do something with a chat; nothing with a nameless one."""
        if name is not None:
            self._write(lambda chats: work(chats, name, *args))

    def clear(self, name: str | None = None) -> None:
        """Forget a chat, or all of them, and remove what they said from the disk."""
        if name is None:
            self._waiting = {}
        else:
            self.waiting.pop(name, None)
        self._write(lambda chats: chats.clear(name))

    def flush(self) -> None:
        """Wait until what was kept is on the disk: whoever sees a cell's end may count on it."""
        if self.path is not None:
            store().flush(_CELL_FLUSH_S)

    def _load(self) -> dict[str, SavedChat]:
        from jupyter_llm.chat.store import SCHEMA, StoredChats  # only now: `llm` is light to import

        path = self.path
        if path is None:
            return {}
        return store().read(SCHEMA, lambda connection: StoredChats(path, connection).load(), {})

    def _write(self, work: Callable[[StoredChats], object]) -> None:
        from jupyter_llm.chat.store import SCHEMA, StoredChats

        path = self.path
        if path is not None:
            store().write(SCHEMA, lambda connection: work(StoredChats(path, connection)))
