"""Notebook 7 has what JupyterLab has: each part once, in one page with one kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser.accessibility import is_in_sight, violations
from browser.cell_actions import ASK_KERNEL, CellActions
from browser.cell_actions import SCRIPTED as SCRIPTED_ACTIONS
from browser.conftest import new_page
from browser.extension import Extension, loads_little
from browser.ghost_page import GhostPage
from browser.lab import Traffic, set_theme
from browser.live_panel import LONG, LivePanel
from browser.live_panel import SCRIPTED as SCRIPTED_ENGINE
from browser.prompt_cells import ASK, MARKDOWN, Prompts
from browser.shared_notebook import one_test
from browser.side_bar import SideBar
from browser.test_panel import CODE, SLEEP, accept_button
from playwright.sync_api import expect
from support.tiny_model import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser

pytestmark = [
    *(pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)),
    pytest.mark.parametrize("lab", ["notebook"], indirect=True),
]

NUM_CELLS = 4  # of the notebook before a test adds its own
# An expression that takes back what another test made of the kernel.
REAL_MODEL = "bool([llm.current.__dict__.pop('get', None), llm.use()])"


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """The addresses that the page asked for while it was loaded."""
    return []


@pytest.fixture(scope="module")
def opened(chromium: Browser, lab: Lab, loaded: list[str]) -> Iterator[GhostPage]:
    """A notebook whose kernel has the real model, for all tests here."""
    with new_page(chromium) as page:
        traffic = Traffic(page)
        notebook = GhostPage(page, lab, "seven.ipynb")
        loaded.extend(traffic.urls)
        yield notebook
        notebook.shut_down()


@pytest.fixture
def notebook(opened: GhostPage, request: pytest.FixtureRequest) -> Iterator[GhostPage]:
    """The notebook without the cells of the test before; nothing goes wrong in the page."""
    opened.page.evaluate(ASK_KERNEL, REAL_MODEL)
    with one_test(opened, request, num_kept=NUM_CELLS):
        yield opened


def test_a_start_of_the_page_loads_less_than_60_kb_and_no_chat_panel(
    opened: GhostPage, loaded: list[str]
) -> None:
    Extension(opened).wait_for_state("open")
    assert loads_little(loaded)


def test_ghost_text_is_accepted_with_tab(notebook: GhostPage) -> None:
    notebook.write("y = math.")
    text = notebook.wait_for_ghost()
    notebook.page.keyboard.press("Tab")
    notebook.wait_for_source(f"y = math.{text}")


def test_a_prompt_cell_completes_options_and_its_answer_shows_its_record(
    notebook: GhostPage,
) -> None:
    prompts = Prompts(notebook)
    index = prompts.add()
    prompts.page.keyboard.type("%%llm --ch")
    assert prompts.mime(index) == MARKDOWN
    prompts.complete("--chat")
    assert notebook.source(index) == "%%llm --chat"
    notebook.set_source(index, ASK.format("seven"))
    notebook.run(index)
    prompts.badges(index, "Answer").click()
    expect(prompts.dialog).to_contain_text("unchanged")
    prompts.page.keyboard.press("Escape")


def test_the_side_bar_answers_while_a_cell_runs_and_chooses_models_where_no_status_bar_is(
    notebook: GhostPage, lab: Lab
) -> None:
    write_tiny_model(lab.folder / "other.gguf", seed=5)
    page, side = notebook.page, SideBar(notebook)
    notebook.append(SLEEP)
    notebook.start(NUM_CELLS)
    side.open()
    side.send(LONG)
    side.wait_until_writing()
    side.box.press("Escape")
    side.wait_until_finished()
    notebook.interrupt()
    notebook.finish()
    picker = side.root.locator(".jllm-model")
    expect(picker).to_contain_text(re.compile("^smollm2.* · idle"))
    picker.press("Enter")
    shown = page.get_by_role("dialog", name="Language model in the kernel")
    shown.get_by_role("button", name="Load other").press("Enter")
    expect(picker).to_contain_text(re.compile("^other · idle · KV"))
    assert is_in_sight(shown)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        set_theme(page, theme)
        assert violations(page, ".jllm-model-popup") == []
        assert violations(page, ".jllm-model") == []
    shown.get_by_role("button", name=re.compile("^Load smollm2-135m")).first.press("Enter")
    expect(picker).to_contain_text(re.compile("^smollm2"))
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    expect(picker).to_be_focused()


def test_code_of_a_panel_goes_into_cells_while_one_runs_and_the_chat_outlives_the_page(
    notebook: GhostPage,
) -> None:
    replies = f"engine.replies.extend([{CODE!r}, 'Hi.'])"
    panel_cell = "ChatPanel('cells', max_tokens=1000)"
    notebook.append(f"{SCRIPTED_ENGINE}\n{replies}", panel_cell, "old = 0", SLEEP)
    first, shown, old, busy = range(NUM_CELLS, NUM_CELLS + 4)
    for index in (first, shown, old):
        notebook.run(index)
    panel = LivePanel(notebook, shown)
    panel.ask("Show me.")
    notebook.start(busy)
    notebook.activate(old)
    panel.root.get_by_role("button", name="Insert below", exact=True).first.click()
    expect(notebook.cell(old + 1)).to_contain_text("first = 1")
    notebook.activate(old)
    panel.button("Replace cell").click()
    expect(accept_button(notebook, old)).to_be_focused()
    notebook.page.keyboard.press("Enter")
    expect(notebook.cell(old)).to_contain_text("second = nowhere + 1")
    notebook.cell(old).locator(".cm-content").click()
    notebook.page.keyboard.press("ControlOrMeta+z")
    expect(notebook.cell(old)).to_contain_text("old = 0")
    notebook.interrupt()
    notebook.finish()
    panel.box.press_sequentially("dd")  # which deletes a cell where the notebook hears it
    expect(panel.box).to_have_value("dd")
    assert violations(notebook.page, ".jllm-panel") == []
    notebook.save()
    notebook.reload()
    panel = LivePanel(notebook, shown)
    expect(panel.turns).to_have_count(1)
    expect(panel.answers).to_contain_text("second = nowhere + 1")
    assert panel.ask("And now?") == "Hi."


def test_code_lands_in_place_of_what_its_cell_made_before(notebook: GhostPage) -> None:
    replies = "engine.replies.extend(['a = 1', 'a = 2'])"
    notebook.append(f"{SCRIPTED_ENGINE}\n{replies}", "%%llm -f code -t 0\nAdd two numbers.")
    notebook.run(NUM_CELLS)
    for number in (1, 2):
        notebook.run(NUM_CELLS + 1)
        assert notebook.source(NUM_CELLS + 2).splitlines()[1:] == [f"a = {number}"]


def test_a_proposal_is_shown_in_its_cell_and_accepted_by_keys(notebook: GhostPage) -> None:
    notebook.append(SCRIPTED_ACTIONS.replace("%load_ext", "%reload_ext"))
    notebook.run(NUM_CELLS)
    Extension(notebook).wait_for_state("open")
    actions = CellActions(notebook)
    index = actions.propose("x = 1 / 0", "x = 1 / 2")
    expect(actions.added(index)).to_have_text(["x = 1 / 2"])
    notebook.page.keyboard.press("Control+Shift+Enter")
    expect(actions.region(index)).to_be_hidden()
    assert notebook.source(index) == "x = 1 / 2"
