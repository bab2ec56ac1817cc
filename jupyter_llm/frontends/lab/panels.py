"""The chats that a page shows beside its notebook, and what may be done with a notebook's chats."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import ChatNameError
from jupyter_llm.frontends.lab.messages import (
    ChatData,
    Chats,
    DeleteChat,
    ExportChat,
    Exported,
    ListChats,
    PanelClose,
    PanelMessage,
    PanelMessageBack,
    PanelOpen,
    RenameChat,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.frontends.comm.inbox import Inbox
    from jupyter_llm.frontends.comm.sync import KernelSide
    from jupyter_llm.frontends.lab.messages import FromLab
    from jupyter_llm.frontends.lab.session import Session


class Panels:
    """The chats that one page shows, each under an id of the page's, and the list of them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._panels: dict[str, _Panel] = {}

    def by_type(self) -> Mapping[type[FromLab], Callable[[Any], None]]:
        """What takes each kind of message."""
        return {
            PanelOpen: self._open,
            PanelMessage: self._hand_on,
            PanelClose: lambda message: self._shut(message.panel),
            ListChats: lambda message: self._answer(message, self._list),
            RenameChat: lambda message: self._answer(message, self._rename),
            DeleteChat: lambda message: self._answer(message, self._delete),
            ExportChat: lambda message: self._answer(message, self._export),
        }

    def close(self) -> None:
        """Show no chat any more; what is being written goes on."""
        for name in tuple(self._panels):
            self._shut(name)

    def _open(self, message: PanelOpen) -> None:
        self._shut(message.panel)
        panel = self._panels[message.panel] = _Panel(self._session, message.panel)
        self._session.work(message.id, partial(panel.open, message.chat))

    def _hand_on(self, message: PanelMessage) -> None:
        """Hand on what a chat's front end says; nobody waits for the answer of one that is shut."""
        if (panel := self._panels.get(message.panel)) is not None:
            panel.take(message.message)

    def _shut(self, name: str) -> None:
        if (panel := self._panels.pop(name, None)) is not None:
            panel.close()

    # The notebook's chats, on threads of their own: they may be on the disk

    def _answer(self, message: FromLab, reply: Callable[[Any], Chats | Exported]) -> None:
        self._session.work(message.id, partial(reply, message))

    def _list(self, message: FromLab) -> Chats:
        saved = self._session.llm.conversations.saved().values()
        return Chats(
            id=message.id,
            chats=[ChatData(name=c.name, num_turns=len(c.turns) + c.num_dropped) for c in saved],
        )

    def _rename(self, message: RenameChat) -> Chats:
        self._session.llm.conversations.rename(message.name, message.new_name)
        return self._list(message)

    def _delete(self, message: DeleteChat) -> Chats:
        self._session.llm.conversations.delete(message.name)
        return self._list(message)

    def _export(self, message: ExportChat) -> Exported:
        from jupyter_llm.chat.transcript import to_markdown

        saved = self._session.llm.conversations.saved()
        if message.name not in saved:
            raise ChatNameError(f"This notebook has no chat {message.name!r} with turns.")
        shown = {message.name: saved[message.name]}
        title = PurePosixPath(self._session.path).name or "Chats"
        return Exported(id=message.id, markdown=to_markdown(shown, title=title))


class _Panel:
    """One chat that is shown. It may have to be read first; what is said to it meanwhile waits."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._open_parts: tuple[KernelSide, Inbox] | None = None
        self._waiting: list[object] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def open(self, chat_name: str) -> None:
        """Begin to show a chat. May take its time."""
        from jupyter_llm.frontends.comm.asker import Asker
        from jupyter_llm.frontends.comm.inbox import Inbox
        from jupyter_llm.frontends.comm.sync import KernelSide
        from jupyter_llm.frontends.prompt.defaults import default_options

        chat = self._session.llm.chat(chat_name)
        options = replace(default_options(), continue_=True)
        with self._lock:
            if self._is_closed:
                return
            side = KernelSide(chat, options.context, self._send, lambda: None)
            inbox = Inbox(side, Asker(side, options))
            self._open_parts = side, inbox
            for content in self._waiting:
                inbox.take(content)
            self._waiting.clear()

    def take(self, content: object) -> None:
        """Do what a message of the chat's front end asks. Returns at once."""
        with self._lock:
            if self._open_parts is not None:
                self._open_parts[1].take(content)
            elif not self._is_closed:
                self._waiting.append(content)

    def close(self) -> None:
        """Show the chat no more."""
        with self._lock:
            self._is_closed = True
            opened, self._open_parts = self._open_parts, None
        if opened is not None:
            side, inbox = opened
            side.close()
            inbox.close()

    def _send(self, message: dict[str, Any]) -> None:
        self._session.outbox.put(PanelMessageBack(panel=self._name, message=message))
