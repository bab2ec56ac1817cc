"""The status bar: what the model in the kernel does, others to choose from, load and pull."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from browser.accessibility import contrast, is_in_sight, violations
from browser.extension import Extension
from browser.lab import set_theme
from browser.live_panel import LOAD
from playwright.sync_api import expect
from support.hub import Hub, Repo, running_hub
from support.tiny_model import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from browser.lab import Lab, Notebook
    from playwright.sync_api import Locator, Page, Request

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ASK = "from jupyter_llm import llm\nllm('Say hello.', max_tokens=3000, ignore_eos=True)"
# As in a kernel where it is not installed.
HIDE = """import sys
class Hide:
    def find_spec(self, name, *_):
        if name.startswith("jupyter_" + "llm"):
            raise ModuleNotFoundError(f"No module named '{name}'")
sys.meta_path.insert(0, Hide())"""
# The name in the catalogue, so that it is offered; the model itself is a tiny one.
NAME = "smollm2-360m"
REPOSITORY = "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF"
BUSY = "import time; time.sleep(3600)"
SAVE_SETTINGS = "text => jupyterapp.serviceManager.settings.save('jupyter-llm:status-bar', text)"


def item(notebook: Notebook) -> Locator:
    return notebook.page.locator(".jllm-status-item")


def popup(notebook: Notebook) -> Locator:
    return notebook.page.get_by_role("dialog", name="Language model in the kernel")


@pytest.fixture
def page(lab_page: Page) -> Page:
    """The page that the tests of this file share."""
    return lab_page


@pytest.fixture
def saves_settings(page: Page, leaves_page: None) -> Iterator[None]:
    """Take back the settings that a test saves, also from the page that has read them."""
    yield
    page.evaluate(SAVE_SETTINGS, json.dumps({"hint": False}))


def test_the_line_says_what_the_model_does_from_nothing_to_idle(
    open_notebook: Callable[..., Notebook], lab: Lab, errors: list[str]
) -> None:
    write_tiny_model(lab.folder / "other.gguf", seed=5)
    notebook = open_notebook(ASK)
    line = item(notebook)
    expect(line).to_have_text("LLM: not loaded")
    line.click()
    expect(line).to_have_text("LLM: no model loaded")
    notebook.start(0)
    expect(line).to_contain_text("writing")
    notebook.interrupt()
    notebook.finish()
    expect(line).to_have_text(re.compile(r"^smollm2-135m · idle · KV \d+ % · (\d+ MB|\d\.\d GB)$"))
    choose_with_the_keyboard(notebook)
    expect(line).to_have_text(re.compile("^other · idle"))
    shown = popup(notebook)
    shown.get_by_label("Use for").select_option("tasks")
    shown.locator("button[value^='smollm2-135m']").first.click()
    expect(shown).to_contain_text("for tasks)")
    assert errors == []
    for theme in ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"):
        set_theme(notebook.page, theme)
        assert violations(notebook.page, ".jllm-model-popup") == []
        behind = "node => getComputedStyle(node.closest('.jllm-model-frame')).backgroundColor"
        assert "rgba" not in shown.evaluate(behind)  # the page's text would be read through it
        assert violations(notebook.page, ".jllm-status-item") == []


def test_the_focus_stays_at_a_model_that_moves_and_one_that_cannot_be_loaded_says_so(
    open_notebook: Callable[..., Notebook], lab: Lab, errors: list[str]
) -> None:
    gone = write_tiny_model(lab.folder / "gone.gguf", seed=6)
    for number in range(6):
        write_tiny_model(lab.folder / f"z{number}.gguf", seed=number)
    notebook = open_notebook("%load_ext jupyter_llm")
    notebook.run(0)
    expect(item(notebook)).to_have_text("LLM: no model loaded")
    item(notebook).click()
    here = popup(notebook).get_by_role("region", name="On this machine")
    last = here.locator("ul").first.locator("button").last
    expect(last).to_be_visible()
    name = last.get_attribute("value")
    load_unfolded(here, "ul >> nth=0 >> button >> nth=3")
    expect(here.locator(f"button[value='{name}']")).to_be_focused()
    load_unfolded(here, "summary")
    expect(here.locator("summary")).to_be_focused()
    gone.unlink()
    here.locator("button[value^='gone']").evaluate("node => node.click()")
    shown = popup(notebook)
    expect(shown.get_by_role("alert")).to_contain_text("gone")
    shown.get_by_role("button", name="Settings…").click()
    settings = notebook.page.locator(".jp-SettingsPanel")
    expect(settings).to_contain_text("Load jupyter_llm by itself")
    assert errors == []


def load_unfolded(here: Locator, focus: str) -> None:
    """Load the last one of a group while the focus is elsewhere; it comes first then."""
    last = here.locator("details button").last
    name = last.get_attribute("value")
    here.locator(focus).focus()
    last.evaluate("node => node.click()")
    expect(here.locator("[aria-disabled=true]")).to_have_accessible_name(f"Loaded {name}")


def choose_with_the_keyboard(notebook: Notebook) -> None:
    """Look at the popup, close it, open it again and choose another model."""
    page, line, shown = notebook.page, item(notebook), popup(notebook)
    line.focus()
    page.keyboard.press("Enter")
    expect(shown).to_contain_text("tokens, ")
    loaded = shown.locator(".jllm-models [aria-disabled=true]")
    expect(loaded).to_have_accessible_name(re.compile("^Loaded smollm2"))
    assert contrast(line) >= 4.5
    assert is_in_sight(shown)
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    expect(line).to_be_focused()
    page.keyboard.press("Enter")
    choice = shown.get_by_role("button", name="Load other")
    expect(choice).to_be_visible()
    for group in shown.locator(".jllm-models").filter(visible=True).all():
        count = group.locator("li").count()  # as many as suit the machine; the others unfold
        expect(group.locator("li").filter(visible=True)).to_have_count(min(count, 4))
    for _ in range(10):
        if choice.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(loaded).to_have_accessible_name("Loaded other")
    expect(loaded).to_be_focused()


@pytest.mark.usefixtures("saves_settings")
def test_a_kernel_loads_it_by_itself_only_where_that_is_wanted_and_it_is_installed(
    open_notebook: Callable[..., Notebook], errors: list[str]
) -> None:
    notebook = open_notebook("1 + 1", HIDE, "del sys.meta_path[0]")
    Extension(notebook).wait_for_state("absent")
    notebook.run(1)
    pip = notebook.page.get_by_text("pip install '.[smollm2]'").first
    item(notebook).click()
    expect(pip).to_be_visible()
    save_settings(notebook, autoLoad=True, hint=False)
    notebook.reload()  # where it loads by itself, nobody is disturbed
    expect(item(notebook)).to_have_text("LLM: not loaded")
    item(notebook).click()
    expect(pip).to_be_visible()
    notebook.run(2)
    notebook.reload()
    Extension(notebook).wait_for_state("open")
    notebook.restart()
    Extension(notebook).wait_for_state("open")
    notebook.run(0)
    assert notebook.outputs(0)[0]["execution_count"] == 1  # it does not count
    assert errors == []


@pytest.mark.usefixtures("saves_settings")
def test_what_there_is_is_said_once_and_never_again(
    open_notebook: Callable[..., Notebook], errors: list[str]
) -> None:
    notebook = open_notebook("%load_ext jupyter_llm", "%unload_ext jupyter_llm")
    page = notebook.page
    hint = page.get_by_text("it suggests code in grey")
    save_settings(notebook, hint=True)
    notebook.reload()
    expect(item(notebook)).to_have_text("LLM: not loaded")
    assert hint.count() == 0
    notebook.run(0)
    expect(hint).to_be_visible()
    page.get_by_role("button", name="Open the Chat").click()
    expect(page.locator("#jupyter-llm-side-bar")).to_be_visible()
    expect(hint).to_have_count(0)
    notebook.run(1)
    save_settings(notebook, hint=True)
    notebook.reload()
    expect(item(notebook)).to_have_text("LLM: not loaded")
    save_settings(notebook, hint=False)  # another page has said it meanwhile
    with page.expect_response(lambda reply: is_look(reply.request)) as looked:
        notebook.run(0)
    looked.value.finished()
    fetch = "() => jupyterapp.serviceManager.settings.fetch('jupyter-llm:status-bar')"
    for _ in range(3):  # what it does then comes before this
        page.evaluate(fetch)
    assert hint.count() == 0
    assert errors == []


def is_look(request: Request) -> bool:
    """Whether a page asks for our settings."""
    return request.method == "GET" and "status-bar" in request.url


@pytest.mark.usefixtures("saves_settings")
def test_the_settings_have_a_default_model_and_the_palette_says_whose_a_name_is(
    open_notebook: Callable[..., Notebook], lab: Lab, errors: list[str]
) -> None:
    path = write_tiny_model(lab.folder / "default.gguf", seed=6)
    notebook = open_notebook("from jupyter_llm import llm\nllm.current.find().name")
    page = notebook.page
    save_settings(notebook, model=str(path), hint=False)
    notebook.run(0)
    assert "'default'" in notebook.text(0)
    notebook.command("settingeditor:open")
    page.get_by_text("Status and Loading").first.click()
    expect(page.locator(".jp-SettingsPanel")).to_contain_text("Default model")
    notebook.command("apputils:activate-command-palette")
    page.locator("#modal-command-palette .lm-CommandPalette-input").fill("llm chat")
    shown = page.locator(".lm-CommandPalette-item", has_text="LLM: Chat about the Notebook")
    expect(shown.locator(".lm-CommandPalette-itemShortcut")).to_have_text("Ctrl+Shift+Space")
    assert errors == []


def save_settings(notebook: Notebook, **settings: object) -> None:
    """Save settings of ours in the place of those that were; a page that is loaded heeds them."""
    notebook.page.evaluate(SAVE_SETTINGS, json.dumps(settings))


# Pulling a model, from a hub here


@pytest.fixture
def hub(lab: Lab, tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model, of which it sends no more than a part until its gate is opened."""
    cache = lab.home / ".cache" / "huggingface"  # outlives a test
    shutil.rmtree(cache, ignore_errors=True)
    path = write_tiny_model(tmp_path / "tiny.gguf", seed=7)
    with running_hub() as hub:
        hub.repos[REPOSITORY] = Repo(
            {"smollm2-360m-instruct-q8_0.gguf": path.read_bytes()},
            {"LICENSE.md": "Be kind to your readers."},
            {"license": "ada-1.0"},
        )
        hub.gate_after = 1 << 16
        hub.gate.clear()
        yield hub


def loads(hub: Hub) -> str:
    return f"import os; os.environ['HF_ENDPOINT'] = {hub.address!r}\n{LOAD}"


def is_gone_on_with(hub: Hub) -> bool:
    return "range" in hub.fetched[-1].headers


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
    line, shown = item(notebook), popup(notebook)
    expect(line).to_have_text("LLM: no model loaded")
    notebook.start(1)
    line.click()
    shown.get_by_text(re.compile(r"^\d+ more$")).last.click()
    press(shown, f"Pull {NAME}")
    licence = shown.get_by_role("region", name="Licence")
    expect(licence).to_have_text("Be kind to your readers.")
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
    item(notebook).click()
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
