"""The models that are loaded, what each is used for, and in which order they were used."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.base import Engine
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.models.discover import ModelEntry
    from jupyter_llm.models.machine import FreeMemory

ModelRole = Literal["chat", "task", "complete", "embed"]
"""What a model is used for: chats and prompts, tasks, code at the cursor, vectors."""

ROLE_WORDS: Final[Mapping[str, str]] = {
    "chat": "chats",
    "task": "tasks",
    "complete": "code at the cursor",
    "embed": "vectors",
}


def role_words(roles: Iterable[ModelRole]) -> str:
    """What a model is used for, in words."""
    return ", ".join(ROLE_WORDS[role] for role in roles)


def check_role(role: str) -> None:
    """Refuse what is no role, with the nearest one."""
    roles = get_args(ModelRole)
    if role not in roles:
        hint = nearest(str(role), roles, f"There are: {', '.join(roles)}.")
        raise OptionError(f"{role!r:.60} is not what a model can be used for. {hint}")


class LoadedEngine(Engine, Protocol):
    """An engine that holds memory of this machine."""

    @property
    def held(self) -> FreeMemory:
        """What is free again when it has closed."""

    @property
    def is_closed(self) -> bool:
        """Whether the model is gone, by `close` or by a failure."""

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for what it writes, and it does not only read ahead."""

    @property
    def is_outdated(self) -> bool:
        """Whether the model's file is another one now, or has other contents."""


@dataclass(eq=False, slots=True)
class Resident:
    """A loaded model, and when it was last used."""

    entry: ModelEntry
    options: EngineOptions
    engine: LoadedEngine
    used_s: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """Note that it is used now."""
        self.used_s = time.monotonic()


class Residents:
    """The loaded models. Safe from any thread to read; one at a time may change it."""

    def __init__(self) -> None:
        self._all: tuple[Resident, ...] = ()

    @property
    def all(self) -> tuple[Resident, ...]:
        """Those that were loaded, also where their engines have closed by themselves."""
        return self._all

    @property
    def alive(self) -> list[Resident]:
        """Those whose engines work, the latest used last."""
        alive = (one for one in self._all if not one.engine.is_closed)
        return sorted(alive, key=lambda one: one.used_s)

    def find(self, path: Path) -> Resident | None:
        """The one that was loaded for a file."""
        return next((one for one in self.alive if one.entry.path == path), None)

    def take(self, resident: Resident) -> None:
        """Add one, and let go of those that have closed."""
        self._all = (*(one for one in self._all if not one.engine.is_closed), resident)

    def drop(self, gone: Sequence[Resident]) -> None:
        """Let go of some."""
        self._all = tuple(one for one in self._all if one not in gone)
