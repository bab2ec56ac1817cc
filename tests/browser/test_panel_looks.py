"""How the chat panel looks in a real JupyterLab and a real Notebook 7, which bring styles along."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser.lab import App, Lab, Notebook, running_lab
from browser.live_panel import LivePanel
from playwright.sync_api import expect
from screenshots import WIDTH, take_pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MOST_BYTES = 300_000

# Pairs of a name and what stands beside it that are not in one line, one beside the other.
TORN_PAIRS = """list => [...list.querySelectorAll('dt')].flatMap(name => {
    const value = name.nextElementSibling;
    const [one, other] = [name.getBoundingClientRect(), value.getBoundingClientRect()];
    const isBeside = one.right <= other.left && one.top < other.bottom && other.top < one.bottom;
    const isOneLine = one.height < 1.8 * parseFloat(getComputedStyle(name).fontSize);
    return isBeside && isOneLine ? [] : [`${name.textContent}: ${value.textContent}`];
})"""


@pytest.fixture(scope="module", params=["jupyterlab", "notebook"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    app: App = request.param
    with running_lab(tmp_path_factory.mktemp(app), app) as server:
        yield server


def test_each_number_stands_beside_its_name(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook(
        "%load_ext jupyter_llm\nfrom jupyter_llm import ChatPanel", "ChatPanel(max_tokens=8)"
    )
    notebook.run(0)
    notebook.run(1)
    panel = LivePanel(notebook, notebook.cell(1).locator(".jllm-panel"))
    panel.ask("Hello.")
    panel.root.locator(".jllm-facts summary").click()
    panel.root.locator(".jllm-gauge-button").click()
    for name in (".jllm-facts-list", ".jllm-legend-list"):
        shown = panel.root.locator(name)
        assert shown.locator("dt").count() > 4
        assert shown.evaluate(TORN_PAIRS) == []


@pytest.mark.parametrize("lab", ["jupyterlab"], indirect=True)
def test_a_view_of_its_own_takes_all_the_room(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook("%load_ext jupyter_llm", "%llm /chat")
    notebook.run(0)
    notebook.run(1)
    notebook.activate(1)
    notebook.command("notebook:create-output-view")
    view = notebook.page.locator(".jp-LinkedOutputView")
    panel = view.locator(".jllm-panel")
    expect(panel.get_by_role("textbox", name="Message")).to_be_visible()
    room, taken = view.bounding_box(), panel.bounding_box()
    assert room is not None
    assert taken is not None
    assert taken["height"] > 0.95 * room["height"]


def test_the_pictures_are_taken(chromium: Browser, tmp_path: Path) -> None:
    with running_lab(tmp_path / "lab") as lab:
        light, dark = (path.read_bytes() for path in take_pictures(chromium, lab, tmp_path))
    assert light != dark
    for picture in (light, dark):
        (width,) = struct.unpack(">I", picture[16:20])  # of PNG's first chunk
        assert width == WIDTH
        assert len(picture) < MOST_BYTES
