"""Notebook files; whatever is wrong with one is said in one line.

nbformat takes a second to import where all of jsonschema's formats are installed. So today's
notebooks are read without it: it converts old ones, and checks what is to be written.
"""

from __future__ import annotations

import copy
import glob
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecoder
from pathlib import Path
from typing import Any

from jupyter_llm.common.replacing import replacing
from jupyter_llm.errors import NotebookFileError

_FORMAT = 4  # of nbformat; what came before is converted
_CHECKPOINTS = ".ipynb_checkpoints"
_SUFFIX = ".ipynb"
_MAX_CHARS = 1 << 30  # larger ones no front end opens
_INDENT = re.compile(r"\{(?P<line_end>\r?\n)(?P<indent>[ \t]+)")
_BLANKS = re.compile(r"[ \t\r\n]*")
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
# Of a character outside of ASCII, where nobody wrote the backslash himself.
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u(?!00[01])")

_decode = JSONDecoder().raw_decode


def find_notebooks(name: str) -> Iterator[Path]:
    """Yield what a name means: a file, the notebooks in a folder and below, or those of a pattern.

    Shells that know no patterns hand them on. Jupyter's own checkpoints are left out. A file need
    not be there: reading it tells. `NotebookFileError`: a folder cannot be read, or a pattern
    matches nothing.
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
    """A notebook in nbformat's version 4, whatever its own; else `NotebookFileError` says why.

    Its cells have a source, their outputs are objects; the rest is as it was written, and may be
    anything. Texts that the file has as lines are whole.
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
    """A text that may stand in the file as a list of its lines."""
    is_lines = isinstance(text, list) and all(isinstance(line, str) for line in text)
    return "".join(text) if is_lines else text


def add_cell_metadata(
    path: Path, choose: Callable[[Mapping[str, Any]], Mapping[int, Mapping[str, Any]]]
) -> int:
    """Add to the metadata of some cells, and leave the rest of the file alone.

    `choose` gets the notebook as `read_notebook` gives it, and returns what to add, by the index
    of the cell. Return how many cells that were. The file is replaced in one step, and not changed
    where `NotebookFileError` is raised: it must be valid, and in nbformat's version 4.
    """
    before = _read_text(path)
    additions = choose(_notebook(path, before))
    if not additions:
        return 0
    document = _current(path, before)
    starts = [start for _, start, _ in _members(before, _start_of(before, "cells"))]
    layout, after = _Layout.of(before), before
    for index, addition in sorted(additions.items(), reverse=True):  # what stands before stays put
        for name, value in addition.items():
            names = ("metadata", name)
            _set(path, document["cells"][index], names, value)
            after = layout.put(after, names, value, start=starts[index], depth=2)
    _save(path, before, after, document)
    return len(additions)


