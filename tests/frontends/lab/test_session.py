"""Pages say who they are, and hear what becomes of what they ask."""

from __future__ import annotations

from collections.abc import Callable

from support.lab_page import LabPage

from jupyter_llm import __version__
from jupyter_llm.frontends.lab.messages import PROTOCOL


def test_a_page_is_welcomed(open_page: Callable[..., LabPage]) -> None:
    page = open_page()
    (welcome,) = page.heard("welcome")
    assert (welcome["protocol"], welcome["version"]) == (PROTOCOL, __version__)
    assert welcome["model"] is None  # none is loaded because a page is there
