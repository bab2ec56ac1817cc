"""What stands in a notebook file's own metadata; nothing else of the file changes, not a blank."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import JSONDecoder
from pathlib import Path
from typing import Any

from jupyter_llm.errors import NotebookFileError

_MAX_BYTES = 1 << 30  # larger ones no front end opens
_NBFORMAT = 4
_INDENT = re.compile(r"\{(?P<line_end>\r?\n)(?P<indent>[ \t]+)")
_BLANKS = re.compile(r"[ \t\r\n]*")
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")

_decode = JSONDecoder().raw_decode


def read_metadata(path: Path, names: Sequence[str]) -> Any:
    """Return what stands in a notebook's metadata under nested names; None if nothing does.

    Raises
    ------
    NotebookFileError
        It is no notebook, or cannot be read.
    """
    value: Any = _parse(path, _read(path)).get("metadata")
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def write_metadata(path: Path, names: Sequence[str], value: Any) -> None:
    """Put JSON into a notebook's metadata under nested names, and replace the file in one step.

    Raises
    ------
    NotebookFileError
        It cannot be read or written, or is not valid; nothing changed.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    before = _read(target)
    document = _parse(path, before)
    # Jupyter would fail to save a notebook with a text that is no Unicode.
    value = json.loads(_LONE_SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    nested = document
    for name in ("metadata", *names[:-1]):
        nested = nested.setdefault(name, {})
        if not isinstance(nested, dict):
            raise NotebookFileError(path, f"{path} has something else than an object as {name!r}.")
    nested[names[-1]] = value
    _check(path, document)
    after = _put(before, ("metadata", *names), value)
    if json.loads(after) != document:  # a name that stands there twice, say
        raise NotebookFileError(path, f"{path} is ambiguous JSON; nothing was written.")
    _replace(path, target, before, after)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends stay as they are
            text = file.read(_MAX_BYTES + 1)
    except UnicodeDecodeError:
        raise NotebookFileError(path, f"{path} is no notebook: it is not text.") from None
    except (OSError, ValueError) as error:
        raise NotebookFileError(path, f"{path} cannot be read: {_reason(error)}.") from None
    if len(text) > _MAX_BYTES:
        raise NotebookFileError(path, f"{path} is larger than {_MAX_BYTES / 1e9:.0f} GB.")
    return text


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise NotebookFileError(path, f"{path} is no notebook.") from None
    if not isinstance(document, dict) or "nbformat" not in document:
        raise NotebookFileError(path, f"{path} is no notebook.")
    if document["nbformat"] != _NBFORMAT:
        raise NotebookFileError(
            path, f"{path} is in another format than {_NBFORMAT}. Save it with Jupyter first."
        )
    return document


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


def _replace(path: Path, target: Path, before: str, after: str) -> None:
    try:
        handle, draft = tempfile.mkstemp(suffix=".tmp", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(after)
            shutil.copymode(target, draft)
            if _read(target) != before:
                raise NotebookFileError(path, f"{path} has just changed; nothing was written.")
            Path(draft).replace(target)
        finally:
            Path(draft).unlink(missing_ok=True)
    except NotebookFileError:
        raise
    except OSError as error:
        raise NotebookFileError(path, f"{path} cannot be written: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a file is laid out: what each level is indented by, None if all is in one line."""

    indent: str | None
    line_end: str

    @classmethod
    def of(cls, text: str) -> _Layout:
        match = _INDENT.search(text, 0, 1000)
        return cls(match["indent"], match["line_end"]) if match else cls(None, "\n")

    def dump(self, value: Any, depth: int) -> str:
        """Return JSON as it stands so many levels deep."""
        # Sorted, as nbformat does it, so that the next save changes as little as can be.
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=self.indent)
        if self.indent is None:
            return text
        return text.replace("\n", self.line_end + self.indent * depth)

    def gap(self, depth: int) -> str:
        """Return what stands before a member that is so many levels deep."""
        return "" if self.indent is None else self.line_end + self.indent * depth


def _put(text: str, names: Sequence[str], value: Any) -> str:
    """Return the text of an object with a value under nested names, the rest as it was."""
    layout = _Layout.of(text)
    start = _skip(text, 0)
    for depth, name in enumerate(names):
        members = list(_members(text, start))
        found = next((begin for key, begin, _ in members if key == name), None)
        rest = names[depth + 1 :]
        if found is None:
            for outer in reversed(rest):
                value = {outer: value}
            member = f"{layout.gap(depth + 1)}{json.dumps(name)}: {layout.dump(value, depth + 1)}"
            end = ", "[: 1 if layout.indent else 2] if members else layout.gap(depth)
            after = text[start + 1 :] if members else text[start + 1 :].lstrip()
            return f"{text[: start + 1]}{member}{end}{after}"
        if not rest:
            end_of_value = next(end for key, _, end in members if key == name)
            return text[:found] + layout.dump(value, depth + 1) + text[end_of_value:]
        start = found
    raise AssertionError("there are no names")


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Yield the members of the object that begins at `start`: key, begin and end of the value."""
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, position = _decode(text, position)
        begin = _skip(text, _skip(text, position) + 1)  # a colon
        _, end = _decode(text, begin)
        yield key, begin, end
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    """Return where the blanks from a position on end."""
    blanks = _BLANKS.match(text, position)
    assert blanks is not None
    return blanks.end()
