"""The chats that a page shows beside its notebook, and what may be done with a notebook's chats."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from msgspec import convert, to_builtins

from jupyter_llm.errors import ChatNameError
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.chat_line import ChatLine
from jupyter_llm.frontends.comm.jobs import Job, said_of
from jupyter_llm.frontends.comm.line import Part
from jupyter_llm.frontends.comm.messages import ChatData
from jupyter_llm.frontends.lab.session import Session

_MOST_FOUND = 100  # a list that nobody reads to its end


class Panels(Part):
    """The chats that one page shows, each under an id of the page's, and the list of them.

    A chat may have to be read first; what is said to it meanwhile waits.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._lines: dict[str, ChatLine | Exception | list[object]] = {}
        self._lock = threading.RLock()  # guards who is there, and the order of what is said
        session.take_for_panel = self._take

    def close(self) -> None:
        """Show no chat any more; what is being written goes on."""
        for panel in tuple(self._lines):
            self.hide_chat(panel)

    @call("later")
    def show_chat(self, request: str, /, panel_id: str, chat: str) -> None:
        """Show a chat by its name, under an id for the messages to and from the chat."""
        self.hide_chat(panel_id)
        waiting = self._lines[panel_id] = []
        work = partial(self._show, chat, panel_id, waiting)
        self._line.work(request, work, "show_chat")

    def _show(self, name: str, panel: str, waiting: list[object], _job: Job) -> None:
        """Begin to show a chat. May take its time."""
        from jupyter_llm.frontends.comm.chat_line import ChatLine
        from jupyter_llm.frontends.prompt.options import default_options

        try:
            chat, put = self._llm.chat(name), self._put
            options = replace(default_options(), continue_=True)
        except Exception as error:
            with self._lock:
                if self._lines.get(panel) is waiting:
                    self._lines[panel] = error
                    for content in waiting:
                        self._take(panel, content)
            raise
        with self._lock:
            if self._lines.get(panel) is waiting:  # it was not shut meanwhile
                send = lambda content: put({"panel": panel, "message": content})  # noqa: E731
                line = ChatLine(chat, options, send)
                self._lines[panel] = line
                for content in waiting:
                    line.take(content)

    def _take(self, panel: str, content: object) -> None:
        """Hand on what a chat's front end says; nobody waits for the answer of one that is shut."""
        with self._lock:
            line = self._lines.get(panel)
            if isinstance(line, list):
                line.append(content)
            elif isinstance(line, Exception):
                self._refuse(panel, content, line)
            elif line is not None:
                line.take(content)

    def _refuse(self, panel: str, content: object, error: Exception) -> None:
        """Answer a request of a chat that cannot be read with the reason."""
        request_id = content.get("id") if isinstance(content, dict) else None
        message = messages.ErrorMessage(id=request_id, text=said_of(error))
        self._put({"panel": panel, "message": {**to_builtins(message), "seq": 0}})

    @call("at once")
    def hide_chat(self, panel_id: str) -> None:
        """Show the chat under an id no longer."""
        with self._lock:
            line = self._lines.pop(panel_id, None)
        if line is not None and not isinstance(line, list | Exception):
            line.close()

    # The notebook's chats, on threads: they may be on the disk

    @call("on a thread")
    def list_chats(self, words: str = "") -> messages.ChatList:
        """Return the chats of the notebook, and the turns that contain the words."""
        chats = self._llm.chats
        found = chats.search(words) if words else []
        return messages.ChatList(
            chats=[convert(c, ChatData, from_attributes=True) for c in chats.saved().values()],
            found=found[:_MOST_FOUND],
        )

    @call("on a thread")
    def rename_chat(self, name: str, new_name: str) -> messages.ChatList:
        """Rename a chat."""
        self._llm.chats.rename(name, new_name)
        return self.list_chats()

    @call("on a thread")
    def delete_chat(self, name: str) -> messages.ChatList:
        """Delete a chat for good."""
        from jupyter_llm.frontends.comm.live_chat import live

        for chat in self._llm.chats:
            if chat.name == name:
                live(chat).discard()
        self._llm.chats.delete(name)
        return self.list_chats()

    @call("on a thread")
    def export_chat(self, name: str) -> str:
        """Return a chat as Markdown."""
        from jupyter_llm.chat.transcript import to_markdown

        saved = self._llm.chats.saved()
        if name not in saved:
            raise ChatNameError(f"This notebook has no chat {name!r} with turns.")
        title = PurePosixPath(self._session.path).name or "Chats"
        return to_markdown({name: saved[name]}, title=title)
