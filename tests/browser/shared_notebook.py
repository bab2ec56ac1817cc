"""One notebook with its kernel for all tests of a file; each finds its first cell alone there."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from browser.answers import noting_complaints
from browser.conftest import new_page
from browser.lab import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from browser.lab import Lab
    from playwright.sync_api import Browser


@contextmanager
def shared_notebook(chromium: Browser, lab: Lab, name: str, source: str) -> Iterator[Notebook]:
    """Open a notebook of one cell in a page of its own, and end its kernel."""
    path = lab.write(f"{name}.ipynb", source)
    with new_page(chromium) as page:
        yield (notebook := lab.open(page, path))
        notebook.shut_down()


@contextmanager
def one_test(
    notebook: Notebook, request: pytest.FixtureRequest, *, num_kept: int = 1
) -> Iterator[None]:
    """Let a test add cells, and take them away; nothing may go wrong in the page."""
    with noting_complaints(notebook.page, "error") as complaints:
        yield
        if folder := request.config.getoption("--screenshots", None):
            notebook.page.screenshot(path=Path(folder, f"{request.node.name}.png"))
        notebook.page.evaluate(
            """numKept => {
                const { sharedModel } = notebook.content.model;
                notebook.content.mode = 'command';
                sharedModel.deleteCellRange(numKept, sharedModel.cells.length);
            }""",
            num_kept,
        )
    assert not complaints, complaints


# Opens a notebook in front of the one that is open, with the kernel of a given id if any, and names
# it `notebook`.
OPEN_BESIDE = """async ([path, id]) => {
    window.first = notebook;
    const kernel = id ? { id } : undefined;
    window.notebook = await jupyterapp.commands.execute('docmanager:open', { path, kernel });
    await notebook.revealed;
    await notebook.sessionContext.ready;
    await notebook.sessionContext.session.kernel.info;
}"""
CLOSE = """async endsKernel => {
    if (endsKernel) await notebook.sessionContext.shutdown();
    notebook.context.model.dirty = false;
    notebook.dispose();
    window.notebook = first;
}"""


@contextmanager
def beside(notebook: Notebook, path: Path, *, shares_kernel: bool = False) -> Iterator[Notebook]:
    """Open another notebook in front of one for a while."""
    page = notebook.page
    kernel = "() => notebook.sessionContext.session.kernel.id"
    page.evaluate(OPEN_BESIDE, [path.name, page.evaluate(kernel) if shares_kernel else None])
    try:
        yield Notebook(page, path)
    finally:
        page.evaluate(CLOSE, not shares_kernel)
