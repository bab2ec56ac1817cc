"""The keys that open the side bar are nobody else's in JupyterLab."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.paths import FRONT_END

SCHEMAS = Path(sys.prefix, "share", "jupyter", "lab", "schemas")


def keys_of(folder: Path) -> dict[str, list[str]]:
    """The commands of each combination of keys that settings below a folder give."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*.json"):
        for shortcut in json.loads(path.read_text("utf-8")).get("jupyter.lab.shortcuts", []):
            found.setdefault(" ".join(shortcut["keys"]), []).append(shortcut["command"])
    return found


def test_the_keys_of_the_side_bar_are_free() -> None:
    if not SCHEMAS.exists():
        pytest.skip("JupyterLab is not installed: pip install jupyterlab")
    ours = keys_of(FRONT_END / "schema")
    (keys,) = (keys for keys, commands in ours.items() if "jupyter-llm:chat" in commands)
    assert ours[keys] == ["jupyter-llm:chat"]
    theirs = keys_of(SCHEMAS)
    assert "Accel Shift C" in theirs
    assert keys not in theirs
