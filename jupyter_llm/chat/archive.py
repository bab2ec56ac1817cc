"""The chats of this notebook on disk: written as they grow, restored when they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.branches import START, Branches
from jupyter_llm.chat.draft import Cut, Turn
from jupyter_llm.chat.store import SCHEMA, ChatState, SavedChat, StoredChats, origin_of
from jupyter_llm.common.database import store

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from pathlib import Path

    from jupyter_llm.notebook.cells.path import PathChange

_CELL_FLUSH_S = 0.2  # a cell that has ended is not held up for longer


class Archive:
    """Keeps the named chats of one notebook, as long as it is known which notebook that is.

    Nothing is read before a chat is asked for. Safe from any thread, and beside other kernels of
    the same notebook.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._waiting: dict[str, SavedChat] | None = None  # None: not read yet

    @property
    def path(self) -> Path | None:
        """The notebook's path, if it is known."""
        return self._path

    def open(self, path: Path | None) -> None:
        """Keep the chats of this notebook from here on; those of another stay where they are."""
        if path != self._path:
            self._path, self._waiting = path, None

    def follow(self, change: PathChange) -> None:
        """Go along with a notebook that was renamed, or turn to another one."""
        if change.is_rename and self._path is not None:
            self._write(lambda chats: chats.move(change.new))
            self._path = change.new
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

    def describe(
        self,
        name: str | None,
        *,
        system: str | None,
        cuts: Mapping[str, Cut],
        choices: Mapping[int, int],
    ) -> None:
        """Keep what a chat is beside its turns. One without a name is kept nowhere.

        Cells do not outlive a kernel, so of its conversations' cuts the numbers of turns are kept.
        """
        if name is not None:
            last_turns = {at: cut.last_turn for at, cut in cuts.items() if cut.last_turn}
            state = ChatState(system, last_turns, dict(choices))
            self._write(lambda chats: chats.describe(name, state))

    def keep(self, name: str | None, turn: Turn, *, is_kept: bool = True) -> None:
        """Keep a turn in place of an earlier one of its origin; or forget that one alone."""
        if not is_kept:
            self.forget(name, [turn.origin])
        elif name is not None:
            answer = turn.completion
            texts = (turn.prompt, answer.text, answer.reasoning, *(p.text for p in turn.told))
            size = sum(map(len, texts))
            self._write(lambda chats: chats.keep(name, turn), size=size)

    def remove(self, name: str | None, number: int, parent: int, turn: Turn | None) -> None:
        """Remove a turn from the disk, if there was one; what followed it follows its parent."""
        if name is not None:
            finished_at = turn.finished_at if turn is not None else None
            self._write(lambda chats: chats.remove(name, number, parent, finished_at))

    def forget(self, name: str | None, origins: Iterable[Hashable]) -> None:
        """Forget the turns of some cells."""
        known = [origin for origin in map(origin_of, origins) if origin is not None]
        if name is not None and known:
            self._write(lambda chats: chats.forget(name, known))

    def release(self, name: str | None, origins: Iterable[Hashable]) -> None:
        """Let the turns of some cells be no cell's any more, so that nothing replaces them."""
        known = [origin for origin in map(origin_of, origins) if origin is not None]
        if name is not None and known:
            self._write(lambda chats: chats.release(name, known))

    def clear(self, name: str | None = None) -> None:
        """Forget a chat, or all of them, and remove what they said from the disk."""
        if name is None:
            self._waiting = {}
        else:
            self.waiting.pop(name, None)
        self._write(lambda chats: chats.clear(name))

    def rename(self, name: str | None, new_name: str) -> None:
        """Keep a chat under another name from here on."""
        if name is not None:
            self._write(lambda chats: chats.rename(name, new_name))

    def flush(self) -> None:
        """Wait a moment until what was kept is on the disk."""
        if self._path is not None:
            store().flush(_CELL_FLUSH_S)

    def _load(self) -> dict[str, SavedChat]:
        path = self._path
        if path is None:
            return {}
        return store().read(SCHEMA, lambda connection: StoredChats.of(path, connection).load(), {})

    def _write(self, work: Callable[[StoredChats], object], *, size: int = 0) -> None:
        path = self._path
        if path is not None:
            store().write(
                SCHEMA, lambda connection: work(StoredChats.of(path, connection)), size=size
            )


def active_branch(chat: SavedChat) -> SavedChat:
    """A kept chat with the turns of its active branch alone."""
    branches = _branches(chat)
    turns = tuple(branches[number] for number in branches.path())
    return replace(chat, turns=turns, num_other_branches=branches.num_others)


def restored_turns(chat: SavedChat) -> Branches[Turn]:
    """The turns of a kept chat, with the numbers that they have from here on."""
    branches = _branches(chat)
    path = branches.path()
    cuts = {at: Cut(last_turn=last_turn) for at, last_turn in chat.state.cuts.items()}
    return branches.mapped(
        lambda number, turn: replace(
            turn,
            number=number,
            parent=branches.parent(number),
            cuts=cuts if number == path[-1] else {},
        )
    )


def _branches(chat: SavedChat) -> Branches[Turn]:
    """Kept turns as branches.

    A turn whose parent is not there, since it was dropped for want of room or never got to the
    disk, follows the last one from before that. Of turns with the same number, which two kernels
    have written, the later ones get another one.
    """
    branches: Branches[Turn] = Branches()
    known: list[int] = []  # the numbers as they were kept, in their order
    new: list[int] = []  # and as they are now
    for turn in sorted(chat.turns, key=lambda turn: turn.number):
        index = bisect_right(known, min(turn.parent, turn.number - 1))
        number = max(turn.number, branches.next_number)
        branches.add(turn, new[index - 1] if index else START, number)
        known.append(turn.number)
        new.append(number)
    branches.restore(chat.state.choices)
    return branches
