from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import SMALL, ScriptedEngine

from jupyter_llm import llm
from jupyter_llm.engine.recommended import Recommended


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedEngine) -> ScriptedEngine:
    """A scripted engine that is loaded already, of a model that copies what it is told."""
    sampling = Recommended.of((), SMALL)
    scripted.info = replace(scripted.info, num_parameters=SMALL, sampling=sampling)
    monkeypatch.setattr(type(llm.current), "resident", property(lambda _self: scripted))
    return scripted
