"""Python in a process of its own: what may end or hold it up spares the notebook's kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def start_child(*command: str, **options: Any) -> subprocess.Popen[Any]:
    """Start a process that finds the modules that we find, but none in the working folder.

    It has a session of its own, so that an interrupt is ours alone to act on.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONSAFEPATH": "1",
        "GGML_NO_BACKTRACE": "1",  # llama.cpp would start a debugger where it gives up
    }
    return subprocess.Popen(  # noqa: S603  our own modules
        command, env=environment, start_new_session=True, **options
    )
