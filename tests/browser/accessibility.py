"""What axe-core finds on a page that keeps somebody from using it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node_tools import FRONT_END

if TYPE_CHECKING:
    from playwright.sync_api import Page

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
