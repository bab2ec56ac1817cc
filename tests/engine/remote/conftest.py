"""Fixtures for the tests of servers."""

from __future__ import annotations

import pytest

from jupyter_llm.engine.remote import wire


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, so that no test waits."""
    monkeypatch.setattr(wire, "FIRST_PAUSE_S", 0.0001)
