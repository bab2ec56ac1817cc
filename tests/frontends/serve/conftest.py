"""Models served to clients; a file's own `engine` takes the place of the scripted one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from support.scripted import ScriptedEngine
from support.serving import client_of, serving

from jupyter_llm.frontends.serve.server import Serving


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def served(engine: Any, fresh_llm: None) -> Iterator[Serving]:
    with serving(engine) as served:
        yield served


@pytest.fixture
def client(served: Serving) -> Iterator[OpenAI]:
    """The official client."""
    with client_of(served) as client:
        yield client
