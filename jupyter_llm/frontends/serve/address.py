"""The addresses of this user's servers: a file for each, which only the user can read."""

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

# Only this machine's processes: machines may share a home folder.
_FILES = f"jupyter-llm-*@{socket.gethostname()}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """A server of this user: the base address of OpenAI's protocol, its token, and its process.

    `notebook` is the path of its notebook, "" without one, as in a terminal.
    """

    url: str
    token: str = field(repr=False)
    pid: int = field(default_factory=os.getpid)
    started_s: float = field(default_factory=lambda: psutil.Process().create_time())
    notebook: str = ""

    def publish(self) -> Path:
        """Write the file, in place of this process's last one; return its path."""
        path = Path(jupyter_runtime_dir()) / _FILES.replace("*", str(self.pid))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with secure_write(str(path), binary=True) as file:
            file.write(msgspec.json.encode(self))
        return path


def all_served() -> list[Whereabouts]:
    """Return the servers of this user; files of dead ones are deleted."""
    servers = []
    for path in Path(jupyter_runtime_dir()).glob(_FILES):
        with suppress(OSError, msgspec.MsgspecError):  # deleted meanwhile, or not our file
            served = msgspec.json.decode(path.read_bytes(), type=Whereabouts)
            if lives(served.pid, served.started_s):
                servers.append(served)
            else:
                path.unlink()
    return servers
