"""Fixtures for tests of what is known of the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.watch import Watch, watched_shell


@pytest.fixture
def watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Watch]:
    """A real shell that is watched; what its cells print is nobody's business."""
    monkeypatch.chdir(tmp_path)
    with watched_shell() as watch:
        yield watch
