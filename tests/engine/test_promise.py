"""A seed is a promise: the same text in another order, in other company, in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIFE = Path(__file__).parents[1] / "seeded_life.py"


def texts(model: Path, order: int, cache: Path) -> dict[str, Any]:
    """Live one life in a process of its own; the second finds the checkpoints of the first."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, str(LIFE), str(model), str(order)],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_200_promised_texts_are_the_same_in_another_life(smollm2: Path, tmp_path: Path) -> None:
    first, second = (texts(smollm2, order, tmp_path) for order in (1, 2))
    assert len(first) == 200
    different = {key: (first[key], second[key]) for key in first if first[key] != second[key]}
    assert different == {}
