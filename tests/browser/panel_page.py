"""The chat panel in a page of its own: no kernel and no JupyterLab, both of which tests play.

The sources are bundled for it, so that the tests see what is in the tree. What draws Markdown and
changes is there by itself too.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import threading
from contextlib import contextmanager
from copy import deepcopy
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.node_tools import run_node
from support.paths import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Locator, Page

HERE = Path(__file__).parent
THEMES = Path(sys.prefix, "share", "jupyter", "lab", "themes", "@jupyterlab")

Message = dict[str, Any]

# `theme` names one of JupyterLab's; without, the page has none of its colours.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Chat panel</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="chat_panel.css">
<style>
body {{ margin: 0; background: var(--jp-layout-color1, Canvas); }}
:root:not([data-theme]) {{ color-scheme: light dark; }}
main {{ padding: 8px; }}
.jp-Cell {{ padding: 4px; font: 13px monospace; color: var(--jp-ui-font-color1, CanvasText); }}
</style>
<script>
const theme = new URLSearchParams(location.search).get('theme');
if (theme) {{
    document.documentElement.dataset.theme = theme;
    document.write('<link rel="stylesheet" href="' + theme + '.css">');
    document.addEventListener('DOMContentLoaded', () => {{
        document.body.dataset.jpThemeLight = String(theme === 'light');
    }});
}}
</script>
<script type="module" src="panel_page.js"></script>
<body><main></main></body>
</html>
"""


def a_result(method: str) -> Any:
    """Return an example of a method's result, to be changed at will."""
    calls = json.loads((MESSAGES.parent / "calls.json").read_text("utf-8"))
    return calls[method]["value"]


def example(name: str) -> Message:
    """Return an example of a message, to be changed at will."""
    message: Message = json.loads((MESSAGES / f"{name}.json").read_text("utf-8"))
    del message["seq"]
    return message


def an_example(kind: str, name: str) -> Message:
    """Return a turn, notice or request of an example's patch, to be changed at will."""
    (found,) = example(f"patch-{name}")["patch"][kind].values()
    return dict(found)


def a_turn(number: int, **changes: Any) -> Message:
    """Return a finished turn that stands behind the one before it."""
    turn: Message = {
        **an_example("turns", "turn"),
        "request": None,
        "number": number,
        "parent": number - 1,
        "siblings": [number],
        "attachments": [],
        "num_cells": 0,
        "variables": [],
        **changes,
    }
    return turn


def a_chat(
    *turns: Message, notices: Sequence[Message] = (), pending: Sequence[Message] = ()
) -> Message:
    """Return the document of a chat with these turns, one behind the other."""
    return {
        **example("document")["document"],
        "turns": {str(turn["number"]): turn for turn in turns},
        "path": [turn["number"] for turn in turns],
        "notices": {notice["id"]: notice for notice in notices},
        "pending": {request["id"]: request for request in pending},
    }


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving_panel(folder: Path) -> Iterator[str]:
    """Serve the panel on loopback and yield the page's address; `?theme=light` or `dark`."""
    esbuild = ("node_modules/esbuild/bin/esbuild", "--bundle", "--format=esm", "--outbase=src")
    aliases = ("--alias:temml=temml/temml.js", "--alias:entities=./src/markdown/entities.ts")
    modules = ("chat_panel.ts", "chat_panel.css", "markdown/markdown.ts")
    sources = [f"src/{name}" for name in modules]
    run_node(*esbuild, *aliases, "--log-level=warning", f"--outdir={folder}", *sources)
    shutil.copy(HERE / "panel_page.js", folder)
    for theme in ("light", "dark"):
        shutil.copy(THEMES / f"theme-{theme}-extension" / "index.css", folder / f"{theme}.css")
    (folder / "index.html").write_text(PAGE.format(), "utf-8")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index.html"
        finally:
            server.shutdown()


class PanelPage:
    """A page with a panel, whose kernel says what a test wants."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def open(
        self,
        document: Message | None = None,
        *,
        cells: list[str] | None = None,
        theme: str | None = "light",
        has_extension: bool = True,
        **answers: Any,
    ) -> PanelPage:
        """Show a chat, in a notebook of these cells if any; `answers` by the call's method."""
        self.page.goto(self.address + (f"?theme={theme}" if theme else ""))
        self.page.wait_for_function("() => window.isReady")
        self.page.evaluate(
            "arguments => panelPage.open(...arguments)",
            [document or a_chat(), cells, answers, has_extension],
        )
        self.panel.locator(".jllm-log").wait_for()
        return self

    def answer(self, **answers: Any) -> None:
        self.page.evaluate("answers => Object.assign(panelPage.model.answers, answers)", answers)

    def tell(self, *messages: Message) -> None:
        """Say something as the kernel, and wait until the panel shows it."""
        self.page.evaluate(
            """async messages => {
                panelPage.model.tell(...messages);
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
            }""",
            list(messages),
        )

    def calls(self, method: str) -> list[Message]:
        """Return the calls of a method that the kernel got."""
        calls: list[Message] = self.page.evaluate("() => panelPage.model.sent")
        return [call for call in calls if call["method"] == method]

    def sent(self, method: str) -> list[Message]:
        """Return the arguments of the calls of a method that the kernel got."""
        return [call["arguments"] for call in self.calls(method)]

    def last_id(self, method: str) -> str:
        return str(self.calls(method)[-1]["id"])

    def wait_for(self, name: str) -> Message:
        """Wait for a call of a method and return the arguments of the newest one."""
        self.page.wait_for_function(
            "name => panelPage.model.sent.some(({ method }) => method === name)", arg=name
        )
        return self.sent(name)[-1]

    def show(self, *turns: Message, path: list[int], request: str | None = None) -> None:
        """Change turns, which answer a request if one is given, and the path."""
        shown = {str(turn["number"]): {**turn, "request": request} for turn in turns}
        self.change(path=path, turns=shown)

    def change(self, **patch: Any) -> None:
        """Change the chat by a merge patch."""
        self.tell({"type": "patch", "patch": patch})

    def grow(self, number: int, *texts: str) -> None:
        """Let a turn grow."""
        for text in texts:
            self.tell({**example("delta"), "number": number, "text": text})

    def think(self, number: int, text: str) -> None:
        """Let a turn be thought about."""
        self.tell({**example("delta"), "number": number, "text": "", "reasoning": text})

    def send(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def cells(self) -> list[Message]:
        """Return the notebook's cells: their `source` and `metadata`."""
        cells: list[Message] = self.page.evaluate("() => panelPage.notebook.state")
        return deepcopy(cells)

    def proposed(self) -> list[Message]:
        """Return the changes that the extension was asked to show in cells."""
        changes: list[Message] = self.page.evaluate("() => panelPage.notebook.proposed")
        return changes

    @property
    def panel(self) -> Locator:
        return self.page.locator(".jllm-panel").first

    @property
    def box(self) -> Locator:
        return self.panel.get_by_label("Message")

    @property
    def log(self) -> Locator:
        return self.panel.locator(".jllm-log")

    @property
    def turns(self) -> Locator:
        """The turns, notices, and what is not begun, in order."""
        return self.panel.locator(".jllm-content > *")

    @property
    def answers(self) -> Locator:
        return self.panel.locator(".jllm-turn > .jllm-markdown")

    def button(self, name: str) -> Locator:
        return self.panel.get_by_role("button", name=name, exact=True)
