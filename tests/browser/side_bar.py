"""The side bar of the JupyterLab extension: what a person does there, and what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browser.live_panel import LivePanel
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser.lab import Notebook
    from playwright.sync_api import Locator


class SideBar(LivePanel):
    """The side bar beside a notebook."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.node = self.page.locator(".jllm-side")
        self.root = self.node.locator(".jllm-panel").filter(visible=True)

    def open(self) -> None:
        """Open it with its command, and wait until there is the chat."""
        self.notebook.command("jupyter-llm:chat")
        self.wait_until_there()

    def wait_until_there(self) -> None:
        expect(self.root.locator(".jllm-status")).not_to_contain_text("Connecting")

    @property
    def line(self) -> Locator:
        """What it says in one line, with a button."""
        return self.node.locator(".jllm-side-line")

    @property
    def chats(self) -> Locator:
        """The button that says which chat is shown, and opens the list of all."""
        return self.node.get_by_label("Chat of this notebook")

    @property
    def entries(self) -> Locator:
        """What the list has, once it is open."""
        return self.node.get_by_role("dialog").get_by_role("listitem")

    def choose(self, name: str) -> None:
        """Choose what the menu has."""
        self.node.get_by_role("button", name="More").click()
        self.page.get_by_role("menuitem", name=name).click()
