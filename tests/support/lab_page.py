"""A page of JupyterLab without a browser: speaks over a comm, and keeps what it hears.

In this process, and in a real kernel, on a subshell of its own:

    page = LabPage(Sessions(llm))
    page = KernelPage(kernel)
    page.hello()
    assert page.answer("list-models")["models"] == []
    request = page.ask("complete", revision=1, cell="a", …)
    page.wait_for("completed", id=request)
"""

from __future__ import annotations

import threading
import time
from itertools import count
from typing import Any
from uuid import uuid4

from comm.base_comm import BaseComm
from support.front_end import TIMEOUT_S, Json, fits, without_seq
from support.kernel import Kernel

from jupyter_llm.frontends.comm.messages import PROTOCOL, ToFrontEnd
from jupyter_llm.frontends.lab.presence import TARGET
from jupyter_llm.frontends.lab.target import Sessions

# These say how far a request is; see labextension/src/connection/requests.ts.
NEWS = frozenset({"ack", "progress", "completion"})


class Page:
    """What a page does and hears. All it hears is checked, and that nothing is missing."""

    _numbers = count(1)

    def __init__(self, path: str = "notebook.ipynb") -> None:
        self.client = f"page{next(self._numbers)}"
        self.path = path
        self.messages: list[Json] = []
        self.is_closed = False  # by the kernel
        self._wrong: list[str] = []
        self._ids = count(1)
        self._changed = threading.Condition()

    # What it does

    def tell(self, content: object) -> None:
        """Send anything, and expect nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the comm."""
        raise NotImplementedError

    def _hear_more(self) -> None:
        """Wait for a while for a message."""
        raise NotImplementedError

    def ask(self, kind: str, /, **content: Any) -> str:
        """Send a message and return its id."""
        request = f"{self.client}-{next(self._ids)}"
        self.tell({"type": kind, "id": request, **content})
        return request

    def hello(self, **changed: Any) -> Json:
        """Say who it is, and return the welcome."""
        known = {"client": self.client, "path": self.path}
        said = {"protocol": PROTOCOL, **known, **changed}
        return self.wait_for("welcome", id=self.ask("hello", **said))

    def answer(self, kind: str, /, **content: Any) -> Json:
        """Ask something and return what answers it, an error too."""
        request = self.ask(kind, **content)
        return self._wait(lambda m: m.get("id") == request and m["type"] not in NEWS)

    def wait_for(self, kind: str, **fields: Any) -> Json:
        """Wait until a message of a kind, with these fields, has been heard; return the first."""
        return self._wait(lambda m: {**m, "type": kind, **fields} == m)

    def wait_until(self, is_so: Any) -> None:
        """Wait until something is so, as far as this page can tell."""
        end = time.monotonic() + TIMEOUT_S
        with self._changed:
            while not is_so(self):
                if time.monotonic() > end:
                    raise AssertionError(f"It did not come to that. Heard: {self.messages[-20:]}")
                self._hear_more()
        assert not self._wrong, self._wrong

    def _wait(self, is_it: Any) -> Json:
        self.wait_until(lambda page: any(map(is_it, page.messages)))
        return next(filter(is_it, self.messages))

    # What it hears

    def heard(self, kind: str) -> list[Json]:
        """The messages of a kind, oldest first."""
        return [message for message in self.messages if message["type"] == kind]

    def _hear(self, kind: str, data: Json) -> None:
        with self._changed:
            if kind == "comm_close":
                self.is_closed = True
            elif kind == "comm_msg":
                self._check(data)
                self.messages.append(data)
            self._changed.notify_all()

    def _check(self, message: Json) -> None:
        try:
            assert message["seq"] == len(self.messages) + 1, "something is missing"
            assert fits(without_seq(message), ToFrontEnd), "it is not what its type says"
        except Exception as error:  # noqa: BLE001  whoever sends it is not to fail for us
            self._wrong.append(f"{error!r} at {message}")


class PageComm(BaseComm):
    """The kernel's end of a page's comm, in this process."""

    def __init__(self, page: Page) -> None:
        self._page = page
        super().__init__(target_name=TARGET, primary=False)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **_options: Any) -> None:
        if msg_type != "comm_open":
            self._page._hear(msg_type, data)


class LabPage(Page):
    """A page in this process."""

    def __init__(self, sessions: Sessions, path: str = "notebook.ipynb") -> None:
        super().__init__(path)
        self.comm = PageComm(self)
        sessions.open(self.comm)

    def tell(self, content: object) -> None:
        self.comm.handle_msg({"content": {"data": content}})

    def close(self) -> None:
        self.comm.handle_close({"content": {"data": {}}})

    def _hear_more(self) -> None:
        self._changed.wait(0.1)  # what is waited for may be seen elsewhere as well


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
            self._hear(message["header"]["msg_type"], content["data"])
