"""The oldest JupyterLab that the extension is for, and the Notebook that goes with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser.environments import environment_with
from browser.extension import Extension
from browser.lab import APPS, running_lab
from browser.side_bar import SideBar
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.lab import Lab, Notebook

pytestmark = [
    *(pytest.mark.browser, pytest.mark.slow, pytest.mark.soak),
    pytest.mark.timeout(240),
]

OLDEST = ("jupyterlab==4.4.0", "notebook==7.4.0", "ipykernel==6.30.0")


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return environment_with(tmp_path_factory.mktemp("oldest"), *OLDEST)


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, oldest: str
) -> Iterator[Lab]:
    config = str(Path(sys.prefix, "etc", "jupyter"))  # of the server's own extensions
    folder = tmp_path_factory.mktemp(request.param)
    with running_lab(folder, request.param, oldest, JUPYTER_CONFIG_PATH=config) as server:
        yield server


@pytest.mark.parametrize("lab", APPS, indirect=True)
def test_it_connects_and_answers_and_no_shared_package_is_too_old(
    open_notebook: Callable[..., Notebook], complaints: list[str], errors: list[str]
) -> None:
    notebook = open_notebook("%load_ext jupyter_llm", "import ipykernel; ipykernel.__version__")
    assert notebook.page.evaluate("() => jupyterapp.version") in ("4.4.0", "7.4.0")
    errors.clear()  # Notebook 7 has an error of its own while it loads
    notebook.run(0)
    notebook.run(1)
    expect(notebook.cell(1)).to_contain_text("6.30.0")
    Extension(notebook).wait_for_state("open")
    side = SideBar(notebook)
    side.open()
    assert side.ask("Say hello.")
    assert not [said for said in complaints if "version" in said.lower()]
    assert errors == []
