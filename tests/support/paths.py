"""Where the clone and its tests lie."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
DATA = TESTS / "data"
MESSAGES = TESTS / "frontends" / "comm" / "messages"
FRONT_END = ROOT / "labextension"
LAB_EXTENSION = ROOT / "jupyter_llm" / "frontends" / "lab" / "static"
