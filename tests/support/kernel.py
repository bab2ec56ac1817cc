"""A real ipykernel for tests: run code as a notebook would, watch its messages, interrupt it.

with running_kernel(tmp_path) as kernel:
    assert kernel.execute("print(6 * 7)").text == "42\n"

    story = kernel.start("%%llm\nTell a story.").wait_until(lambda cell: cell.text != "")
    kernel.interrupt()
    assert story.finish().error is not None
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager
from nbformat.v4 import output_from_msg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

OUTPUT_KINDS = frozenset({"stream", "display_data", "execute_result", "error"})


@dataclass(frozen=True, slots=True)
class Event:
    """A message that the kernel published for one request."""

    sent_at: datetime
    kind: str  # message type
    content: dict[str, Any]


@dataclass(slots=True)
class Execution:
    """One execute request: what the kernel published for it so far and, at last, its reply."""

    kernel: Kernel
    msg_id: str
    events: list[Event] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)  # as a notebook would keep them
    reply: dict[str, Any] = field(default_factory=dict)
    interrupted_s: float = 0.0  # from the interrupt to the reply
    _displays: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _clear_before_next: bool = False

    @property
    def text(self) -> str:
        """The text of all outputs, the Markdown of a display before its plain text."""
        return "".join(output_text(output) for output in self.outputs)

    @property
    def error(self) -> str | None:
        return self.reply.get("ename")

    @property
    def is_idle(self) -> bool:
        """Whether the kernel has published all it will publish for this request."""
        return any(
            event.kind == "status" and event.content["execution_state"] == "idle"
            for event in self.events
        )

    def wait_until(
        self, condition: Callable[[Execution], bool], *, timeout_s: float = 60
    ) -> Execution:
        """Read messages until the condition holds; fail when the cell ends without it."""
        deadline = time.monotonic() + timeout_s
        while not condition(self):
            if self.is_idle:
                raise AssertionError(f"The cell ended before the condition held: {self.outputs}")
            self.kernel.next_published(deadline)
        return self

    def finish(self, *, timeout_s: float = 60) -> Execution:
        """Read messages until the request is done, and return this execution, now complete."""
        deadline = time.monotonic() + timeout_s
        while not self.is_idle:
            self.kernel.next_published(deadline)
        self.kernel.executions.pop(self.msg_id, None)
        self.reply = self.kernel.reply_to(self.msg_id, timeout_s=timeout_s)
        self.interrupted_s = time.monotonic() - self.kernel.interrupted_at
        return self

    def hear(self, message: dict[str, Any]) -> None:
        """Take in a message about this request."""
        kind, content = message["header"]["msg_type"], message["content"]
        self.events.append(Event(message["header"]["date"], kind, content))
        if kind in OUTPUT_KINDS:
            self._add_output(output_from_msg(message), content)
        elif kind == "update_display_data":
            for output in self._displays.get(content["transient"]["display_id"], []):
                output.update(data=content["data"], metadata=content["metadata"])
        elif kind == "clear_output":
            self._clear_before_next = True
            if not content["wait"]:
                self._clear()

    def _add_output(self, output: dict[str, Any], content: dict[str, Any]) -> None:
        if self._clear_before_next:
            self._clear()
        last = self.outputs[-1] if self.outputs else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
            return
        self.outputs.append(output)
        if display_id := content.get("transient", {}).get("display_id"):
            self._displays.setdefault(display_id, []).append(output)

    def _clear(self) -> None:
        self._clear_before_next = False
        self.outputs.clear()


class Kernel:
    """A kernel process and the client that talks to it, from one thread."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager = manager
        self._client = client
        self.interrupted_at = 0.0
        self.executions: dict[str, Execution] = {}  # that hear of theirs, whoever reads it
        self.listeners: list[Callable[[dict[str, Any]], None]] = []  # to all that is published

    def execute(self, code: str, *, timeout_s: float = 60, **sent: Any) -> Execution:
        return self.start(code, **sent).finish(timeout_s=timeout_s)

    def start(
        self,
        code: str,
        *,
        cell_id: str | None = None,
        tags: Sequence[str] = (),
        silent: bool = False,
    ) -> Execution:
        """Send code and return at once. Id and tags of the cell are what JupyterLab would send.

        What is silent is no cell to the kernel: nobody is told that it runs.
        """
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        metadata: dict[str, Any] = {} if cell_id is None else {"cellId": cell_id}
        if tags:
            metadata["tags"] = list(tags)
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        execution = Execution(self, message["header"]["msg_id"])
        self.executions[execution.msg_id] = execution
        return execution

    def note_figures(self) -> list[str]:
        """The kinds of messages for which figures are shown from now on."""
        shown: list[str] = []

        def note(message: dict[str, Any]) -> None:
            if "image/png" in str(message["content"].get("data")):
                shown.append(message["parent_header"]["msg_type"])

        self.listeners.append(note)
        return shown

    def tell(self, kind: str, content: dict[str, Any], *, subshell: str | None = None) -> None:
        """Send any message for the shell, to a subshell if one is given."""
        message = self._client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self._client.shell_channel.send(message)

    def control(self, kind: str, **content: Any) -> dict[str, Any]:
        """Ask something beside all that runs, and return the content of the reply."""
        message = self._client.session.msg(kind, content)
        self._client.control_channel.send(message)
        while True:
            reply = self._client.get_control_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])

    def create_subshell(self) -> str:
        """Return the id of a new subshell, where messages need not wait for cells."""
        return str(self.control("create_subshell_request")["subshell_id"])

    def interrupt(self) -> None:
        self.interrupted_at = time.monotonic()
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        self._manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=60)

    def next_published(self, deadline: float) -> dict[str, Any]:
        """Return the next message for everybody; fail when the kernel is dead or too slow."""
        while True:
            try:
                message = dict(self._client.get_iopub_msg(timeout=1))
            except Empty:
                if not self._manager.is_alive():
                    raise AssertionError("The kernel has died") from None
                if time.monotonic() > deadline:
                    raise AssertionError("The kernel did not answer in time") from None
            else:
                execution = self.executions.get(message["parent_header"].get("msg_id"))
                if execution is not None:
                    execution.hear(message)
                for listener in self.listeners:
                    listener(message)
                return message

    def reply_to(self, msg_id: str, *, timeout_s: float) -> dict[str, Any]:
        """Return the content of the reply to a request, dropping replies to earlier ones."""
        while True:
            message = self._client.get_shell_msg(timeout=timeout_s)
            if message["parent_header"].get("msg_id") == msg_id:
                return dict(message["content"])


@contextmanager
def running_kernel(
    folder: Path, *, python: str = sys.executable, **environment: str
) -> Iterator[Kernel]:
    """Start a kernel that keeps its files in a folder, and leave nothing of it behind."""
    manager = KernelManager(kernel_name="python3", connection_file=str(folder / "kernel.json"))
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[0] = python
    ipython = {"IPYTHONDIR": str(folder / "ipython")}
    manager.start_kernel(cwd=str(folder), env={**os.environ, **ipython, **environment})
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def output_text(output: dict[str, Any]) -> str:
    """Return one output as the text that a reader of the notebook would call it."""
    if output["output_type"] == "stream":
        return str(output["text"])
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    data = output["data"]
    return str(data.get("text/markdown", data.get("text/plain", "")))