def write_metadata(path: Path, names: Sequence[str], value: Any) -> None:
    """Put JSON into a notebook's metadata under nested names, and leave the rest of the file alone.

    `NotebookFileError` is raised as by `add_cell_metadata`.
    """
    before = _read_text(path)
    document = _current(path, before)
    # Jupyter would fail to save a notebook with a text that is no Unicode.
    value = json.loads(_LONE_SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    _set(path, document, ("metadata", *names), value)
    after = _Layout.of(before).put(before, ("metadata", *names), value)
    _save(path, before, after, document)


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends as they are
            text = file.read(_MAX_CHARS + 1)
    except UnicodeDecodeError:
        raise NotebookFileError(path, f"{path} is no notebook: it is not text.") from None
    except (OSError, ValueError) as error:
        raise NotebookFileError(path, f"{path} cannot be read: {_reason(error)}.") from None
    if len(text) > _MAX_CHARS:
        raise NotebookFileError(path, f"{path} is larger than {_MAX_CHARS / 1e9:.0f} GB.")
    return text


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _current(path: Path, text: str) -> dict[str, Any]:
    """A notebook as it stands in a file, to be changed: one in an old format is refused."""
    document = _parsed(path, text)
    if document.get("nbformat") != _FORMAT:
        raise NotebookFileError(
            path, f"{path} is in an old format. Save it with Jupyter first; nothing was written."
        )
    return document


def _set(path: Path, nested: Any, names: Sequence[str], value: Any) -> None:
    for name in names[:-1]:
        nested = nested.setdefault(name, {})
        if not isinstance(nested, dict):
            raise NotebookFileError(path, f"{path} has something else than an object as {name!r}.")
    nested[names[-1]] = value


def _save(path: Path, before: str, after: str, document: dict[str, Any]) -> None:
    """Replace a notebook file in one step, if what it is to hold is the document and valid."""
    _check(path, document)
    if _canonical(json.loads(after)) != _canonical(document):  # a name stands there twice, say
        raise NotebookFileError(path, f"{path} is ambiguous JSON; nothing was written.")
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        with replacing(target, is_private=False) as file:
            file.write(after.encode())
            _check_unchanged(path, before)
    except NotebookFileError:
        raise
    except (OSError, ValueError) as error:
        raise NotebookFileError(path, f"{path} cannot be written: {_reason(error)}.") from None


def _check_unchanged(path: Path, before: str) -> None:
    if _read_text(path) != before:
        raise NotebookFileError(path, f"{path} has just changed; nothing was written.")


def _check(path: Path, document: dict[str, Any]) -> None:
    import nbformat

    try:
        with warnings.catch_warnings(action="ignore"):  # about ids that old notebooks lack
            nbformat.validate(copy.deepcopy(document))  # it repairs what it is given
    except nbformat.ValidationError as error:
        reason = str(error).partition("\n")[0]
        raise NotebookFileError(
            path, f"{path} is not valid ({reason}); nothing was written."
        ) from None


def _canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True)  # where NaN is NaN


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a file is laid out: what each level is indented by, None if all is in one line."""

    indent: str | None
    line_end: str
    comma: str
    colon: str
    is_ascii: bool

    @classmethod
    def of(cls, text: str) -> _Layout:
        found = _INDENT.search(text, 0, 1000)
        colon = ": " if '": ' in text[:1000] else ":"
        return cls(
            indent=found["indent"] if found else None,
            line_end=found["line_end"] if found else "\n",
            comma="," if found else colon.replace(":", ","),
            colon=colon,
            is_ascii=text.isascii() and _ESCAPE.search(text) is not None,
        )

    def dump(self, value: Any, depth: int) -> str:
        """JSON as it stands so many levels deep."""
        text = json.dumps(
            value,
            ensure_ascii=self.is_ascii,
            indent=self.indent,
            separators=(self.comma, self.colon),
            sort_keys=True,  # as nbformat does it, so that the next save changes nothing
        )
        return text if self.indent is None else text.replace("\n", self.gap(depth))

    def gap(self, depth: int) -> str:
        """What stands before a member that is so many levels deep."""
        return "" if self.indent is None else self.line_end + self.indent * depth

    def put(
        self, text: str, names: Sequence[str], value: Any, *, start: int = 0, depth: int = 0
    ) -> str:
        """A text with a value under nested names in the object that begins at `start`.

        All else is as it was. A name that is new goes where nbformat would sort it, or to the end.
        """
        first, *rest = names
        members = list(_members(text, start))
        for name, begin, end in members:
            if name == first and rest:
                return self.put(text, rest, value, start=begin, depth=depth + 1)
            if name == first:
                return text[:begin] + self.dump(value, depth + 1) + text[end:]
        for outer in reversed(rest):
            value = {outer: value}
        name = json.dumps(first, ensure_ascii=self.is_ascii)
        member = f"{self.gap(depth + 1)}{name}{self.colon}{self.dump(value, depth + 1)}"
        if not members:
            place = _skip(text, start) + 1
            return text[:place] + member + self.gap(depth) + text[_skip(text, place) :]
        keys = [str(key) for key, _, _ in members]
        number = sum(key < first for key in keys) if keys == sorted(keys) else len(keys)
        if not number:
            place = _skip(text, start) + 1
            return text[:place] + member + self.comma + text[place:]
        place = members[number - 1][2]
        return text[:place] + self.comma + member + text[place:]


def _start_of(text: str, name: str) -> int:
    return next(start for key, start, _ in _members(text, 0) if key == name)


def _members(text: str, start: int) -> Iterator[tuple[str | None, int, int]]:
    """Yield what is in the object or list that begins at `start`: key, begin and end of a value."""
    position = _skip(text, _skip(text, start) + 1)
    is_list = text[_skip(text, start)] == "["
    while text[position] not in "}]":
        key = None
        if not is_list:
            key, position = _decode(text, position)
            position = _skip(text, _skip(text, position) + 1)  # a colon
        _, end = _decode(text, position)
        yield key, position, end
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    """Where the blanks from a position on end."""
    blanks = _BLANKS.match(text, position)
    assert blanks is not None
    return blanks.end()
