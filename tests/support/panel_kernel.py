"""A panel in a real kernel, driven as a front end does it: over its comm, on a subshell or without.

with running_kernel(tmp_path) as kernel:
    prepare(kernel, tmp_path)
    panel = KernelPanel(kernel)
    panel.hello()
    cell = kernel.start("import time; time.sleep(5)")
    panel.say("What is 6 * 7?")
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from support.front_end import TIMEOUT_S, View
from support.kernel import Kernel
from support.paths import TESTS

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


class KernelPanel(View):
    """A panel in a variable with the name of this view of it."""

    def __init__(
        self,
        kernel: Kernel,
        code: str = "ChatPanel()",
        *,
        then: str = "",
        has_subshell: bool = True,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.parents: set[str] = set()  # the kinds of messages that those heard are about
        making = f"{self.name} = {code}\nprint({self.name}.comm.comm_id, flush=True)\n{then}"
        self.cell = kernel.start(making).wait_until(lambda cell: "\n" in cell.text)
        if not then:
            self.cell.finish()
        self.comm_id = self.cell.text.splitlines()[0]
        self.subshell = kernel.create_subshell() if has_subshell else None
        kernel.listeners.append(self._hear_published)

    def tell(self, content: object) -> None:
        message = {"comm_id": self.comm_id, "data": {"method": "custom", "content": content}}
        self.kernel.tell("comm_msg", message, subshell=self.subshell)

    def _hear_more(self) -> None:
        self.kernel.next_published(time.monotonic() + TIMEOUT_S)

    def _hear_published(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["header"]["msg_type"] == "comm_msg" and content["comm_id"] == self.comm_id:
            data = content["data"]
            if data.get("method") == "custom":
                self.parents.add(message["parent_header"]["msg_type"])
                self._hear(data["content"])
