"""Notebook files; whatever is wrong with one is said in one line.

nbformat takes a second to import where all of jsonschema's formats are installed. So today's
notebooks are read without it: it converts old ones, and checks what is to be written.
"""

from __future__ import annotations

import copy
import glob
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_llm.errors import NotebookFileError

_FORMAT = 4  # of nbformat; what came before is converted
_CHECKPOINTS = ".ipynb_checkpoints"
_SUFFIX = ".ipynb"
# How programs lay out JSON, nbformat's way first.
_LAYOUTS: tuple[dict[str, Any], ...] = tuple(
    {"indent": indent, "ensure_ascii": is_ascii, "separators": separators}
    for indent, separators in (
        *((indent, (",", ": ")) for indent in (1, 2, 4, "\t")),
        (None, (",", ":")),
        (None, (", ", ": ")),
    )
    for is_ascii in (False, True)
)


def find_notebooks(name: str) -> Iterator[Path]:
    """Yield what a name means: a file, the notebooks in a folder and below, or those of a pattern.

    Shells that know no patterns hand them on. Jupyter's own checkpoints are left out. A file need
    not be there: reading it tells.

    Raises
    ------
    NotebookFileError
        A folder cannot be read, or a pattern matches nothing.
    """
    path = Path(name)
    matches = [name]
    if glob.has_magic(name) and not path.exists():
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  the name may be absolute
        if not matches:
            raise NotebookFileError(path, f"{name} matches no file.")
    for match in map(Path, matches):
        if match.is_dir():
            yield from _in_folder(match)
        else:
            yield match


def _in_folder(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        where = error.filename or folder
        raise NotebookFileError(Path(where), f"{where} cannot be read: {error.strerror}.")

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if name != _CHECKPOINTS)
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(_SUFFIX))


def read_notebook(path: Path) -> Mapping[str, Any]:
    """Return a notebook in nbformat's version 4, whatever its own.

    Its cells have a source, their outputs are objects; the rest is as it was written, and may be
    anything. Texts that the file has as lines are whole.

    Raises
    ------
    NotebookFileError
        It is no notebook, damaged, or cannot be read.
    """
    return _notebook(path, _read_text(path))


def _notebook(path: Path, text: str) -> Mapping[str, Any]:
    notebook = _parsed(path, text)
    if notebook.get("nbformat") != _FORMAT:
        notebook = _converted(path, text)
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise NotebookFileError(path, f"{path} is damaged: it has no cells.")
    return {**notebook, "cells": [_whole_cell(path, cell) for cell in cells]}


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotebookFileError(path, f"{path} is no notebook.")
    return document


def _converted(path: Path, text: str) -> dict[str, Any]:
    import nbformat

    try:
        with warnings.catch_warnings(action="ignore"):  # about ids that old notebooks lack
            return dict(nbformat.convert(nbformat.reader.reads(text), _FORMAT))
    except Exception:  # noqa: BLE001  the file is foreign: nbformat may stumble over anything
        raise NotebookFileError(path, f"{path} is no notebook.") from None


def _whole_cell(path: Path, cell: Any) -> dict[str, Any]:
    if isinstance(cell, Mapping):
        source, outputs = _whole(cell.get("source")), cell.get("outputs", [])
        if isinstance(source, str) and isinstance(outputs, list):
            return {**cell, "source": source, "outputs": [_whole_output(path, o) for o in outputs]}
    raise NotebookFileError(path, f"{path} is damaged: one of its cells is none.")


def _whole_output(path: Path, output: Any) -> dict[str, Any]:
    if not isinstance(output, Mapping):
        raise NotebookFileError(path, f"{path} is damaged: one of its outputs is none.")
    data = output.get("data")
    if not isinstance(data, Mapping):
        return dict(output)
    return {**output, "data": {mime: _whole(value) for mime, value in data.items()}}


def _whole(text: Any) -> Any:
    """Return a text that may stand in the file as a list of its lines."""
    is_lines = isinstance(text, list) and all(isinstance(line, str) for line in text)
    return "".join(text) if is_lines else text


def add_cell_metadata(
    path: Path, choose: Callable[[Mapping[str, Any]], Mapping[int, Mapping[str, Any]]]
) -> int:
    """Add to the metadata of some cells, and leave the rest of the file alone.

    `choose` gets the notebook as `read_notebook` gives it, and returns what to add, by the index
    of the cell. Return how many cells that were. The file is replaced in one step, and laid out as
    it was if a program laid it out.

    Raises
    ------
    NotebookFileError
        It cannot be read or written, is not in nbformat's version 4 or not valid; nothing changed.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    text = _read_text(target)
    additions = choose(_notebook(path, text))
    if not additions:
        return 0
    document = _parsed(path, text)
    if document.get("nbformat") != _FORMAT:
        raise NotebookFileError(
            path, f"{path} is in an old format. Save it with Jupyter first; nothing was written."
        )
    _check(path, document)
    dump = _layout_of(text, document)
    for index, addition in additions.items():
        cell = document["cells"][index]
        metadata = cell["metadata"]
        was_sorted = list(metadata) == sorted(metadata)
        metadata.update(addition)
        if was_sorted:  # as nbformat does it, so that the next save changes nothing
            cell["metadata"] = dict(sorted(metadata.items()))
    _replace(path, target, text, dump(document))
    return len(additions)


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends as they are
            return file.read()
    except UnicodeDecodeError:
        raise NotebookFileError(path, f"{path} is no notebook: it is not text.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotebookFileError(path, f"{path} cannot be read: {reason}.") from None


def _layout_of(text: str, document: Any) -> Any:
    """Return what writes a document as the text has it, or as nbformat would."""
    body = text.rstrip()
    end = text[len(body) :]
    line_end = "\r\n" if "\r\n" in text else "\n"

    def dump(document: Any, layout: Mapping[str, Any]) -> str:
        return json.dumps(document, **layout).replace("\n", line_end)

    layout = next((one for one in _LAYOUTS if dump(document, one) == body), _LAYOUTS[0])
    return lambda document: dump(document, layout) + end


def _check(path: Path, document: Any) -> None:
    import nbformat

    try:
        with warnings.catch_warnings(action="ignore"):  # about ids that old notebooks lack
            nbformat.validate(copy.deepcopy(document))  # it repairs what it is given
    except nbformat.ValidationError as error:
        reason = str(error).partition("\n")[0]
        raise NotebookFileError(
            path, f"{path} is not valid ({reason}); nothing was written."
        ) from None


def _replace(path: Path, target: Path, before: str, after: str) -> None:
    try:
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(after)
            shutil.copymode(target, temporary)
            if _read_text(target) != before:
                raise NotebookFileError(path, f"{path} has just changed; nothing was written.")
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, NotebookFileError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise NotebookFileError(path, f"{path} cannot be written: {reason}.") from None
