"""LoRA adapters: which file one is, and whether it was made for a model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_llm.errors import ModelFileError, OptionError

if TYPE_CHECKING:
    from jupyter_llm.common.remembered import Remembered
    from jupyter_llm.models.inspect import ModelFile

MAX_SCALE = 1000.0


@dataclass(frozen=True, slots=True)
class Lora:
    """The file of a LoRA adapter, and how much of it is added to the weights."""

    path: Path
    scale: float = 1.0

    @classmethod
    def of(cls, value: object) -> Lora:
        """An adapter as people name it: `PATH` or `PATH:SCALE`."""
        if isinstance(value, Lora):
            return value
        if not isinstance(value, str | os.PathLike):
            raise OptionError(f"lora must be the path of an adapter, not {value!r:.60}.")
        text = os.fsdecode(value)
        name, _, end = text.rpartition(":")
        try:
            scale = float(end)
        except ValueError:
            name = ""
        if not name or os.path.lexists(text):  # a colon may be part of a name
            name, scale = text, 1.0
        if not name or not scale or not abs(scale) <= MAX_SCALE:
            raise OptionError(
                f"lora must be PATH or PATH:SCALE with a scale other than 0, not {text!r:.60}."
            )
        try:  # no links are followed
            return cls(Path(os.path.abspath(os.path.expanduser(name))), scale)  # noqa: PTH100, PTH111
        except OSError:
            raise OptionError(
                "The working folder is not there any more, so lora needs a whole path."
            ) from None

    def __str__(self) -> str:
        return f"{self.path}:{self.scale}"

    def added_to(self, base: ModelFile) -> ModelFile:
        """A model with the size of both; `ModelFileError` if it is no adapter for it."""
        from jupyter_llm.models.inspect import inspect_adapter

        file = inspect_adapter(self.path)
        if file.architecture != base.architecture:
            raise ModelFileError(
                self.path,
                f"{self.path.name} is an adapter for {file.architecture} models, and "
                f"{base.path.name} is one of {base.architecture}. Use the model it was made for.",
            )
        return replace(base, size_bytes=base.size_bytes + file.size_bytes)


@cache
def _used() -> Remembered:
    from jupyter_llm.common.remembered import Remembered  # which brings the store

    return Remembered("used adapter")


def note_adapter(path: Path) -> None:
    """Remember an adapter that was loaded, so that answers with it can be written again."""
    _used().put(str(path), "")


def find_adapter(sha256: str) -> Path | None:
    """The adapter that was loaded on this machine and has this SHA-256, if it is still there."""
    from jupyter_llm.models.fingerprint import file_sha256

    for path in map(Path, reversed(_used().all())):
        try:
            if file_sha256(path) == sha256:
                return path
        except ModelFileError:  # it has gone
            continue
    return None
