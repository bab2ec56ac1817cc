"""Files beside the notebook: the mentions in a text, and the text of a file in a prompt.

A path counts from the notebook's folder. A file outside of it is included only if the user wrote
its whole path, or dropped it. Only ordinary files are opened, and of a large one the start is read.
Secrets in a file are hidden, and registered like those of a cell that ran.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from jupyter_llm.common.controls import plain
from jupyter_llm.common.files import open_regular
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.tables import count_of, human_size
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.document import is_tagged
from jupyter_llm.notebook.cells.timeline import HIDING_TAGS, Snapshot
from jupyter_llm.notebook.files import read_notebook
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.guard import Deadline
from jupyter_llm.notebook.values.kinds import MARGIN, Reading
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.notebook.values.summaries import kind_of
from jupyter_llm.notebook.values.tables import columns_summary
from jupyter_llm.notebook.values.variables import outside_code

_MOST_READ: Final = 64_000  # bytes of a text
_MOST_OF_A_NOTEBOOK: Final = 5_000_000  # JSON can only be read whole
_TABLE_CHARS: Final = 2000
_MOST_ENTRIES: Final = 20_000  # of a folder that are looked at
_SEPARATORS: Final = {".csv": ",;\t|", ".tsv": "\t"}
# As little of an address, a package (`@scope/name`) or a product (`a@b`) as `@name`.
_MENTION: Final = re.compile(
    r'(?<![\w@/.)\]])@(?:"([^"\n\x00]+)"|([\w./][\w.+/-]*(?<=\w))(?![\w/@]))'
)
_PLAIN: Final = re.compile(r"[\w.+/-]+")


@dataclass(frozen=True, slots=True)
class FileStart:
    """The start of a file of so many bytes that only the front end can read."""

    start: str
    size: int


def file_mentions(
    text: str, namespace: Mapping[str, object], notebook: Path | None
) -> list[tuple[re.Match[str], str]]:
    """Return the mentions of files in a text, each with its path as typed.

    They are written `@data/prices.csv` or `@"my data.csv"`. A mention in quotes always counts.
    Without quotes, the path must not be the name of a variable, and the file must exist. For a path
    like `folder/name.ext` it is enough that the folder exists.
    """

    def is_file(path: str) -> bool:
        file = folder_of(notebook).joinpath(path)
        is_like = bool(Path(path).parent.name and re.search(r"\.[a-z]\w*\Z", path))
        with suppress(OSError, ValueError):
            return path not in namespace and (file.exists() or (is_like and file.parent.is_dir()))
        return False

    found = outside_code(_MENTION, text)
    return [(one, one[1] or one[2]) for one in found if one[1] or is_file(one[2])]


def mention(path: str) -> str:
    """Return the mention of a file or a folder; the quotes of a folder stay open for its files."""
    end = "" if path.endswith("/") else '"'
    return f"@{path}" if _PLAIN.fullmatch(path) else f'@"{path}{end}'


def files_like(typed: str, notebook: Path | None) -> Iterator[tuple[str, str]]:
    """Return the paths that begin with a text, and their sizes; folders end with `/`.

    Hidden files are left out, and those outside of the notebook's folder.
    """
    above, slash, start = typed.rpartition("/")
    found = []
    with suppress(OSError, RuntimeError, ValueError):
        folder = folder_of(notebook).joinpath(above + slash).resolve()
        if folder.is_relative_to(folder_of(notebook).resolve()):
            with os.scandir(folder) as entries:
                found = [one for one in islice(entries, _MOST_ENTRIES) if one.name[0] != "."]
    for entry in sorted(found, key=lambda one: one.name.lower()):
        name = f"{above}{slash}{entry.name}"
        is_like = entry.name.lower().startswith(start.lower()) and name.isprintable()
        with suppress(OSError):
            if is_like and '"' not in name and (entry.is_dir() or entry.is_file()):
                size = human_size(entry.stat().st_size)
                yield (f"{name}/", "folder") if entry.is_dir() else (name, size)


def attached_file(
    path: str, notebook: Path | None, snapshot: Snapshot, *, is_asked: bool = False
) -> tuple[str, str]:
    """Return the name of a file and its text: text, the first rows, or a notebook's cells.

    `OptionError`: why the file cannot be included. `is_asked`: the user named the file, so it may
    be outside of the notebook's folder.
    """
    folder = folder_of(notebook)
    try:
        real = folder.joinpath(path).resolve(strict=True)
        is_below = real.is_relative_to(folder.resolve())
        if not (is_below or is_asked or Path(path).is_absolute()):
            where = mention(real.as_posix())
            raise OptionError(f"{path} is outside the notebook's folder. If you mean it: {where}")
        if notebook is not None and real == notebook.resolve():
            raise OptionError(
                "That is this notebook. `-c all` includes its cells, `@In[3]` one of them."
            )
        with open_regular(real, follows_links=False) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(_MOST_READ + 1)
    except (OSError, RuntimeError, ValueError) as error:  # of links in a circle, of odd characters
        if isinstance(error, OptionError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        advice = "Put it in `backticks` to keep the @ as it is."
        advice = "Remove it, or attach another file." if is_asked else advice
        raise OptionError(f"{path} cannot be attached: {why}. {advice}") from None
    is_cells = data.lstrip()[:1] == b"{" and b'"cell_type"' in data
    suffix = ".ipynb" if is_cells else real.suffix.lower()
    if suffix != ".ipynb" or size >= _MOST_OF_A_NOTEBOOK:
        return path, _start_text(path, data, suffix, size)
    # A table of keys leaves room for the secrets of cells.
    with seen_secrets.at_most(seen_secrets.MOST // 2):
        return path, redact_mixed(human_size(size) + _notebook_text(real, snapshot)).text


def attached(
    label: str, what: str | FileStart | None, notebook: Path | None, snapshot: Snapshot
) -> tuple[str, str]:
    """Return the name of an attachment and its text; without a text it is a file, by its path.

    `OptionError`: as in `attached_file`.
    """
    match what:
        case None:
            return attached_file(label, notebook, snapshot, is_asked=True)
        case FileStart(start=start, size=size):
            return label, _start_text(label, start.encode(), Path(label).suffix.lower(), size)
        case text:
            return label, text


def _start_text(name: str, data: bytes, suffix: str, size: int) -> str:
    """Return the text of a file, given its start, its suffix and its size.

    `OptionError`: the file is not text, or is a notebook that is too long.
    """
    size = max(size, len(data))
    text = data.decode("utf-8-sig", "replace")
    if suffix == ".ipynb" or "\0" in text or text.count("\ufffd") > len(text) // 10:
        why = "too long a notebook" if suffix == ".ipynb" else "not text"
        advice = "Load what you need of it, and name the variable."
        raise OptionError(f"{name} cannot be attached: it is {why}. {advice}")
    with seen_secrets.at_most(seen_secrets.MOST // 2):
        return redact_mixed(human_size(size) + _start_of_text(data, suffix, size)).text


def folder_of(notebook: Path | None) -> Path:
    """Return the notebook's folder; if the notebook is unknown, the kernel's."""
    return notebook.parent if notebook is not None else Path()


def _notebook_text(path: Path, snapshot: Snapshot) -> str:
    """Return the sources of a notebook's cells, except hidden ones and those of this kernel."""
    sources, hidden = [""], {cell.source.strip() for cell in snapshot.hidden}
    for cell in read_notebook(path)["cells"]:
        source = plain(cell["source"])
        is_hidden = snapshot.is_hidden(str(cell.get("id"))) or source.strip() in hidden
        if not (is_hidden or is_tagged(cell, HIDING_TAGS)):
            sources.append(code_block(source) if cell.get("cell_type") == "code" else source)
    text = "\n\n".join(sources)
    return text if len(text) <= _MOST_READ else _whole_lines(text[:_MOST_READ])


