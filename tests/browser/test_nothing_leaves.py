"""What a model writes, and what a draft says that was tried, asks nobody for anything when seen."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import nbformat
import pytest
from browser.lab import Lab
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from support.hostile_outputs import outputs_with
from support.hostile_texts import texts_that_call
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# JupyterLab draws no more outputs of a cell than this.
MOST_OUTPUTS = 40
DRAW_ALL = """async isTrusted => {
    const { content } = notebook;
    content.notebookConfig = { ...content.notebookConfig, windowingMode: 'none' };  // of all cells
    const areIn = cell => {
        const drawn = cell.outputArea.node.querySelectorAll('.jp-RenderedHTMLCommon');
        return drawn.length === cell.model.outputs.length
            && Array.from(drawn).every(node => node.textContent.trim());
    };
    for (const cell of content.widgets) {
        if (isTrusted) cell.model.trusted = true;  // as the command "Trust Notebook" does
        while (!areIn(cell)) await new Promise(requestAnimationFrame);
    }
    return content.widgets.map(cell => cell.model.outputs.get(0).trusted);
}"""
CALL = """async address => { await fetch(address, { mode: 'no-cors' }); }"""


class Listener:
    """Hears whatever is asked of an address on loopback."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []

    def heard_from(self, page: Page) -> list[str]:
        """Return what was asked so far; the page calls last, so that all before it has come."""
        page.evaluate(CALL, f"{self.address}/last")
        until(lambda: "/last" in self.heard)
        return [path for path in self.heard if path != "/last"]


@pytest.fixture
def listener() -> Iterator[Listener]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(f"http://127.0.0.1:{server.server_port}")
    heard = listener.heard
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield listener
    server.shutdown()
    thread.join()
    server.server_close()


def write_hostile(path: Path, address: str) -> nbformat.NotebookNode:
    """Save a notebook with each text in one place: every other one in the line below an answer."""
    outputs = []
    for number, text in enumerate(texts_that_call(address)):
        shown = outputs_with(text)
        place = "a note" if number % 2 else [*shown][number // 2 % len(shown)]
        outputs.append(new_output("display_data", data=shown[place]))
    parts = (outputs[at : at + MOST_OUTPUTS] for at in range(0, len(outputs), MOST_OUTPUTS))
    notebook: nbformat.NotebookNode = new_notebook(
        cells=[new_code_cell("%%llm -f code\nAdd.", outputs=part) for part in parts],
        metadata={"kernelspec": {"name": "python3", "display_name": "python3"}},
    )
    nbformat.write(notebook, path)
    return notebook


def test_a_stranger_hears_nothing_of_240_hostile_texts_in_a_notebook_trusted_or_not(
    lab: Lab, page: Page, listener: Listener
) -> None:
    path = lab.folder / "hostile.ipynb"
    write_hostile(path, listener.address)
    notebook = lab.open(page, path)
    for is_trusted in (False, True):
        assert set(page.evaluate(DRAW_ALL, is_trusted)) == {is_trusted}
        assert listener.heard_from(page) == []
    # A question to a name server is none that the listener hears.
    prefetch = page.locator('meta[http-equiv="x-dns-prefetch-control"]')
    assert prefetch.get_attribute("content") == "off"
    notebook.shut_down()


def test_a_stranger_hears_nothing_of_them_in_an_html_export(
    page: Page, listener: Listener, tmp_path: Path
) -> None:
    notebook = write_hostile(tmp_path / "hostile.ipynb", listener.address)
    exported, _ = HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "hostile.html").write_text(exported, "utf-8")
    page.route("https://**", lambda route: route.abort())  # the template's own scripts
    page.goto((tmp_path / "hostile.html").as_uri())
    assert listener.heard_from(page) == []
