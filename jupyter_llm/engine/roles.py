"""The uses of a loaded model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

ModelRole = Literal["chat", "task", "complete", "embed"]
"""A model's use: chats and prompts, tasks, code at the cursor, vectors."""

ROLE_WORDS: Final[Mapping[str, str]] = {
    "chat": "chats",
    "task": "tasks",
    "complete": "code at the cursor",
    "embed": "vectors",
}


def role_words(roles: Iterable[ModelRole]) -> str:
    """Return uses of a model in words."""
    return ", ".join(ROLE_WORDS[role] for role in roles)