def _whole_lines(text: str) -> str:
    """Return the start of a text without its last line, which may hold half of a secret."""
    return text[: text.rfind("\n") + 1] or text[:-MARGIN]


def _start_of_text(data: bytes, suffix: str, size: int) -> str:
    """Return the start of a text or a table, and its share of the whole."""
    text = data[: _MOST_READ + 1].decode("utf-8-sig", "replace").replace("\r\n", "\n")
    about = ""
    if size > _MOST_READ:
        text = _whole_lines(text)
        about = f", here the first {human_size(len(text.encode()))}"
    text = plain(text)
    if suffix in _SEPARATORS and (columns := _columns(text, _SEPARATORS[suffix])):
        about += f": {count_of(len(columns[0][1]), 'row')} x {count_of(len(columns), 'column')}"
        text = columns_summary(columns, Reading(_TABLE_CHARS, Deadline(0), kind_of))
    return f"{about}\n{code_block(text) if suffix == '.py' else text}"


def _columns(text: str, separators: str) -> list[tuple[str, list[Any]]]:
    """Return the columns of separated values: the names in the first line, and the rows."""
    lines = text.splitlines(keepends=True)
    separator = max(separators, key=lines[0].count) if lines else ","
    with suppress(csv.Error):
        header, *rows = [*csv.reader(lines, delimiter=separator)] or [[]]
        rows = [row for row in rows if len(row) == len(header)]
        return [(name, _typed(cells)) for name, *cells in zip(header, *rows, strict=True) if cells]
    return []


def _typed(cells: list[str]) -> list[Any]:
    """Return cells as numbers if all of them are numbers; empty ones as None."""
    for kind in (int, float):
        with suppress(ValueError):
            return [kind(cell) if cell.strip() else None for cell in cells]
    return [cell or None for cell in cells]
