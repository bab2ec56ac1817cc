"""The front end's folder, and whether its tools are there to build and test it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.paths import FRONT_END

HINT = "The front end's tools are not installed: python3 dev.py build"


def run_node(*arguments: str | Path, folder: Path = FRONT_END) -> str:
    """Run Node in a folder and return what it says; skip where it or the tools are missing."""
    node = shutil.which("node")
    if node is None or not (FRONT_END / "node_modules" / "esbuild").exists():
        # CI must not turn green by skipping.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(HINT)
    done = subprocess.run(
        (str(node), *arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
