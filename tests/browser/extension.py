"""The JupyterLab extension in a page, by what its plugins provide."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from support.paths import LAB_EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from browser.lab import Notebook


def loads_little(urls: Iterable[str]) -> bool:
    """Whether a page that asked for these addresses got our extension, small, and no chat panel."""
    names = {url.partition("/jupyter-llm/")[2].partition("?")[0] for url in urls} - {""}
    has_entry = any("remoteEntry" in name for name in names)
    has_panel = any("chat_panel" in name for name in names)
    size = sum(len(gzip.compress((LAB_EXTENSION / name).read_bytes())) for name in names)
    return has_entry and not has_panel and size < 60_000


class Extension:
    """What the extension knows of the notebook in a page."""

    def __init__(self, notebook: Notebook) -> None:
        self.page = notebook.page

    def wait_for_state(self, state: str) -> None:
        """Wait until the notebook's connection stands so."""
        self.page.wait_for_function(
            "state => notebook.node.dataset.jupyterLlm === state", arg=state
        )
