"""The files that a notebook has open to write to, which in a copy take nothing.

What is written waits in Python until it is enough or the file is closed, which a copy may not come
to: it is asked for at the end.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias, TypeGuard

_File: TypeAlias = io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom


class OpenFiles:
    """Those among some values that can be written to."""

    def __init__(self, values: Iterable[object]) -> None:
        self._files = [value for value in values if _is_open_to_write(value)]
        for file in self._files:
            _forget_waiting(file)

    def written(self) -> str | None:
        """The name, if it has one, of a file that something was written to since then."""
        for file in self._files:
            try:
                if not file.closed:
                    file.flush()
            except OSError:
                name: object = file.name  # it may have been set to anything
                return name if type(name) is str else ""
        return None


def _is_open_to_write(value: object) -> TypeGuard[_File]:
    """Whether a value is such a file of Python's own, in which nobody's code is called."""
    if type(value) is io.TextIOWrapper:
        with suppress(ValueError):  # it was detached
            value = value.buffer
    if type(value) is not io.BufferedWriter and type(value) is not io.BufferedRandom:
        return False
    return type(value.raw) is io.FileIO and not value.closed


def _forget_waiting(file: _File) -> None:
    """Take what waits to be written from before away; where a file is read goes on from there."""
    number = file.fileno()
    buffer: object = file.buffer if isinstance(file, io.TextIOWrapper) else file
    place = buffer.tell() if isinstance(buffer, io.BufferedRandom) else 0
    kept, nothing = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    with suppress(OSError):
        file.flush()
    os.dup2(kept, number)
    os.close(kept)
    os.close(nothing)
    if isinstance(buffer, io.BufferedRandom):
        buffer.seek(place)
