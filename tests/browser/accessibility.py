"""What keeps somebody from using a page: what axe-core finds, and what is out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect
from support.paths import FRONT_END
from support.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

AXE = FRONT_END / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Page, scope: str) -> list[str]:
    """Return the serious issues within the elements of a selector."""
    page.add_script_tag(path=AXE)
    found: list[str] = page.evaluate(
        """async (scope) => {
            const { violations } = await axe.run(scope, { resultTypes: ['violations'] });
            return violations
                .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .flatMap(({ id, nodes }) => nodes.map(({ html, any }) =>
                    [id, html, ...any.map(({ message }) => message)].join('\\n')));
        }""",
        scope,
    )
    return found


# Looks at the middle of each edge: whether it is this element that is clicked on there.
IS_IN_SIGHT = """node => {
    const { left, top, right, bottom } = node.getBoundingClientRect();
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    return [[x, top + 2], [x, bottom - 2], [left + 2, y], [right - 2, y]].every(
        point => node.contains(document.elementFromPoint(...point)));
}"""


def is_in_sight(element: Locator) -> bool:
    """Tell whether all of an element is seen and nothing lies over it."""
    return bool(element.evaluate(IS_IN_SIGHT))


# By WCAG, of a text that may be see-through with what lies behind it; axe gives up within editors.
CONTRAST = """node => {
    const channels = color => color.match(/[\\d.]+/g).map(Number);
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = color => [0.2126, 0.7152, 0.0722].reduce(
        (sum, weight, i) => sum + weight * linear(color[i] / 255), 0);
    let [behind, back] = [node, []];
    do {
        behind = behind.parentElement;
        back = channels(getComputedStyle(behind).backgroundColor);
    } while ((back[3] ?? 1) < 1);
    const { color, opacity } = getComputedStyle(node);
    const front = channels(color).map((c, i) => opacity * c + (1 - opacity) * back[i]);
    const [dark, light] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
}"""


def contrast(element: Locator) -> float:
    """Return how a text stands out from what is behind it: from 1 to 21, and 4.5 can be read."""
    return float(element.evaluate(CONTRAST))


def is_in_sight_with_focus(element: Locator) -> bool:
    """Tell whether all of an element is seen once the keyboard has come to it."""
    element.page.evaluate("() => document.activeElement.blur()")  # else nothing scrolls
    element.focus()
    return is_in_sight(element)


def unfold_all(panel: Locator) -> None:
    """Open what a panel opens on demand."""

    def press(name: str, index: int) -> None:
        panel.get_by_role("button", name=name, exact=True).nth(index).click()

    expect(panel.locator(".jllm-code > :is(.jllm-warning, .jllm-note)").first).to_be_visible()
    press("Replace cell", -1)
    expect(panel.locator(".jllm-code-below .jllm-note")).to_be_visible()
    press("Edit", 0)
    press("Delete", 1)
    panel.locator(".jllm-facts summary").first.click()
    panel.locator(".jllm-gauge-button").click()
    show_suggestions(panel)


def show_suggestions(panel: Locator) -> None:
    """Have the list of suggestions open, and the description of the first one beside it.

    Both close when the focus goes, and JupyterLab takes it now and then while it redraws.
    """
    listbox, box = panel.get_by_role("listbox"), panel.get_by_label("Message")

    def is_shown() -> bool:
        if listbox.is_hidden():
            box.fill("What is @dat")
        try:
            panel.locator(".jllm-description").wait_for(timeout=5_000)
        except PlaywrightTimeoutError:
            return False
        return listbox.is_visible()

    until(is_shown)
