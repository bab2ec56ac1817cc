"""Where kernels of this user serve their models: a file for each, which nobody else can read."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
    pid: int
    started_s: float
    notebook: str = ""

    @property
    def root(self) -> str:
        """Where the paths begin that are beside OpenAI's protocol."""
        return self.url.removesuffix("/v1")


def publish(url: str, token: str, notebook: str = "") -> Path:
    """Write down where this process serves, in place of what it said before; return the file."""
    folder = Path(jupyter_runtime_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _FILES.replace("*", str(os.getpid()))
    started_s = psutil.Process().create_time()
    where = {"url": url, "token": token, "notebook": notebook}
    served = Whereabouts(pid=os.getpid(), started_s=started_s, **where)
    with secure_write(str(path)) as file:
        file.write(json.dumps(asdict(served)))
    return path


def all_served() -> list[Whereabouts]:
    """The servers of this user, the latest first; what dead ones wrote is removed."""
    found: list[tuple[float, Whereabouts]] = []
    for path in Path(jupyter_runtime_dir()).glob(_FILES):
        with suppress(OSError, ValueError, TypeError):  # it has just gone, or is no file of ours
            served = Whereabouts(**json.loads(path.read_text(encoding="utf-8")))
            if lives(served.pid, served.started_s):
                found.append((path.stat().st_mtime, served))
            else:
                path.unlink()
    return [served for _, served in sorted(found, key=lambda one: -one[0])]
