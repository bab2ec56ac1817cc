"""The JupyterLab extension in a page, by what its plugins provide."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from browser.lab import Notebook


class Extension:
    """What the extension knows of the notebook in a page."""

    def __init__(self, notebook: Notebook) -> None:
        self.page = notebook.page

    def wait_for_state(self, state: str) -> None:
        """Wait until the notebook's connection stands so."""
        self.page.wait_for_function(
            "state => notebook.node.dataset.jupyterLlm === state", arg=state
        )
