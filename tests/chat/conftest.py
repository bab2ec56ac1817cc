from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import SMALL, ScriptedEngine

from jupyter_llm import llm
from jupyter_llm.engine.recommended import Recommended


@pytest.fixture
def resident(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedEngine) -> ScriptedEngine:
    """A scripted engine that is loaded already, and answers "fine" to what comes first."""
    monkeypatch.setattr(type(llm.current), "resident", property(lambda _self: scripted))
    scripted.replies.extend(["fine"] * 50)
    return scripted


@pytest.fixture
def small(resident: ScriptedEngine) -> ScriptedEngine:
    """A scripted engine that is loaded already, of a model that copies what it is told."""
    sampling = Recommended.of((), SMALL)
    resident.info = replace(resident.info, num_parameters=SMALL, sampling=sampling)
    resident.replies.clear()
    return resident
