"""Suggests texts at the cursor: commands after `/`, variables, cells and files after `@`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath

from jupyter_llm.api import llm
from jupyter_llm.chat.files import attached_file, files_like, folder_of, mention
from jupyter_llm.common.clipping import clip
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS
from jupyter_llm.frontends.comm.messages import SuggestionData, SuggestionKind, Suggestions
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.cells.timeline import Snapshot, find_cell
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.summaries import headline, is_hidden, summarize
from jupyter_llm.notebook.values.tables import column, column_labels

_COMMAND = re.compile(r"\s*(/[\w-]*)")
_AT = re.compile(r"(?<![\w@/.)\]])@((?:In|Out)?\[\d*|[\w./+-]*|\"[^\"\n]*)\Z")
_REST = re.compile(r"\w*\]?")
_OF_PATH = re.compile(r"(?:[\w./+-]*[\w/])?")
_OF_QUOTED = re.compile(r'(?:[^"\n]*(?="))?')
_NUMBERED = re.compile(r"(?:In|Out)?\[(\d*)")
_MOST_VARIABLES, _MOST_CELLS, _MOST_FILES = 40, 15, 30
_DETAIL_CHARS = 60
_DESCRIPTION_CHARS = 1500
_CELL = re.compile(r"(?:In|Out)?\[?(\d+)\]?")


def suggestions(
    text: str, cursor: int, cells: Sequence[CellEvent], open_notebooks: Sequence[str] = ()
) -> Suggestions:
    """Return the texts that fit at the cursor, given the cells that ran.

    `open_notebooks`: the paths of other open notebooks, relative to this one's folder.
    """
    before, after = text[:cursor], text[cursor:]
    start, end = cursor, cursor + _length(_REST, after)
    items: list[SuggestionData] = []
    if (command := _COMMAND.fullmatch(before)) is not None:
        start, items = command.start(1), list(_commands(command[1][1:]))
    elif (at := _AT.search(before)) is not None:
        variables = list(islice(chain(_variables(at[1]), _columns(at[1])), _MOST_VARIABLES))
        files = list(islice(_files(at[1].lstrip('"'), open_notebooks), _MOST_FILES))
        start, is_quoted = at.start(), at[1].startswith('"')
        path_end = cursor + _length(_OF_QUOTED if is_quoted else _OF_PATH, after)
        # In the middle of a path that is there, or of what can be nothing else.
        is_end = any(file.name.endswith(text[cursor:path_end]) for file in files)
        if is_end or not (variables or is_quoted):
            end = max(end, path_end)
        end += is_quoted and text[end : end + 1] == '"'
        items = [*variables, *islice(_cells(at[1], cells), _MOST_CELLS), *files]
    return Suggestions(start=start, end=end if items else start, items=items)


def _length(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found is not None else 0


def description(kind: SuggestionKind, name: str, snapshot: Snapshot) -> str:
    """Describe a suggestion; `MagicUsageError` if its object no longer exists."""
    if kind == "command" and name in PANEL_COMMANDS:
        command = PANEL_COMMANDS[name]
        return f"/{name} {command.argument}".rstrip() + f"\n{command.help}"
    if kind == "cell" and (number := _CELL.fullmatch(name)) is not None:
        return clip(cell_text(find_cell(number[1], snapshot.visible)), _DESCRIPTION_CHARS)
    if kind == "file":
        with seen_secrets.at_most(0):  # nobody has sent it
            told = attached_file(name, llm.notebook.path, snapshot, is_asked=True)[1]
        return clip(told, _DESCRIPTION_CHARS)
    variables = own_variables(current_shell())
    if kind == "variable" and name in variables:
        return summarize(name, variables[name], max_chars=_DESCRIPTION_CHARS)
    frame, labels, label = _columns_of(name)
    if kind == "variable" and label in labels:
        return summarize(label, column(frame, label), max_chars=_DESCRIPTION_CHARS)
    raise MagicUsageError(f"There is no {kind} {name[:40]!r} here.")


def _suggestion(
    kind: SuggestionKind, name: str, detail: str, text: str = "", label: str = ""
) -> SuggestionData:
    text, label = text or f"@{name}", label or f"@{name}"
    return SuggestionData(text=text, label=label, kind=kind, name=name, detail=detail)


def _commands(prefix: str) -> Iterator[SuggestionData]:
    for command in PANEL_COMMANDS.values():
        if command.name.startswith(prefix):
            label = f"/{command.name} {command.argument}"
            text = f"/{command.name} " if command.argument else f"/{command.name}"
            yield _suggestion("command", command.name, command.help, text, label.rstrip())


def _variables(prefix: str) -> Iterator[SuggestionData]:
    found = (
        (name, value)
        for name, value in own_variables(current_shell()).items()
        if name.lower().startswith(prefix.lower()) and (prefix or not name.startswith("_"))
    )
    for name, value in sorted(found, key=lambda item: item[0].lower()):
        yield _suggestion("variable", name, headline(name, value, max_chars=_DETAIL_CHARS))


def _columns(prefix: str) -> Iterator[SuggestionData]:
    frame, labels, start = _columns_of(prefix)
    name = prefix.partition(".")[0]
    for label in labels:
        if label.lower().startswith(start.lower()):
            detail = headline(label, column(frame, label), max_chars=_DETAIL_CHARS)
            text = f"@{name}.{label}" if label.isidentifier() else f"@{name}[{label!r}]"
            yield _suggestion("variable", f"{name}.{label}", detail, text, text)


def _columns_of(typed: str) -> tuple[object, tuple[str, ...], str]:
    """Return the frame that `df.pri` names, its columns (none if it is hidden), and `pri`."""
    name, dot, start = typed.partition(".")
    frame = own_variables(current_shell()).get(name) if dot else None
    labels = None if is_hidden(name, frame) else column_labels(frame)
    return frame, labels or (), start


def _files(prefix: str, open_notebooks: Sequence[str]) -> Iterator[SuggestionData]:
    """Yield the notebooks that are open, by their file's name, and the files beside this one."""
    folder = folder_of(llm.notebook.path)
    for way in open_notebooks:
        if PurePosixPath(way).name.lower().startswith(prefix.lower()):
            # A mention of a file outside the folder needs its absolute path.
            path = (folder / way).resolve().as_posix() if way.startswith("../") else way
            yield _suggestion("file", path, "open notebook", mention(path), mention(way))
    for name, detail in files_like(prefix, llm.notebook.path):
        if name not in open_notebooks:
            yield _suggestion("file", name, detail, mention(name), mention(name))


def _cells(prefix: str, cells: Sequence[CellEvent]) -> Iterator[SuggestionData]:
    """Yield the cells whose number goes on from what was typed, the latest first."""
    numbered = _NUMBERED.fullmatch(prefix)
    if numbered is None and not "In[".startswith(prefix):
        return
    digits = numbered[1] if numbered is not None else ""
    found = {
        cell.counts[-1]: cell
        for cell in cells
        if cell.counts[-1] is not None and str(cell.counts[-1]).startswith(digits)
    }
    for number, cell in reversed(found.items()):
        detail = cell.source.strip().partition("\n")[0][:_DETAIL_CHARS]
        yield _suggestion("cell", f"In[{number}]", detail)
