"""Starts Python in a process of its own: if it crashes or hangs, the kernel lives on."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def start_child(*command: str, **options: Any) -> subprocess.Popen[Any]:
    """Start a process that imports the modules that we import, but none from the working folder.

    It has its own session, so an interrupt reaches only the kernel, which decides what to do.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONSAFEPATH": "1",
        "GGML_NO_BACKTRACE": "1",  # or llama.cpp starts a debugger when it aborts
    }
    return subprocess.Popen(  # noqa: S603  our own modules
        command, env=environment, start_new_session=True, **options
    )
