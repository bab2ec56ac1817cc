"""The models that are loaded: what each is used for, and when it was."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.models.discover import ModelEntry

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


@dataclass(eq=False, slots=True)
class Resident:
    """A loaded model, and when it was last used."""

    entry: ModelEntry
    options: EngineOptions
    engine: LocalEngine
    used_s: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """Note that it is used now."""
        self.used_s = time.monotonic()
