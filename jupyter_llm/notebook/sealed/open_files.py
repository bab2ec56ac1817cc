"""The files that a notebook has open to write to, which in a copy take nothing.

What is written waits in Python until it is enough or the file is closed, which a copy may not come
to: it is asked for at the end.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeGuard


class OpenFiles:
    """Those among some values that can only be written to."""

    def __init__(self, values: Iterable[object]) -> None:
        self._files = [value for value in values if _is_open_to_write(value)]
        for file in self._files:
            _forget_waiting(file)

    def written(self) -> str:
        """The name of one that something was written to since then, or an empty text."""
        for file in self._files:
            try:
                if not file.closed:
                    file.flush()
            except OSError:
                return str(file.name)
        return ""


def _is_open_to_write(value: object) -> TypeGuard[io.TextIOWrapper | io.BufferedWriter]:
    """Whether a value is such a file of Python's own, in which nobody's code is called."""
    if type(value) is io.TextIOWrapper:
        with suppress(ValueError):  # it was detached
            value = value.buffer
    return type(value) is io.BufferedWriter and type(value.raw) is io.FileIO and not value.closed


def _forget_waiting(file: io.TextIOWrapper | io.BufferedWriter) -> None:
    """Take what waits to be written from before away."""
    number = file.fileno()
    kept, nothing = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    with suppress(OSError):
        file.flush()
    os.dup2(kept, number)
    os.close(kept)
    os.close(nothing)
