"""The front end's own tests, which need node but no browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "jupyter_llm" / "widgets"


@pytest.fixture
def node() -> str:
    path = shutil.which("node")
    if path is None:
        reason = "needs node, 20 or newer"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def test_the_front_end_s_own_tests_pass(node: str) -> None:
    tests = sorted(map(str, FOLDER.glob("tests/*.test.js")))
    assert tests
    done = subprocess.run(
        [node, "--test", *tests],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
