"""A panel in a real kernel, driven as a front end does it: over its comm, on a subshell or without.

with running_kernel(tmp_path) as kernel:
    prepare(kernel, tmp_path)
    panel = KernelPanel(kernel)
    panel.hello()
    cell = kernel.start("import time; time.sleep(5)")
    panel.send("What is 6 * 7?")
    panel.wait_for("turn", lambda message: message["turn"]["state"] == "finished")
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from support.kernel import Kernel
from support.paths import TESTS

TIMEOUT_S = 30

# A kernel whose model answers from a script, and whose panels need no files of their own.
SETUP = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.scripted import ScriptedEngine
from jupyter_llm import ChatPanel, llm
from jupyter_llm.frontends.panel import panel as panel_module
panel_module.STATIC = Path({static!r})
engine = ScriptedEngine()
llm.current.get = lambda *args, **options: engine
"""


def prepare(kernel: Kernel, folder: Path) -> None:
    """Let a kernel answer from a script."""
    static = folder / "static"
    static.mkdir(exist_ok=True)
    (static / "chat_panel.js").write_text("export default {};\n")
    (static / "chat_panel.css").write_text("\n")
    assert kernel.execute(SETUP.format(tests=str(TESTS), static=str(static))).error is None


class KernelPanel:
    """A panel in the variable `v1`, `v2`…, its comm, and what was heard on it."""

    _names = count(1)

    def __init__(
        self,
        kernel: Kernel,
        code: str = "ChatPanel()",
        *,
        then: str = "",
        has_subshell: bool = True,
    ) -> None:
        self.kernel = kernel
        self.view = f"v{next(self._names)}"
        self.messages: list[dict[str, Any]] = []
        self.texts: dict[int, str] = {}
        self.parents: set[str] = set()  # the kinds of messages that those heard are about
        self._ids = count(1)
        making = f"{self.view} = {code}\nprint({self.view}.comm.comm_id, flush=True)\n{then}"
        self.cell = kernel.start(making).wait_until(lambda cell: "\n" in cell.text)
        if not then:
            self.cell.finish()
        self.comm_id = self.cell.text.splitlines()[0]
        self.subshell = kernel.create_subshell() if has_subshell else None
        kernel.listeners.append(self._hear)

    def ask(self, kind: str, /, **content: Any) -> str:
        """Send a message and return its id."""
        request_id = f"{self.view}-{next(self._ids)}"
        data = {"method": "custom", "content": {"type": kind, "id": request_id, **content}}
        message = {"comm_id": self.comm_id, "data": data}
        self.kernel.tell("comm_msg", message, subshell=self.subshell)
        return request_id

    def tell_nonsense(self) -> None:
        """Send what is no message of a panel."""
        data = {"method": "custom", "content": {"type": "nonsense"}}
        self.kernel.tell("comm_msg", {"comm_id": self.comm_id, "data": data})

    def hello(self) -> dict[str, Any]:
        """Say hello and wait for what there is."""
        self.ask("hello", view=self.view, protocol=1, can_write_cells=True)
        return self.wait_for("snapshot", lambda message: message["view"] == self.view)

    def send(self, text: str, after: int | None = None) -> str:
        return self.ask("send", text=text, after=after, attachments=[], seed=None, temperature=None)

    def wait_for(
        self, kind: str, condition: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """Wait until a message was heard and return it."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            for message in self.messages:
                if message["type"] == kind and condition(message):
                    return message
            self.kernel.next_published(deadline)

    def wait_for_text(self, text: str) -> None:
        """Wait until a turn reads so, finished or not."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.texts.values():
            self.kernel.next_published(deadline)

    def wait_for_answer(self, request_id: str) -> str:
        """Wait until a request is a finished turn and return its text."""
        number = self.wait_for("turn", lambda m: m["id"] == request_id)["turn"]["number"]

        def is_finished(message: dict[str, Any]) -> bool:
            turn = message["turn"]
            return bool(turn["number"] == number and turn["state"] == "finished")

        return str(self.wait_for("turn", is_finished)["turn"]["text"])

    def has_heard(self, kind: str, request_id: str) -> bool:
        return any(m["type"] == kind and m.get("id") == request_id for m in self.messages)

    def _hear(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["header"]["msg_type"] == "comm_msg" and content["comm_id"] == self.comm_id:
            data = content["data"]
            if data.get("method") == "custom":
                self.parents.add(message["parent_header"]["msg_type"])
                self._take(data["content"])

    def _take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if message["type"] == "turn":
            self.texts[message["turn"]["number"]] = message["turn"]["text"]
        elif message["type"] == "delta":
            self.texts[message["number"]] += message["text"]
