"""Describes the installed llama.cpp. A process of its own loads it, which the library may end.

A library that was built for another processor ends it at the first instruction that this one lacks.
`python -m jupyter_llm.engine.local.native.installed` prints what it can do.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass

from jupyter_llm.common.packing import DamagedValueError, unpacked
from jupyter_llm.common.workers import start_child
from jupyter_llm.errors import EngineError

ASK = (sys.executable, "-m", "jupyter_llm.engine.local.native.installed")
_PATIENCE_S = 60  # a busy machine and a cold disk


@dataclass(frozen=True)
class Installed:
    """A llama.cpp that works: its version, its file, and the GPU that it finds."""

    build: str
    path: str
    has_gpu: bool
    gpu_bytes: int | None


def installed_llama() -> Installed:
    """Load the library in another process; `EngineError` says what is wrong with it."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with start_child(*ASK, stdin=subprocess.DEVNULL, **pipes) as child:
        try:
            out, err = child.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise EngineError(f"It did not answer within {_PATIENCE_S} s.") from None
        finally:
            child.kill()
    if child.returncode == -getattr(signal, "SIGILL", 0):
        raise EngineError("It was built for another processor: an instruction is missing here.")
    last = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if child.returncode:
        raise EngineError(last or f"It ended the process with exit code {child.returncode}.")
    try:
        return unpacked(out.strip().rpartition(b"\n")[2], Installed)
    except DamagedValueError:
        raise EngineError("Its report about itself cannot be read.") from None


def main() -> None:
    """Print what is installed."""
    from jupyter_llm.engine.local.native.llama import installed

    sys.stdout.write(json.dumps(installed()) + "\n")


if __name__ == "__main__":
    main()
