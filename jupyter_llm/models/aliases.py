"""The user's own names for models, stored for all kernels."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from jupyter_llm.common.database import store
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import OptionError

DEFAULT = "default"
"""The name of the model to use if nothing else is chosen."""

_ALIASES = Remembered("alias", max_values=1000)
_NAME = re.compile(r"[^\W_][\w.:-]{0,99}")
_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class Alias:
    """The meaning of a user's name: a model's name or path, and options to load it with."""

    model: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.options)])


def aliases() -> dict[str, Alias]:
    """Return the meaning of each name, the oldest first."""
    stored = {name: json.loads(text) for name, text in _ALIASES.all().items()}
    return {
        name: Alias(model, tuple((key, value) for key, value in options))
        for name, (model, options) in stored.items()
    }


def alias_name(name: str) -> str:
    """Return a name in lower case, as it is stored; raise `OptionError` if it is not allowed."""
    if not _NAME.fullmatch(name) or name.lower().endswith(_SUFFIX):
        raise OptionError(
            f"{name!r:.60} cannot be the name of a model. Use letters, digits and - _ . : only."
        )
    return name.lower()


def give_alias(name: str, alias: Alias) -> None:
    """Store a name for a model; raise `OptionError` if the disk cannot be written."""
    key, text = alias_name(name), json.dumps([alias.model, alias.options])
    _ALIASES.put(key, text)
    _check_stored(key, text)


def remove_alias(name: str) -> bool:
    """Delete a name; return False if it did not exist."""
    existed = name.lower() in aliases()
    _ALIASES.forget([name.lower()])
    _check_stored(name.lower(), None)
    return existed


def _check_stored(key: str, text: str | None) -> None:
    if _ALIASES.get(key) != text:
        raise OptionError(
            f"{store().path} cannot be written, so the names of models are unchanged. "
            "Free space on the disk, or make the folder writable."
        )
