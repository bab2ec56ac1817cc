"""Names that the user gave to models, kept in the user's store for all kernels."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from jupyter_llm.common.database import store
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import OptionError

DEFAULT = "default"
"""The name of the model that is used where nothing else chooses one."""

_GIVEN = Remembered("alias", max_values=1000)
_NAME = re.compile(r"[^\W_][\w.:-]{0,99}")
_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class Alias:
    """What a name stands for: a model's name or path, and options to load it with."""

    model: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.options)])


def aliases() -> dict[str, Alias]:
    """What each name stands for, the oldest first."""
    found = {name: json.loads(text) for name, text in _GIVEN.all().items()}
    return {
        name: Alias(model, tuple((key, value) for key, value in options))
        for name, (model, options) in found.items()
    }


def alias_name(name: str) -> str:
    """A name as it is kept, in lower case; `OptionError` if a model cannot be called so."""
    if not _NAME.fullmatch(name) or name.lower().endswith(_SUFFIX):
        raise OptionError(
            f"{name!r:.60} cannot be a model's other name: letters, digits and any of - _ . : can."
        )
    return name.lower()


def give_alias(name: str, alias: Alias) -> None:
    """Let a name stand for a model from now on; `OptionError` if the disk does not take it."""
    key, text = alias_name(name), json.dumps([alias.model, alias.options])
    _GIVEN.put(key, text)
    _check_stored(key, text)


def remove_alias(name: str) -> bool:
    """Take a name back; False if it stood for nothing."""
    is_known = name.lower() in aliases()
    _GIVEN.forget([name.lower()])
    _check_stored(name.lower(), None)
    return is_known


def _check_stored(key: str, text: str | None) -> None:
    if _GIVEN.get(key) != text:
        raise OptionError(
            f"{store().path} cannot be written now, so the names of models are as before. "
            "Make room on the disk, or make the folder writable."
        )
