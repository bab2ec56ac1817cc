"""The JupyterLab extension: notebooks are connected to jupyter_llm in their kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.extension import Extension
from browser.lab import APPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext jupyter_llm"
# The pages that the kernel knows, and its subshells.
COUNT = """\
from jupyter_llm.frontends.lab.target import sessions
manager = get_ipython().kernel.shell_channel_thread.manager
comms = get_ipython().kernel.comm_manager.comms.values()
print(len(list(sessions)), len([c for c in comms if c.target_name == "jupyter_llm.lab"]))
print(len(manager.list_subshell()))"""
FORK = "import os\npid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)"


@pytest.mark.parametrize("lab", APPS, indirect=True)
def test_a_notebook_is_connected_as_long_as_jupyter_llm_is_loaded(
    open_notebook: Callable[..., Notebook], errors: list[str]
) -> None:
    notebook = open_notebook(LOAD, "%unload_ext jupyter_llm", "%reload_ext jupyter_llm", FORK)
    extension = Extension(notebook)
    extension.wait_for_state("absent")
    for index in (0, 2, 3):
        notebook.run(index)
        extension.wait_for_state("open")
    notebook.run(1)
    extension.wait_for_state("absent")
    notebook.run(0)
    extension.wait_for_state("open")
    assert errors == []


def test_the_connection_comes_again_after_reloads_restarts_and_a_kernel_that_died(
    open_notebook: Callable[..., Notebook], errors: list[str]
) -> None:
    notebook = open_notebook(LOAD, COUNT, "import os\nos.kill(os.getpid(), 9)")
    extension = Extension(notebook)
    notebook.run(0)
    extension.wait_for_state("open")
    notebook.run(1)
    before = notebook.text(1)
    assert before.startswith("1 2\n")
    for _ in range(10):
        notebook.reload()
        extension.wait_for_state("open")
    notebook.run(1)
    assert notebook.text(1) == before

    notebook.restart()
    extension.wait_for_state("absent")
    notebook.run(0)
    extension.wait_for_state("open")
    notebook.start(2)
    extension.wait_for_state("absent")
    notebook.page.locator(".jp-Dialog button").last.click()  # the kernel has died, says JupyterLab
    notebook.run(0)
    extension.wait_for_state("open")
    notebook.run(1)
    assert notebook.text(1) == before
    # JupyterLab's debugger complains of its own when a kernel dies.
    assert [error for error in errors if "debugger" not in error] == []
