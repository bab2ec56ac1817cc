"""The chat panel where pages, notebooks and people are not as one thinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.panel_page import PanelPage, a_snapshot, a_turn, serving_panel
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panel")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving_panel(folder) as url:
        yield url


@pytest.fixture
def chat(page: Page, address: str) -> Iterator[PanelPage]:
    """Return a page for a panel; nothing may go wrong on it until the test ends."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield PanelPage(page, address)
    assert complaints == []


# Pages


@pytest.fixture
def insecure_chat(page: Page, address: str, folder: Path) -> PanelPage:
    """Return a page for a panel as from a server on another machine, without TLS."""

    def answer(route: Route) -> None:
        route.fulfill(path=folder / route.request.url.partition("?")[0].rpartition("/")[2])

    page.route("http://lab.example/**", answer)
    return PanelPage(page, "http://lab.example/index.html")


def test_a_panel_works_on_a_page_that_is_not_secure(insecure_chat: PanelPage) -> None:
    insecure_chat.open(a_snapshot(a_turn(1, text="One.\n\nTwo.")))
    assert not insecure_chat.page.evaluate("() => isSecureContext")
    insecure_chat.button("Copy").click()
    box = insecure_chat.page.get_by_role("textbox")
    box.press("ControlOrMeta+v")
    expect(box).to_have_value("One.\n\nTwo.")
    box.press("Enter")
    assert insecure_chat.wait_for("send")["text"] == "One.\n\nTwo."


def test_ids_are_those_of_one_element_however_many_panels_there_are(chat: PanelPage) -> None:
    chat.open()
    # As anywidget does it: each model has loaded the script for itself.
    chat.page.evaluate(
        """async () => {
            const source = await (await fetch('chat_panel.js')).text();
            const script = new Blob([source], { type: 'text/javascript' });
            const { default: createWidget } = await import(URL.createObjectURL(script));
            panelPage.widget = createWidget();
            panelPage.widget.initialize({ model: panelPage.model });
            await panelPage.show();
        }"""
    )
    expect(chat.page.locator(".jllm-panel")).to_have_count(2)
    ids = chat.page.locator("[id]").evaluate_all("nodes => nodes.map(({ id }) => id)")
    assert len(ids) == len(set(ids)) > 0
