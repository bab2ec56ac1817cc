"""Engines that count as loaded, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_llm import llm
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.residents import Resident
from jupyter_llm.models.discover import ModelEntry


def residents_of(*engines: Any) -> tuple[Resident, ...]:
    """Models that are loaded, as `llm.current` holds them."""
    return tuple(
        Resident(
            ModelEntry(name=engine.info.name, path=Path(f"/{number}.gguf"), source="test"),
            EngineOptions(),
            engine,
        )
        for number, engine in enumerate(engines)
    )


def make_resident(*engines: Any) -> None:
    """Let engines be those of all models that are loaded."""
    llm.current.residents.all = residents_of(*engines)
