"""One server for all tests, cleared for each file; a browser for each; a kernel for each test.

`pytest tests/browser -m browser --screenshots FOLDER` keeps what each test saw at its end.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser.answers import MAKE_VIEW, noting_complaints
from browser.lab import CHROMIUM_HINT, App, Notebook, find_chromium, running_chromium, running_lab
from browser.panel_page import PanelPage, serving_panel
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser, Page

TIMEOUT_MS = 60_000  # a busy machine with two cores is slow, and no test waits for a fixed time
expect.set_options(timeout=TIMEOUT_MS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="save a picture of each page here")


@pytest.fixture(scope="session", autouse=True)
def chromium_path() -> str:
    path = find_chromium()
    if path is None:
        # CI must not turn green by skipping.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(CHROMIUM_HINT)
    return path


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with running_chromium(chromium_path) as browser:
        yield browser


@pytest.fixture(scope="session")
def started_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[App], Lab]]:
    """Start the server of an application the first time that one is asked for."""
    with ExitStack() as stack:
        yield cache(lambda app: stack.enter_context(running_lab(tmp_path_factory.mktemp(app), app)))


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest, started_lab: Callable[[App], Lab], timed_home: Path
) -> Iterator[Lab]:
    server = started_lab(getattr(request, "param", "jupyterlab"))
    shutil.copytree(timed_home, server.home, dirs_exist_ok=True)
    yield server
    server.clear()


@contextmanager
def new_page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def bare_page(chromium: Browser) -> Iterator[Page]:
    """A page for all tests of a file that load what they need in it."""
    with new_page(chromium) as page:
        yield page


@pytest.fixture(scope="module")
def lab_page(chromium: Browser, lab: Lab) -> Iterator[Page]:
    """A page for all tests of a file: to load JupyterLab takes as long as most of them do."""
    with new_page(chromium) as page:
        yield page


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with new_page(chromium) as page:
        yield page


@pytest.fixture
def leaves_page(page: Page) -> Iterator[None]:
    """Let the next test of a shared page load the application anew."""
    yield
    page.goto("about:blank")


@pytest.fixture
def other_page(chromium: Browser) -> Iterator[Page]:
    with new_page(chromium) as page:
        yield page


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    with noting_complaints(page) as complaints:
        yield complaints


@pytest.fixture
def errors(page: Page) -> Iterator[list[str]]:
    """What goes wrong in the page, whatever JupyterLab itself tells its console besides."""
    with noting_complaints(page, "error") as errors:
        yield errors


@pytest.fixture
def panel(page: Page, panel_address: str, complaints: list[str]) -> Page:
    """Return a page with an empty answer; what goes wrong on it is in `complaints`."""
    page.goto(panel_address)
    page.wait_for_function("() => window.isReady")
    page.evaluate(MAKE_VIEW)
    return page


@pytest.fixture(scope="module")
def panel_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panel")


@pytest.fixture(scope="module")
def panel_address(panel_folder: Path) -> Iterator[str]:
    with serving_panel(panel_folder) as address:
        yield address


@pytest.fixture
def chat(page: Page, panel_address: str, complaints: list[str]) -> Iterator[PanelPage]:
    """Return a page for a chat panel; nothing may go wrong on it until the test ends."""
    yield PanelPage(page, panel_address)
    assert complaints == []


@pytest.fixture
def open_notebook(
    lab: Lab, page: Page, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Write a notebook, open it with a running kernel, and end the kernel after the test."""
    name = re.sub(r"[^\w.]+", "-", request.node.name)  # it becomes a part of an address
    with ExitStack() as stack:

        def open_notebook(*sources: str, kernel: str = "python3") -> Notebook:
            path = lab.write(f"{name}.ipynb", *sources, kernel=kernel)
            notebook = lab.open(page, path)
            stack.callback(notebook.shut_down)
            return notebook

        yield open_notebook
        # Not there when pytest began outside this folder and so read this file too late for it.
        if folder := request.config.getoption("--screenshots", None):
            page.screenshot(path=Path(folder, f"{name}.png"))
