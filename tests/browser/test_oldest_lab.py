"""The oldest JupyterLab that the extension is for, and the Notebook that goes with it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser.extension import Extension
from browser.lab import APPS, running_lab
from browser.side_bar import SideBar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.lab import Lab, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

OLDEST = ("jupyterlab==4.6.0", "notebook==7.6.0")


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment that has these, and all else from this one."""
    venv = tmp_path_factory.mktemp("oldest") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(venv)})
    # With what .pth files there say, as an editable installation of ours is such a file.
    beside = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    Path(packages, "beside.pth").write_text(beside, "utf-8")
    python = venv / Path(sys.executable).relative_to(sys.prefix)
    install = ("install", "--quiet", "--no-deps", "--ignore-installed", "--only-binary=:all:")
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install, *OLDEST], check=True)
    return str(python)


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
    notebook = open_notebook("%load_ext jupyter_llm")
    assert notebook.page.evaluate("() => jupyterapp.version") in ("4.6.0", "7.6.0")
    errors.clear()  # Notebook 7 has an error of its own while it loads
    notebook.run(0)
    Extension(notebook).wait_for_state("open")
    side = SideBar(notebook)
    side.open()
    assert side.ask("Say hello.")
    assert not [said for said in complaints if "version" in said.lower()]
    assert errors == []
