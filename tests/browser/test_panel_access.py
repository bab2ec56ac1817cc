"""Nothing in the panel keeps anybody from using it, in the applications and themes it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browser.accessibility import is_in_sight, is_in_sight_with_focus, violations
from browser.lab import App, Lab, Notebook, running_lab
from browser.live_panel import SCRIPTED, LivePanel
from browser.test_panel_for_all import TEXT
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# The application's theme, and what the browser is told.
LOOKS: dict[App, dict[str, tuple[str, dict[str, Any]]]] = {
    "jupyterlab": {
        "light": ("JupyterLab Light", {}),
        "dark": ("JupyterLab Dark", {}),
        "high contrast": ("JupyterLab Dark High Contrast", {"contrast": "more"}),
        "forced colors": ("JupyterLab Light", {"forced_colors": "active"}),
        "forced dark colors": (
            "JupyterLab Dark",
            {"forced_colors": "active", "color_scheme": "dark"},
        ),
    },
    "notebook": {"light": ("JupyterLab Light", {})},
}
USUAL = {"color_scheme": "light", "forced_colors": "none", "contrast": "no-preference"}

# The engine counts as loaded, so that there is something to say of it.
LOADED = f"""
llm.current._engine = engine
engine.replies.extend(['Hi.', 'Ho.', {TEXT!r}])
"""

SHOW_THEME = """async theme => {
    await jupyterapp.commands.execute('apputils:change-theme', { theme });
    while (document.body.dataset.jpThemeName !== theme)
        await new Promise(requestAnimationFrame);
}"""


@pytest.fixture(scope="module", params=LOOKS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    app: App = request.param
    with running_lab(tmp_path_factory.mktemp(app), app) as server:
        yield server


@pytest.fixture
def busy_panel(open_notebook: Callable[..., Notebook]) -> LivePanel:
    """Return a panel that shows all there is, at once."""
    notebook = open_notebook(
        "%load_ext jupyter_llm" + SCRIPTED + LOADED,
        "ChatPanel('talk', max_tokens=1000)",
        "engine.holds = True",
        "data = {'tea': 3}",
    )
    notebook.page.set_viewport_size({"width": 1200, "height": 3400})
    for index in (0, 1, 3):
        notebook.run(index)
    panel = LivePanel(notebook, notebook.cell(1).locator(".jllm-panel"))
    panel.ask("Hello")
    panel.button("Answer again").click()
    panel.root.get_by_role("menuitem").first.click()
    expect(panel.turns.last).to_contain_text("2/2")
    panel.wait_until_finished()
    panel.ask("What is a mean?")
    for command, shown in (("/help", ".jllm-notice"), ("/nonsense", ".jllm-error")):
        panel.send(command)
        expect(panel.root.locator(shown)).to_be_visible()
    notebook.run(2)
    notebook.activate(3)
    panel.send("Hold on.")
    panel.wait_until_writing()
    unfold_all(panel)
    return panel


def unfold_all(panel: LivePanel) -> None:
    """Open what the panel opens on demand."""
    panel.page.add_style_tag(content=".jllm-panel { block-size: 3000px; }")
    expect(panel.root.locator(".jllm-warning").first).to_be_visible()
    panel.button("Replace cell").click()
    expect(panel.root.locator(".jllm-code .jllm-offer")).to_be_visible()
    panel.turns.first.get_by_role("button", name="Edit", exact=True).click()
    panel.turns.nth(1).get_by_role("button", name="Delete", exact=True).click()
    panel.root.locator(".jllm-facts summary").first.click()
    panel.root.locator(".jllm-gauge-button").click()
    panel.box.press_sequentially("What is @dat")
    expect(panel.root.get_by_role("listbox")).to_be_visible()
    expect(panel.root.locator(".jllm-description")).to_be_visible()


def test_axe_finds_no_serious_issue(busy_panel: LivePanel, lab: Lab) -> None:
    page = busy_panel.page
    found = {}
    for look, (theme, media) in LOOKS[lab.app].items():
        page.emulate_media(**{**USUAL, **media})
        page.evaluate(SHOW_THEME, theme)
        expect(busy_panel.root.get_by_role("listbox")).to_be_visible()
        found[look] = violations(page, ".jllm-panel")
    assert found == {look: [] for look in LOOKS[lab.app]}


def test_enlarged_a_prompt_can_be_typed_and_stopped(
    open_notebook: Callable[..., Notebook], lab: Lab
) -> None:
    notebook = open_notebook(
        "%load_ext jupyter_llm" + SCRIPTED + "engine.holds = True", "ChatPanel('talk')"
    )
    page = notebook.page
    for index in (0, 1):
        notebook.run(index)
    panel = LivePanel(notebook, notebook.cell(1).locator(".jllm-panel"))
    if lab.app == "jupyterlab":
        notebook.command("application:toggle-left-area")  # it takes all the room there is
    for percent in (200, 400):
        page.set_viewport_size({"width": 128_000 // percent, "height": 102_400 // percent})
        panel.box.scroll_into_view_if_needed()
        assert is_in_sight(panel.box)
        panel.send("Hold on.")
        panel.wait_until_writing()
        stop = panel.root.locator(".jllm-stop")
        assert is_in_sight_with_focus(stop)
        page.keyboard.press("Enter")
        panel.wait_until_finished()
