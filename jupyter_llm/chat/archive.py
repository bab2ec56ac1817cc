"""The chats of a notebook on the disk: written as they grow, restored on request."""

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
    """Stores the named chats of one notebook, once the path of the notebook is known.

    Nothing is read before a chat is asked for. Safe from any thread, and beside other kernels of
    the same notebook.
    """

    def __init__(self) -> None:
        self.path: Path | None = None  # the notebook's, if it is known
        self._waiting: dict[str, SavedChat] | None = None  # None: not read yet

    def open(self, path: Path | None) -> None:
        """Store the chats of this notebook from here on; those of another notebook stay stored."""
        if path != self.path:
            self.path, self._waiting = path, None

    def follow(self, change: PathChange) -> None:
        """Keep the chats of a notebook that was renamed, or open another notebook."""
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
        """Remove a chat of an earlier kernel from `waiting`, and return it."""
        return self.waiting.pop(name, None)

    def write(self, work: Callable[..., object], name: str | None, *args: Any) -> None:
        """Call a method of `StoredChats` with a chat's name and `args`, in the background.

        Do nothing for a chat without a name, or if the notebook's path is unknown.
        """
        if name is not None:
            self._write(lambda chats: work(chats, name, *args))

    def clear(self, name: str | None = None) -> None:
        """Remove a chat, or all chats, also from the disk."""
        if name is None:
            self._waiting = {}
        else:
            self.waiting.pop(name, None)
        self._write(lambda chats: chats.clear(name))

    def flush(self) -> None:
        """Wait until everything is written. A cell that has ended has stored its turns."""
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
