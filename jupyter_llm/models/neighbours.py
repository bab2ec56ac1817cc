"""The models of this user's other kernels on this machine, and the memory that is theirs.

Each kernel writes down in the user's store what its models hold and what they may still take, so
that the next one leaves them room. Nothing is locked: what a kernel wrote counts as long as its
process lives. Models of other users, and what a GPU holds, are not seen here.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from jupyter_llm.common.remembered import Remembered

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_llm.models.machine import FreeMemory

_REMEMBERED = Remembered("kernels")
_NUMBERS = count()
_CLOCK_S = 2.0  # by so much the start of a process may seem to differ


def lives(pid: int, started_s: float) -> bool:
    """Whether the process that began then lives; the number may be another one's by now."""
    import psutil

    try:
        process = psutil.Process(pid)
        is_ours = abs(process.create_time() - started_s) < _CLOCK_S
        return is_ours and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A model that another kernel holds; `held_bytes` is what it takes as far as it is loaded.

    Of that `mapped_bytes` are pages of its file, which seem free, and `coming_bytes` are not taken
    yet, but promised to it.
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
    """What this kernel says of one of its models; `drop` it when the model has gone."""

    def __init__(self, name: str, path: Path) -> None:
        self._key = f"{platform.node()} {os.getpid()} {next(_NUMBERS)}"
        self._name, self._path = name, str(path)

    def put(self, *, held_bytes: int, mapped_bytes: int, coming_bytes: int) -> None:
        """Write down what it holds, and what it may still take; in place of what was said."""
        import psutil

        said = Neighbour(
            host=platform.node(),
            pid=os.getpid(),
            started_s=psutil.Process().create_time(),
            name=self._name,
            path=self._path,
            held_bytes=held_bytes,
            mapped_bytes=mapped_bytes,
            coming_bytes=coming_bytes,
        )
        _REMEMBERED.put(self._key, json.dumps(asdict(said)))

    def drop(self) -> None:
        """Say that it has gone."""
        _REMEMBERED.forget([self._key])


def neighbours() -> tuple[Neighbour, ...]:
    """The models that other kernels hold; what dead ones wrote is removed."""
    found, dead = [], []
    for key, value in _REMEMBERED.all().items():
        try:
            one = Neighbour(**json.loads(value))
        except (TypeError, ValueError):
            dead.append(key)
            continue
        if one.host != platform.node() or one.pid == os.getpid():
            continue  # nobody knows from here whether a kernel on another machine lives
        if one.is_alive:
            found.append(one)
        else:
            dead.append(key)
    if dead:
        _REMEMBERED.forget(dead)
    return tuple(found)


def leave_room(free: FreeMemory, path: Path | None = None) -> FreeMemory:
    """What is free beside the models of other kernels; the file at a path is shared with them."""
    others = neighbours()
    theirs = sum(one.coming_bytes for one in others)
    # Two kernels that map one file need its pages once.
    files = {one.path: one.mapped_bytes for one in others if one.path != str(path)}
    theirs += sum(files.values())
    return replace(free, ram_bytes=max(0, free.ram_bytes - theirs), others_bytes=theirs)
