"""One notebook with its kernel for all tests of a file; each finds its first cell alone there."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from browser.answers import note_complaints
from browser.conftest import new_page
from browser.lab import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from browser.lab import Lab
    from playwright.sync_api import Browser

# JupyterLab's own: its debugger asks a kernel that a test has ended meanwhile.
CANCELED = "Canceled future for debug_request message before replies were done"


@contextmanager
def shared_notebook(chromium: Browser, lab: Lab, name: str, source: str) -> Iterator[Notebook]:
    """Open a notebook of one cell in a page of its own, and end its kernel."""
    path = lab.write(f"{name}.ipynb", source)
    with new_page(chromium) as page:
        page.goto(lab.page_url(path.name))
        notebook = Notebook(page, path)
        yield notebook
        notebook.shut_down()


@contextmanager
def one_test(notebook: Notebook, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test add cells, and take them away; nothing may go wrong in the page."""
    complaints = note_complaints(notebook.page, "error")
    yield
    if folder := request.config.getoption("--screenshots", None):
        notebook.page.screenshot(path=Path(folder, f"{request.node.name}.png"))
    notebook.page.evaluate(
        """() => {
            const { sharedModel } = notebook.content.model;
            notebook.content.mode = 'command';
            sharedModel.deleteCellRange(1, sharedModel.cells.length);
        }"""
    )
    assert [text for text in complaints if CANCELED not in text] == []
