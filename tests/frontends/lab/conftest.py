"""Pages that need no kernel and no browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.lab_page import LabPage
from support.scripted import ScriptedEngine

from jupyter_llm import llm
from jupyter_llm.frontends.lab.target import Sessions


@pytest.fixture
def sessions(shell: InteractiveShell) -> Iterator[Sessions]:
    """The pages of a kernel with a real model, a tiny one."""
    sessions = Sessions(llm)
    yield sessions
    sessions.close()


@pytest.fixture
def open_page(sessions: Sessions) -> Callable[..., LabPage]:
    """Open pages that have said hello."""

    def open_page(path: str = "notebook.ipynb") -> LabPage:
        page = LabPage(sessions, path)
        page.hello()
        return page

    return open_page


@pytest.fixture
def page(scripted: ScriptedEngine, open_page: Callable[..., LabPage]) -> LabPage:
    """A page that has said hello, where the model answers from a script."""
    return open_page()
