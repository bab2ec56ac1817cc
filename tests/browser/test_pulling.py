"""Pulling a model from the status bar and from the panel, in a real JupyterLab, from a hub here."""

from __future__ import annotations

import re
import shutil
from itertools import count
from typing import TYPE_CHECKING

import pytest
from browser.accessibility import violations
from browser.live_panel import LOAD
from playwright.sync_api import expect
from support.hub import Hub, Repo, running_hub
from support.tiny_model import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from browser.lab import Lab, Notebook
    from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# The name in the catalogue, so that it is offered; the model itself is a tiny one.
NAME = "smollm2-360m"
REPOSITORY = "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF"
BUSY = "import time; time.sleep(3600)"


numbers = count(1)


@pytest.fixture
def hub(lab: Lab, tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model, of which it sends no more than a part until its gate is opened."""
    number = next(numbers)  # so that nobody has accepted the licence before
    cache = lab.home / ".cache" / "huggingface"  # outlives a test
    shutil.rmtree(cache, ignore_errors=True)
    path = write_tiny_model(tmp_path / "tiny.gguf", seed=7)
    with running_hub() as hub:
        hub.repos[REPOSITORY] = Repo(
            {"smollm2-360m-instruct-q8_0.gguf": path.read_bytes()},
            {"LICENSE.md": f"Be kind to your {number} readers."},
            {"license": "ada-1.0"},
        )
        hub.gate_after = 1 << 16
        hub.gate.clear()
        yield hub


def loads(hub: Hub) -> str:
    return f"import os; os.environ['HF_ENDPOINT'] = {hub.address!r}\n{LOAD}"


def is_gone_on_with(hub: Hub) -> bool:
    return "range" in hub.fetched[-1].headers


def popup(notebook: Notebook) -> Locator:
    return notebook.page.get_by_role("dialog", name="Language model in the kernel")


def press(place: Locator, name: str | re.Pattern[str]) -> None:
    """Press a button with the keyboard."""
    button = place.get_by_role("button", name=name)
    button.focus()
    button.press("Enter")


def test_the_status_bar_pulls_a_model_while_a_cell_runs(
    open_notebook: Callable[..., Notebook], hub: Hub, errors: list[str]
) -> None:
    notebook = open_notebook(loads(hub), BUSY)
    notebook.run(0)
    line, shown = notebook.page.locator(".jllm-status-item"), popup(notebook)
    expect(line).to_have_text("LLM: no model loaded")
    notebook.start(1)
    line.click()
    shown.get_by_text(re.compile(r"^\d+ more$")).click()
    press(shown, f"Pull {NAME}")
    licence = shown.get_by_role("region", name="Licence")
    expect(licence).to_have_text(re.compile(r"Be kind to your \d+ readers\."))
    assert violations(notebook.page, ".jllm-model-popup") == []
    expect(licence).to_be_focused()
    assert hub.fetched == []
    press(shown, "Accept the licence and pull")
    expect(shown).to_contain_text(re.compile(f"Downloading {NAME}: .* of "))
    expect(line).to_contain_text(re.compile(r"pulling \d+ %"))
    assert violations(notebook.page, ".jllm-model-popup") == []
    notebook.interrupt()  # JupyterLab itself reaches no kernel that is busy when the page comes
    notebook.finish()
    notebook.reload()
    notebook.page.locator(".jllm-status-item").click()
    expect(shown).to_contain_text(re.compile(f"Downloading {NAME}: .* of "))
    press(shown.get_by_role("region", name="Pull of a model"), "Stop")
    expect(shown.get_by_role("status")).to_contain_text("Pull again to resume")
    hub.gate.set()
    press(shown, "Pull again")
    press(shown, re.compile("^Use smollm2-360m"))
    expect(shown.get_by_role("button", name=re.compile("^Loaded smollm2-360m"))).to_be_visible()
    expect(line).to_have_text(re.compile("^smollm2-360m · idle"))
    assert is_gone_on_with(hub)
    other = shown.get_by_label("Another model of the hub, or a file")
    other.fill("none.gguf")
    other.press("Enter")
    expect(shown).to_contain_text("There is no file")
    other.fill("ada/none")
    other.press("Enter")
    expect(shown).to_contain_text("There is no repository ada/none")
    expect(shown.get_by_role("button", name="Pull again")).to_be_focused()
    assert errors == []
