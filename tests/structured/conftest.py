"""What several tests of answers with a shape need."""

from __future__ import annotations

import pytest
from support.scripted import ScriptedEngine

from jupyter_llm import llm


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> ScriptedEngine:
    """The engine behind `llm`, which answers from a script."""
    engine = ScriptedEngine()
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine
