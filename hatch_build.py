"""Builds the front end before the package is packed or installed.

A clone has the sources and dev.py, which knows how; an sdist has the built files and no need.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLES = (
    Path("jupyter_llm", "frontends", "panel", "static", "chat_panel.js"),
    Path("jupyter_llm", "frontends", "lab", "static", "package.json"),
)


class FrontEndHook(BuildHookInterface[Any]):
    """Sees to it that what goes into a wheel or an sdist is there and up to date."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build what is missing or older than its sources."""
        root = Path(self.root)
        dev = root / "dev.py"
        if dev.exists():
            status = subprocess.run((sys.executable, str(dev), "build"), check=False).returncode  # noqa: S603
            if status:
                raise SystemExit(status)
        for bundle in BUNDLES:
            if not (root / bundle).exists():
                raise SystemExit(f"{bundle} is missing, and so is dev.py, which would build it")
