"""Notebook files, read with nbformat; whatever is wrong with one is said in one line."""

from __future__ import annotations

import copy
import glob
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_llm.errors import NotebookFileError

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
    anything.

    Raises
    ------
    NotebookFileError
        It is no notebook, damaged, or cannot be read.
    """
    text = _read_text(path)
    import nbformat

    try:
        with warnings.catch_warnings(action="ignore"):  # about ids that old notebooks lack
            notebook = nbformat.convert(nbformat.reader.reads(text), 4)
    except Exception:  # noqa: BLE001  the file is foreign: nbformat may stumble over anything
        raise NotebookFileError(path, f"{path} is no notebook.") from None
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise NotebookFileError(path, f"{path} is damaged: its cells are none.")
    return notebook  # type: ignore[no-any-return]


def write_cell_metadata(path: Path, additions: Mapping[int, Mapping[str, Any]]) -> None:
    """Add to the metadata of some cells, by their index, and leave the rest of the file alone.

    The file is replaced in one step. What it holds is laid out as it was, if a program laid it
    out.

    Raises
    ------
    NotebookFileError
        It cannot be read or written, is not in nbformat's version 4 or not valid; nothing changed.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    text = _read_text(target)
    try:
        document = json.loads(text)
        cells = document["cells"] if document["nbformat"] == 4 else None  # noqa: PLR2004
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NotebookFileError(path, f"{path} is no notebook.") from None
    if cells is None:
        raise NotebookFileError(
            path, f"{path} is in an old format. Save it with Jupyter first; nothing was written."
        )
    dump = _layout_of(text, document)
    for index, addition in additions.items():
        metadata = cells[index].setdefault("metadata", {})
        was_sorted = list(metadata) == sorted(metadata)
        metadata.update(addition)
        if was_sorted:  # as nbformat does it, so that the next save changes nothing
            cells[index]["metadata"] = dict(sorted(metadata.items()))
    _check(path, document)
    _replace(path, target, text, dump(document))


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends as they are
            return file.read()
    except UnicodeDecodeError:
        raise NotebookFileError(path, f"{path} is no notebook: it is not text.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotebookFileError(path, f"{path} cannot be read: {reason}.") from None


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, Mapping) or not isinstance(cell.get("source"), str):
        return False
    outputs = cell.get("outputs", [])
    return isinstance(outputs, list) and all(isinstance(output, Mapping) for output in outputs)


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
