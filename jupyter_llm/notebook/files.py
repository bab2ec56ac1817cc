"""Reads notebook files; an unreadable one raises an error of one line.

nbformat may take a second to import, so it is not used.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_llm.errors import NotebookFileError

_FORMAT = 4  # of nbformat
_MAX_CHARS = 1_000_000_000  # no front end opens larger files


def _failure(path: Path, problem: str) -> NotebookFileError:
    return NotebookFileError(path, f"{path} {problem}")


def find_notebooks(name: str) -> Iterator[Path]:
    """Yield the notebooks of a name: a file, those in a folder and below, or those of a pattern.

    Some shells pass patterns unexpanded. Jupyter's checkpoints are omitted. A file need not exist:
    reading it raises the error. `NotebookFileError`: a folder cannot be read, or a pattern matches
    nothing.
    """
    matches = [name]
    if glob.has_magic(name) and not Path(name).exists():
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  the name may be absolute
        if not matches:
            raise _failure(Path(name), "matches no file.")
    for match in map(Path, matches):
        yield from _in_folder(match) if match.is_dir() else (match,)


def _in_folder(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise _failure(Path(error.filename or folder), f"cannot be read: {error.strerror}.")

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if name != ".ipynb_checkpoints")
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(".ipynb"))


def read_notebook(path: Path) -> Mapping[str, Any]:
    """Return a notebook in nbformat's version 4; `NotebookFileError` for any other file.

    Each cell has a source, and its outputs are objects. All else is as in the file, and may be
    anything. Texts that the file stores as lists of lines are joined.
    """
    notebook = _parsed(path, _read_text(path))
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise _failure(path, "is damaged: it has no cells.")
    return {**notebook, "cells": [_joined_cell(path, cell) for cell in cells]}


def _parsed(path: Path, text: str) -> dict[str, Any]:
    document: Any = None
    with suppress(ValueError, RecursionError):
        document = json.loads(text)
    version = document.get("nbformat") if isinstance(document, dict) else None
    if version in range(1, _FORMAT):
        raise _failure(path, "is in an old format. Save it with Jupyter first.")
    if version != _FORMAT:
        raise _failure(path, "is no notebook.")
    return dict(document)


def _joined_cell(path: Path, cell: Any) -> dict[str, Any]:
    source = _joined(cell.get("source")) if isinstance(cell, Mapping) else None
    outputs = cell.get("outputs", []) if isinstance(source, str) else None
    if not isinstance(outputs, list) or not all(isinstance(one, Mapping) for one in outputs):
        raise _failure(path, "is damaged: one of its cells is none.")
    return {**cell, "source": source, "outputs": [_joined_output(one) for one in outputs]}


def _joined_output(output: Mapping[str, Any]) -> dict[str, Any]:
    data = output.get("data")
    if not isinstance(data, dict):
        return dict(output)
    return {**output, "data": {mime: _joined(value) for mime, value in data.items()}}


def _joined(text: Any) -> Any:
    """Return a text that the file may store as a list of lines."""
    is_lines = isinstance(text, list) and all(isinstance(line, str) for line in text)
    return "".join(text) if is_lines else text


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends unchanged
            text = file.read(_MAX_CHARS + 1)
    except UnicodeDecodeError:
        raise _failure(path, "is no notebook: it is not text.") from None
    except (OSError, ValueError) as error:
        raise _failure(path, f"cannot be read: {_reason(error)}.") from None
    if len(text) > _MAX_CHARS:
        raise _failure(path, "is larger than 1 GB.")
    return text


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
