"""Fixtures for the tests of engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.engines import closing


@pytest.fixture(autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    """Close what a test loaded."""
    with closing():
        yield
