"""The side bar of the JupyterLab extension, with a real kernel and a real model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.side_bar import SideBar
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext jupyter_llm"


def test_a_prompt_is_answered_beside_the_notebook(
    open_notebook: Callable[..., Notebook], errors: list[str]
) -> None:
    notebook = open_notebook(LOAD, "x = 1")
    side = SideBar(notebook)
    notebook.run(0)
    side.open()
    expect(side.box).to_be_focused()
    assert side.ask("Say hello.")
    assert errors == []
