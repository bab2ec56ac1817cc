"""Fixtures for the tests of engines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest
from support.engines import closing

from jupyter_llm.engine.local.native import llama


@pytest.fixture(autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    """Close what a test loaded."""
    with closing():
        yield


@pytest.fixture
def whole_log() -> Iterator[deque[tuple[int, str]]]:
    """All lines llama.cpp logs, where the engine keeps the last few."""
    kept, llama._log.lines = llama._log.lines, deque()
    yield llama._log.lines
    llama._log.lines = kept
