"""Where kernels of this user serve their models: a file for each, which nobody else can read."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
from jupyter_core.paths import jupyter_runtime_dir, secure_write

from jupyter_llm.models.neighbours import lives

# Of this machine's processes alone: machines may share a home.
_FILES = f"jupyter-llm-*@{socket.gethostname()}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """A server of this user: where OpenAI's protocol begins, its token, and its process.

    `notebook` is the path of the one behind it; "" says that there is none, as in a terminal.
    """

    url: str
    token: str = field(repr=False)
    pid: int = field(default_factory=os.getpid)
    started_s: float = field(default_factory=lambda: psutil.Process().create_time())
    notebook: str = ""

    def publish(self) -> Path:
        """Write it down in place of what this process said before; return the file."""
        path = Path(jupyter_runtime_dir()) / _FILES.replace("*", str(self.pid))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with secure_write(str(path), binary=True) as file:
            file.write(msgspec.json.encode(self))
        return path


def all_served() -> list[Whereabouts]:
    """The servers of this user; what dead ones wrote is removed."""
    found = []
    for path in Path(jupyter_runtime_dir()).glob(_FILES):
        with suppress(OSError, msgspec.MsgspecError):  # it has just gone, or is no file of ours
            served = msgspec.json.decode(path.read_bytes(), type=Whereabouts)
            if lives(served.pid, served.started_s):
                found.append(served)
            else:
                path.unlink()
    return found
