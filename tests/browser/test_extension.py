"""The JupyterLab extension: notebooks are connected to jupyter_llm in their kernels."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from browser.cell_actions import SCRIPTED as SCRIPTED_ACTIONS
from browser.cell_actions import CellActions
from browser.extension import Extension, loads_little
from browser.lab import Traffic, isolated_environment
from browser.side_bar import SideBar
from playwright.sync_api import expect
from support.node_tools import run_node
from support.paths import FRONT_END

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Lab, Notebook
    from playwright.sync_api import Page

    OpenNotebook = Callable[..., Notebook]

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

LOAD = "%load_ext jupyter_llm"
FORK = "import os\npid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)"


# In the notebook and below it: the tab of the side bar is there for all notebooks.
OURS = ":is(.jp-NotebookPanel, #jp-bottom-panel) [class*='jllm-']"


def test_a_page_loads_less_than_60_kb_and_is_connected_as_long_as_jupyter_llm_is_loaded(
    open_notebook: OpenNotebook, page: Page, errors: list[str]
) -> None:
    traffic = Traffic(page)
    notebook = open_notebook(LOAD, "%unload_ext jupyter_llm", "%reload_ext jupyter_llm", FORK)
    extension = Extension(notebook)
    extension.wait_for_state("absent")
    for index in (0, 2, 3):
        notebook.run(index)
        extension.wait_for_state("open")
    assert loads_little(traffic.urls)
    SideBar(notebook).open()
    assert len([url for url in traffic.urls if "chat_panel.js" in url]) == 1
    notebook.run(1)
    extension.wait_for_state("absent")
    notebook.run(0)
    extension.wait_for_state("open")
    assert errors == []


def test_a_kernel_of_another_language_sees_nothing_of_us_unasked(
    lab: Lab, open_notebook: OpenNotebook, errors: list[str]
) -> None:
    subprocess.run(
        [sys.executable, "-m", "bash_kernel.install", "--user"],
        env=isolated_environment(lab.folder.parent),
        check=True,
        capture_output=True,
    )
    notebook = open_notebook("echo $((6 * 7))", kernel="bash")
    Extension(notebook).wait_for_state("foreign")
    errors.clear()  # Notebook 7 has an error of its own while it loads
    notebook.run(0)
    assert notebook.text(0) == "42"
    notebook.type(0, " # again")
    expect(notebook.page.locator(OURS).filter(visible=True)).to_have_count(0)
    notebook.command("jupyter-llm:chat")
    expect(SideBar(notebook).line).to_have_text(
        "The model lives in Python kernels; this kernel is of another language."
    )
    assert errors == []


def test_another_extension_adds_an_action_on_cells_and_attaches_a_text(
    open_notebook: OpenNotebook, lab: Lab, errors: list[str]
) -> None:
    example = FRONT_END / "example"
    builder = FRONT_END / "node_modules/@jupyter/builder/lib/build-labextension.js"
    core = FRONT_END / "node_modules/@jupyterlab/core-meta/core.package.json"
    run_node(builder, f"--core-package-file={core}", ".", folder=example)
    assert len((example / "index.js").read_text("utf-8").splitlines()) <= 60
    added = lab.folder.parent / "data" / "labextensions" / "jupyter-llm-example"
    added.symlink_to(example / "labextension")
    try:
        actions = CellActions(open_notebook(SCRIPTED_ACTIONS)).connect()
    finally:
        added.unlink()
    index = actions.add("x = 1")
    actions.notebook.cell(index).locator(".jllm-cell-button").click()
    with actions.asking():
        actions.page.get_by_role("menuitem", name="Add Type Annotations").click()
    instruction = actions.kernel("scripted_actions.actions.asked[-1].instruction")
    assert instruction == "Add type annotations; change nothing else."
    actions.reply("propose('x: int = 1')")
    expect(actions.added(index)).to_have_text("x: int = 1")
    actions.notebook.command("jupyter-llm-example:attach-metadata")
    side = SideBar(actions.notebook).root
    side.locator(".jllm-chip", has_text="metadata").get_by_role("button").first.click()
    expect(side.get_by_role("group", name="metadata")).to_have_text(re.compile("kernelspec"))
    assert errors == []
