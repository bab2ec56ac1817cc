"""What a model writes does nothing in a real JupyterLab but show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.lab import Traffic
from common.test_markdown import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Notebook
    from playwright.sync_api import Dialog, Page

pytestmark = pytest.mark.browser

SHOW = """
from IPython import get_ipython
from jupyter_llm.frontends.views import make_view

def show(text):
    make_view(get_ipython(), "text/markdown").close(text, "")
"""
FOREIGN = """() => {
  const outputs = Array.from(document.querySelectorAll('.jp-OutputArea-output'));
  const found = [];
  for (const node of outputs.flatMap(o => Array.from(o.querySelectorAll('*')))) {
    if (['SCRIPT', 'IMG', 'IFRAME', 'STYLE', 'OBJECT', 'FORM', 'LINK'].includes(node.tagName))
      found.push(node.outerHTML.slice(0, 200));
    for (const { name, value } of Array.from(node.attributes))
      if (name.startsWith('on') || (name === 'href' && !/^(https?:|mailto:|#|$)/.test(value)))
        found.push(node.outerHTML.slice(0, 200));
  }
  return found;
}"""


def test_hostile_text_runs_nothing_and_asks_nobody(
    open_notebook: Callable[..., Notebook], page: Page
) -> None:
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    traffic = Traffic(page)
    notebook = open_notebook(SHOW, *(f"show({text!r})" for text in HOSTILE.values()))
    for index in range(len(HOSTILE) + 1):
        notebook.run(index)
    assert len(notebook.outputs(1)) == 1
    assert page.evaluate(FOREIGN) == []
    assert dialogs == []
    assert traffic.beyond_loopback == []
