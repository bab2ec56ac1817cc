"""The JupyterLab extension: notebooks are connected to jupyter_llm in their kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.extension import Extension

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_notebook_is_connected_once_jupyter_llm_is_loaded(
    open_notebook: Callable[..., Notebook], errors: list[str]
) -> None:
    notebook = open_notebook("%load_ext jupyter_llm")
    extension = Extension(notebook)
    extension.wait_for_state("absent")
    notebook.run(0)
    extension.wait_for_state("open")
    assert errors == []
