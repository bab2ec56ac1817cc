"""How the chat panel looks in a real JupyterLab, which brings styles along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browser.accessibility import (
    show_suggestions,
    unfold_all,
    violations,
)
from browser.lab import Notebook, set_theme
from browser.live_panel import SCRIPTED, LivePanel
from browser.test_panel_for_all import TEXT
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# The application's theme, and what the browser is told.
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "light": ("JupyterLab Light", {}),
    "dark": ("JupyterLab Dark", {}),
    "high contrast": ("JupyterLab Dark High Contrast", {"contrast": "more"}),
    "forced colors": ("JupyterLab Light", {"forced_colors": "active"}),
    "forced dark colors": ("JupyterLab Dark", {"forced_colors": "active", "color_scheme": "dark"}),
}
USUAL = {"color_scheme": "light", "forced_colors": "none", "contrast": "no-preference"}
# The engine counts as loaded, so that there is something to say of it.
LOADED = f"""
from support.residents import make_resident
make_resident(engine)
engine.replies.extend(['Hi.', 'Ho.', {TEXT!r}])
"""

# Pairs of a name and what stands beside it that are not in one line, one beside the other.
TORN_PAIRS = """list => [...list.querySelectorAll('dt')].flatMap(name => {
    const value = name.nextElementSibling;
    const [one, other] = [name.getBoundingClientRect(), value.getBoundingClientRect()];
    const isBeside = one.right <= other.left && one.top < other.bottom && other.top < one.bottom;
    const isOneLine = one.height < 1.8 * parseFloat(getComputedStyle(name).fontSize);
    return isBeside && isOneLine ? [] : [`${name.textContent}: ${value.textContent}`];
})"""


@pytest.fixture
def busy_panel(open_notebook: Callable[..., Notebook], errors: list[str]) -> Iterator[LivePanel]:
    """Return a panel that shows all there is, at once, and comes and goes without a complaint."""
    shown = "ChatPanel('talk', temperature=1, max_tokens=1000, ignore_eos=True)"
    cells = ("engine.holds = True", "data = {'tea': 3}")
    notebook = open_notebook(SCRIPTED + LOADED, shown, *cells)
    notebook.page.set_viewport_size({"width": 1200, "height": 3400})
    for index in (0, 1, 3):
        notebook.run(index)
    panel = LivePanel(notebook)
    panel.ask("Hello")
    panel.button("Answer again").click()
    panel.button("Again").click()
    expect(panel.turns.last).to_contain_text("2/2")
    panel.wait_until_finished()
    panel.ask("What is a mean?")
    for command, shown in (("/help", ".jllm-notice"), ("/nonsense", ".jllm-error")):
        panel.send(command)
        expect(panel.root.locator(shown)).to_be_visible()
    panel.notebook.run(2)
    panel.notebook.activate(3)
    panel.send("Hold on.")
    panel.wait_until_writing()
    panel.page.add_style_tag(content=".jllm-panel { block-size: 3000px; }")
    unfold_all(panel.root)
    yield panel
    panel.notebook.command("notebook:clear-all-cell-outputs")
    expect(panel.root).to_have_count(0)
    assert errors == []


def test_axe_finds_no_serious_issue_and_each_number_stands_beside_its_name(
    busy_panel: LivePanel,
) -> None:
    page = busy_panel.page
    for name in (".jllm-facts-list", ".jllm-legend-list"):
        shown = busy_panel.root.locator(name).first
        assert shown.locator("dt").count() > 4
        assert shown.evaluate(TORN_PAIRS) == []
    found = {}
    for look, (theme, media) in LOOKS.items():
        page.emulate_media(**{**USUAL, **media})
        set_theme(page, theme)
        show_suggestions(busy_panel.root)
        found[look] = violations(page, ".jllm-panel")
    assert found == {look: [] for look in LOOKS}
