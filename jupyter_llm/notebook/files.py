"""Notebook files, which are only read; whatever is wrong with one is said in one line.

nbformat may take a second to import. So they are read without it.
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
_MAX_CHARS = 1_000_000_000  # larger ones no front end opens


def _failure(path: Path, what: str) -> NotebookFileError:
    return NotebookFileError(path, f"{path} {what}")


def find_notebooks(name: str) -> Iterator[Path]:
    """Yield what a name means: a file, the notebooks in a folder and below, or those of a pattern.

    Shells that know no patterns hand them on. Jupyter's own checkpoints are left out. A file need
    not be there: reading it tells. `NotebookFileError`: a folder cannot be read, or a pattern
    matches nothing.
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
    """A notebook in nbformat's version 4; of any other file `NotebookFileError` says what it is.

    Its cells have a source, their outputs are objects; the rest is as it was written, and may be
    anything. Texts that the file has as lines are whole.
    """
    notebook = _parsed(path, _read_text(path))
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise _failure(path, "is damaged: it has no cells.")
    return {**notebook, "cells": [_whole_cell(path, cell) for cell in cells]}


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


def _whole_cell(path: Path, cell: Any) -> dict[str, Any]:
    source = _whole(cell.get("source")) if isinstance(cell, Mapping) else None
    outputs = cell.get("outputs", []) if isinstance(source, str) else None
    if not isinstance(outputs, list) or not all(isinstance(one, Mapping) for one in outputs):
        raise _failure(path, "is damaged: one of its cells is none.")
    return {**cell, "source": source, "outputs": [_whole_output(one) for one in outputs]}


def _whole_output(output: Mapping[str, Any]) -> dict[str, Any]:
    data = output.get("data")
    if not isinstance(data, dict):
        return dict(output)
    return {**output, "data": {mime: _whole(value) for mime, value in data.items()}}


def _whole(text: Any) -> Any:
    """A text that may stand in the file as a list of its lines."""
    is_lines = isinstance(text, list) and all(isinstance(line, str) for line in text)
    return "".join(text) if is_lines else text


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends as they are
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
