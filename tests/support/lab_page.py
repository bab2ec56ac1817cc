"""A page of JupyterLab without a browser: speaks over a comm, and keeps what it hears.

In this process, and in a real kernel, on a subshell of its own:

    page = LabPage(Sessions(llm))
    page = KernelPage(kernel)
    page.hello()
    assert page.answer("list_models")["suited"] == []
    request = page.ask("complete", revision=1, place={…})
    assert page.reply(request) is None
"""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

from comm.base_comm import BaseComm
from support.front_end import TIMEOUT_S, Json, Listener
from support.kernel import Kernel

from jupyter_llm.frontends.comm.messages import PROTOCOL
from jupyter_llm.frontends.lab.presence import TARGET
from jupyter_llm.frontends.lab.target import Sessions


class Page(Listener):
    """What a page does and hears. All it hears is checked, and that nothing is missing."""

    def __init__(self, path: str = "notebook.ipynb") -> None:
        super().__init__()
        self.path = path
        self.is_closed = False  # by the kernel

    def close(self) -> None:
        """Close the comm."""
        raise NotImplementedError

    def hello(self, **changed: Any) -> Json:
        """Say who it is, and return the welcome."""
        known = {"client": self.name, "path": self.path}
        said = {"protocol": PROTOCOL, **known, **changed}
        request = f"{self.name}-hello{len(self.messages)}"
        self.tell({"type": "hello", "id": request, **said})
        return self.wait_for_kind("welcome", id=request)

    def wait_for_kind(self, kind: str, **fields: Any) -> Json:
        """Wait until a message of a kind, with these fields, has been heard; return the first."""
        return self.wait_for(lambda m: {**m, "type": kind, **fields} == m)

    def of_kind(self, kind: str) -> list[Json]:
        """The messages of a kind that were heard, oldest first."""
        return [message for message in self.messages if message.get("type") == kind]

    def hear(self, kind: str, data: Json) -> None:
        """Take in what came over the comm."""
        if kind == "comm_msg":
            self._hear(data)
        elif kind == "comm_close":
            with self._changed:
                self.is_closed = True
                self._changed.notify_all()

    def _take(self, message: Json) -> None:
        assert message["seq"] == len(self.heard), "something is missing"
        self.check(message.get("message", message))  # by the page's line, or by a chat's


class PageComm(BaseComm):
    """The kernel's end of a page's comm, in this process."""

    def __init__(self, page: Page) -> None:
        self._page = page
        super().__init__(target_name=TARGET, primary=False)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **_options: Any) -> None:
        if msg_type != "comm_open":
            self._page.hear(msg_type, data)


class LabPage(Page):
    """A page in this process."""

    def __init__(
        self, sessions: Sessions, path: str = "notebook.ipynb", sender: str | None = None
    ) -> None:
        super().__init__(path)
        self.comm = PageComm(self)
        sessions.open(self.comm, {"header": {"session": sender or self.name}})

    def tell(self, content: object) -> None:
        message = {"content": {"data": content}}
        thread = threading.Thread(target=self.comm.handle_msg, args=(message,))  # as a subshell's
        thread.start()
        thread.join()

    def close(self) -> None:
        self.comm.handle_close({"content": {"data": {}}})


class KernelPage(Page):
    """A page that is connected to a real kernel, in which jupyter_llm is loaded."""

    def __init__(
        self, kernel: Kernel, path: str = "notebook.ipynb", *, has_subshell: bool = True
    ) -> None:
        super().__init__(path)
        self.kernel = kernel
        self.comm_id = uuid4().hex
        self.subshell = kernel.create_subshell() if has_subshell else None
        kernel.listeners.append(self._hear_published)
        self._send("comm_open", target_name=TARGET, data={})

    def tell(self, content: object) -> None:
        self._send("comm_msg", data=content)

    def close(self) -> None:
        self._send("comm_close", data={})

    def _send(self, kind: str, **content: Any) -> None:
        self.kernel.tell(kind, {"comm_id": self.comm_id, **content}, subshell=self.subshell)

    def _hear_more(self) -> None:
        self.kernel.next_published(time.monotonic() + TIMEOUT_S)

    def _hear_published(self, message: Json) -> None:
        content = message["content"]
        if content.get("comm_id") == self.comm_id:
            self.hear(message["header"]["msg_type"], content["data"])
