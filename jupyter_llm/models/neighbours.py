"""Models of the user's other kernels on this machine, and the memory that they need.

Each kernel writes to the user's store what its models hold and may still take, so that the next
kernel leaves that free. Nothing is locked: an entry is valid as long as its process lives. Models
of other users, and memory of GPUs, are not covered.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.models.machine import FreeMemory

_REMEMBERED = Remembered("kernels")
_NUMBERS = count()
_CLOCK_S = 2.0  # tolerance for a process's start time


def lives(pid: int, started_s: float) -> bool:
    """Whether the process that started then still lives; its number may have been reused."""
    import psutil

    try:
        process = psutil.Process(pid)
        is_ours = abs(process.create_time() - started_s) < _CLOCK_S
        return is_ours and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A model of another kernel; `held_bytes` is its memory once it is fully loaded.

    `mapped_bytes` of it are pages of its file, which seem free. `coming_bytes` are reserved, but
    not allocated yet.
    """

    host: str
    pid: int
    started_s: float
    name: str
    path: str
    held_bytes: int
    mapped_bytes: int
    coming_bytes: int

    @property
    def is_alive(self) -> bool:
        """Whether its kernel lives."""
        return lives(self.pid, self.started_s)


class Claim:
    """This kernel's entry for one of its models; `drop` it when the model is unloaded."""

    def __init__(self, name: str, path: Path) -> None:
        self._key = f"{platform.node()} {os.getpid()} {next(_NUMBERS)}"
        self._name, self._path = name, str(path)

    def put(self, *, held_bytes: int, mapped_bytes: int, coming_bytes: int) -> None:
        """Write the memory that the model holds and may still take, in place of the last entry."""
        import psutil

        claim = Neighbour(
            host=platform.node(),
            pid=os.getpid(),
            started_s=psutil.Process().create_time(),
            name=self._name,
            path=self._path,
            held_bytes=held_bytes,
            mapped_bytes=mapped_bytes,
            coming_bytes=coming_bytes,
        )
        _REMEMBERED.put(self._key, json.dumps(asdict(claim)))

    def drop(self) -> None:
        """Delete the entry."""
        _REMEMBERED.forget([self._key])


def neighbours() -> tuple[Neighbour, ...]:
    """Return the models of other kernels; entries of dead kernels are deleted."""
    alive, dead = [], []
    for key, value in _REMEMBERED.all().items():
        try:
            neighbour = Neighbour(**json.loads(value))
        except (TypeError, ValueError):
            dead.append(key)
            continue
        if neighbour.host != platform.node() or neighbour.pid == os.getpid():
            continue  # it is unknown here whether a kernel on another machine lives
        if neighbour.is_alive:
            alive.append(neighbour)
        else:
            dead.append(key)
    if dead:
        _REMEMBERED.forget(dead)
    return tuple(alive)


def leave_room(free: FreeMemory, path: Path | None = None) -> FreeMemory:
    """Subtract what other kernels need from free memory; they share the file at `path` with us."""
    others = neighbours()
    theirs = sum(other.coming_bytes for other in others)
    # Two kernels that map the same file share its pages.
    files = {other.path: other.mapped_bytes for other in others if other.path != str(path)}
    theirs += sum(files.values())
    return replace(free, ram_bytes=max(0, free.ram_bytes - theirs), others_bytes=theirs)
