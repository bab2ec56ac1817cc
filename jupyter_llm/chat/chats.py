"""The chats of a notebook, by their names."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.common.controls import one_line
from jupyter_llm.errors import ChatNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.chat.archive import Archive
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.search import FoundTurn
    from jupyter_llm.chat.store import SavedChat
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.notebook.cells.timeline import Timeline


class Chats:
    """The named chats with the current model; those on the disk are restored on request.

    Safe from any thread.
    """

    def __init__(
        self,
        current: CurrentEngine,
        timeline: Timeline,
        answers: AnswerLog,
        archive: Archive,
    ) -> None:
        self._current = current
        self._timeline = timeline
        self._answers = answers
        self._archive = archive
        self._chats: dict[str, Chat] = {}
        self._lock = threading.Lock()

    def get(self, name: str | None = None, *, system: str | None = None) -> Chat:
        """Return the chat of a name, or without a name a new chat."""
        if name is None:
            return self._new(None, system)
        with self._lock:
            chat = self._chats.get(name)
            if chat is None:
                chat = self._chats[name] = self._new(name, None)
                if (kept := self._archive.take(name)) is not None:
                    chat.restore(kept)
        if system is not None:
            chat.system = system
        return chat

    def peek(self, name: str) -> Chat:
        """Return the chat of a name, or an empty one if nobody asked for it; reads no disk."""
        return self._chats.get(name) or self._new(name, None)

    def _new(self, name: str | None, system: str | None) -> Chat:
        from jupyter_llm.chat.conversation import Chat  # only now: `llm` is light to import

        seams = self._current, self._timeline, self._answers, self._archive
        return Chat(*seams, name, system=system)

    def __iter__(self) -> Iterator[Chat]:
        """Iterate over the named `Chat`s of this kernel; a renamed chat comes last."""
        return iter(list(self._chats.values()))

    def saved(self) -> dict[str, SavedChat]:
        """Return the active branches of this notebook's chats, also of earlier kernels."""
        from jupyter_llm.chat.branches import Branches

        def active(chat: SavedChat) -> SavedChat:
            branches = Branches(chat)
            others = branches.num_others
            return replace(chat, turns=branches.turns(), num_other_branches=others)

        present = {chat.name or "": chat.saved() for chat in self if chat.turns}
        waiting = {name: active(chat) for name, chat in self._archive.waiting.items()}
        return {**waiting, **present}

    def search(self, text: str) -> list[FoundTurn]:
        """Return the turns of `saved` chats that have all words of a text, the newest first.

        Turns that may not be stored are not searched.
        """
        from jupyter_llm.chat.search import search

        return search(self.saved().values(), text)

    def rename(self, name: str, new_name: str) -> None:
        """Give a chat another name, here and on the disk.

        Raises
        ------
        ChatNameError
            There is no such chat, or another one with turns has that name already.
        """
        chat, new_name = self._known(name), one_line(new_name)
        if not new_name:
            raise ChatNameError("A chat needs a name of at least one letter.")
        if new_name == name:
            return
        if new_name in self.saved():
            raise ChatNameError(f"There is a chat {new_name!r} already. Choose another name.")
        with self._lock:
            empty = self._chats.pop(new_name, None)
            self._chats.pop(name, None)
            if empty is not None:  # whoever holds it must not write into the other
                self._chats[name] = empty
                empty.rename(name)
            self._chats[new_name] = chat
            chat.rename(new_name)

    def delete(self, name: str) -> None:
        """Forget a chat by its name for good, with its prompts and its system text.

        Raises
        ------
        ChatNameError
            There is no such chat.
        """
        chat = self._known(name)
        chat.system = None
        self.forget(chat)

    def _known(self, name: str) -> Chat:
        if name not in self._chats and name not in self._archive.waiting:
            raise ChatNameError(f"This notebook has no chat {name!r}.")
        return self.get(name)

    def forget(self, chat: Chat) -> None:
        """Forget a chat for good, with its prompts.

        Models cannot forget one chat alone, so they forget everything that they have read.
        """
        chat.reset(with_prompts=True)
        self._current.forget()

    def clear(self) -> None:
        """Forget all chats of this notebook, their prompts, and what models have read of them.

        None of it stays on the disk.
        """
        for chat in self:
            chat.reset()
        self._archive.clear()
        self._answers.clear()
        self._current.forget()
