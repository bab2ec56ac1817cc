"""One server and one browser for each test file; a fresh page and kernel for each test."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from browser.lab import CHROMIUM_HINT, Notebook, find_chromium, running_chromium, running_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser, Page

VIEWPORT = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if find_chromium() is None:
        # CI must not turn green by skipping.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(CHROMIUM_HINT)
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=VIEWPORT)
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def open_notebook(
    lab: Lab, page: Page, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Write a notebook, open it with a running kernel, and end the kernel after the test."""
    with ExitStack() as stack:

        def open_notebook(*sources: str) -> Notebook:
            path = lab.write(f"{request.node.name}.ipynb", *sources)
            page.goto(lab.page_url(path.name))
            notebook = Notebook(page, path)
            stack.callback(notebook.shut_down)
            return notebook

        yield open_notebook
