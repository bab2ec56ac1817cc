"""The frames of a traceback as values: the user's code with its source, libraries as a count.

Nothing here keeps a frame or an object of the user's alive.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.cells.sources import CellSource, CellSources
from jupyter_llm.notebook.code.bindings import keys_in, names_in, statement_at
from jupyter_llm.notebook.code.syntax import parse_python
from jupyter_llm.notebook.values.peek import library_folders
from jupyter_llm.notebook.values.summaries import Summary, SummaryBudget, holds_data

_PACKAGE = os.path.realpath(Path(__file__).parents[2]) + os.sep
_MACHINERY = ("IPython", "ipykernel", "ipyparallel")  # packages that run cells
_MAX_FRAMES = 12  # the user's own; of more, the middle ones are omitted
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_MAX_WALK = 100_000
_POSITIONS = ("lineno", "end_lineno", "col_offset", "end_col_offset")
_MAX_EXPRESSION = 200  # characters
_MAX_SOURCE_LINES = 60  # shown of a function in a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame of a traceback in the user's own code.

    `source` is a whole cell as typed, or a function of a file that begins at `first_line`; `line`
    is the running line. The running expression reads `names` and `keys`, its statement
    `statement_names`. Only the outermost and the innermost frame have `variables`; `num_omitted`
    did not fit.
    """

    function: str
    source: str
    line: int
    first_line: int = 1
    cell: CellSource | None = field(default=None, repr=False)
    path: str | None = None
    expression: str = ""
    names: tuple[str, ...] = ()
    statement_names: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    is_raise: bool = False
    local_names: frozenset[str] = frozenset()
    variables: tuple[Summary, ...] = ()
    num_omitted: int = 0

    @property
    def is_module_level(self) -> bool:
        """Whether the cell or the file itself was running, not a function."""
        return self.function == "<module>"

    @property
    def is_comprehension(self) -> bool:
        """Whether it is a comprehension's frame, which adds nothing to the frame around it."""
        return self.function in _COMPREHENSIONS

    @property
    def line_text(self) -> str:
        """Return the running line."""
        lines = self.source.split("\n")
        index = self.line - self.first_line
        return lines[index].strip() if 0 <= index < len(lines) else ""


Step = Frame | str
"""A frame in the user's own code, or a text in place of other frames."""


def read_steps(
    traceback: TracebackType | None, sources: CellSources, room: SummaryBudget
) -> tuple[tuple[Step, ...], dict[str, object]]:
    """Return a traceback's frames, the outermost first, and the innermost own frame's variables.

    IPython's frames above the first cell are omitted, and so are frames below its magics.
    """
    entries = _walk(traceback, sources)
    own = [entry for entry in entries if entry.is_own]
    # The innermost frame's variables get room first.
    ends = {id(one): one for one in (*own[-1:], *own[:1])}
    variables = {key: _summarized(_values(one), room) for key, one in ends.items()}
    middle: list[Step] = []
    begin = end = len(entries)
    if len(own) > _MAX_FRAMES:
        half = _MAX_FRAMES // 2
        begin, end = entries.index(own[half - 1]) + 1, entries.index(own[-half])
        middle.append(f"{end - begin} more steps")
    head, tail = (list(_steps(some, variables)) for some in (entries[:begin], entries[end:]))
    live = [names for one in own[-1:] for names in (one.live.f_globals, one.live.f_locals)]
    namespace = {name: value for one in live for name, value in _namespace(one).items()}
    return (*head, *middle, *tail), namespace


def _steps(
    entries: list[_LiveStep], variables: Mapping[int, tuple[tuple[Summary, ...], int]]
) -> Iterator[Step]:
    for is_own, group in groupby(entries, key=lambda entry: entry.is_own):
        if is_own:
            yield from (one.frame(*variables.get(id(one), ((), 0))) for one in group)
        else:
            *_, last = calls = list(group)
            yield f"{count_of(len(calls), 'call')} in libraries, the last is {last.code.co_name}"


def _summarized(
    values: Mapping[str, object], room: SummaryBudget
) -> tuple[tuple[Summary, ...], int]:
    """Return summaries of variables while there is room, and the number of omitted ones."""
    summaries = [room.summarize(name, value) for name, value in values.items()]
    return tuple(one for one in summaries if one is not None), summaries.count(None)


def is_users_code(code: CodeType, sources: CellSources) -> bool:
    """Whether code is from a cell or from a file of the user's."""
    name = code.co_filename
    return sources.find(name) is not None or _is_users_file(name)


@dataclass(slots=True, eq=False)
class _LiveStep:
    """A frame while it is read; it must not outlive the reading.

    `cell` or `path` is the origin of the code, if it is the user's own.
    """

    live: FrameType
    line: int
    instruction: int
    cell: CellSource | None
    path: str | None

    @property
    def code(self) -> CodeType:
        return self.live.f_code

    @property
    def is_own(self) -> bool:
        return self.cell is not None or self.path is not None

    def text(self) -> str:
        if self.cell is not None:
            return self.cell.compiled
        linecache.checkcache(self.path or "")
        return "".join(linecache.getlines(self.path or ""))

    def tree(self) -> ast.Module | None:
        return parse_python(self.text())

    def nodes(self) -> tuple[ast.AST | None, ast.stmt | None]:
        """Return the running expression and the running statement."""
        tree = self.tree()
        if tree is None:
            return None, None
        statement = statement_at(tree, self.line)
        positions = next(islice(self.code.co_positions(), self.instruction // 2, None), (None,))
        for node in ast.walk(statement) if statement is not None and None not in positions else ():
            if tuple(getattr(node, name, None) for name in _POSITIONS) == positions:
                return node, statement
        return statement, statement

    def frame(self, variables: tuple[Summary, ...], num_omitted: int) -> Frame:
        expression, statement = self.nodes()
        text = None
        if expression is not None and expression is not statement:
            text = ast.get_source_segment(self.text(), expression)
        source, first_line = self.source()
        cell, code = self.cell, self.code
        return Frame(
            function=code.co_name,
            source=source,
            line=cell.typed_line(self.line) if cell is not None else self.line,
            first_line=first_line,
            cell=replace(cell, compiled="") if cell is not None else None,
            path=_shown_path(self.path) if self.path is not None else None,
            expression=" ".join((text or "").split())[:_MAX_EXPRESSION],
            names=names_in(expression) if expression is not None else (),
            statement_names=names_in(statement) if statement is not None else (),
            keys=keys_in(expression) if expression is not None else frozenset(),
            is_raise=isinstance(statement, (ast.Raise, ast.Assert)),
            local_names=frozenset((*code.co_varnames, *code.co_cellvars, *code.co_freevars)),
            variables=variables,
            num_omitted=num_omitted,
        )

    def source(self) -> tuple[str, int]:
        """Return the cell as typed, or the function in its file, and the number of its first line.

        A file's top level, and a long function, are cut to the lines around the running one.
        """
        if self.cell is not None:
            return self.cell.source, 1
        lines, begin = self.text().splitlines(keepends=True), max(self.code.co_firstlineno, 1)
        if self.code.co_name != "<module>":
            lines = [*lines[: begin - 1], *inspect.getblock(lines[begin - 1 :])]
        first = max(begin, self.line - _MAX_SOURCE_LINES // 2)
        return "".join(lines[first - 1 : first + _MAX_SOURCE_LINES]).rstrip("\n"), first


def _values(entry: _LiveStep) -> dict[str, object]:
    """Return a frame's variables: those of the running expression first, then its function's.

    Of the notebook's variables, only those that the cell reads are included. Functions and modules
    are omitted, unless the running statement reads them.
    """
    local, shared = _namespace(entry.live.f_locals), _namespace(entry.live.f_globals)
    expression, statement = entry.nodes()
    near = [name for node in (expression, statement) if node is not None for name in names_in(node)]
    if entry.code.co_name != "<module>":
        wider = [*local, *entry.code.co_names]
    else:  # IPython compiles each statement of a cell by itself
        wider = [*names_in(entry.tree() or ast.Module([], []))]
    visible = {**shared, **local}
    chosen = {name: visible[name] for name in dict.fromkeys((*near, *wider)) if name in visible}
    return {
        name: value
        for name, value in chosen.items()
        if name in near or (name.isidentifier() and name[0] != "_" and holds_data(value))
    }


def _namespace(names: Mapping[str, Any]) -> Mapping[str, Any]:
    # Code may run in a mapping class of the user's, and reading it would run its code.
    return names if type(names) is dict or type(names).__name__ == "FrameLocalsProxy" else {}


def _walk(traceback: TracebackType | None, sources: CellSources) -> list[_LiveStep]:
    """Return the frames from the first one in the user's code on."""
    origins: dict[str, tuple[CellSource | None, str | None]] = {}
    entries: list[_LiveStep] = []
    within: CellSource | None = None  # the last cell
    for _ in range(_MAX_WALK):
        if traceback is None:
            break
        name = traceback.tb_frame.f_code.co_filename
        if name not in origins:
            cell = sources.find(name)
            if cell is None and within is not None:
                cell = sources.body_of(within, name)
            origins[name] = (cell, name if cell is None and _is_users_file(name) else None)
        cell, path = origins[name]
        within = cell or within
        step = _LiveStep(traceback.tb_frame, traceback.tb_lineno, traceback.tb_lasti, cell, path)
        is_machinery = any(f"{os.sep}{one}{os.sep}" in name for one in _MACHINERY)
        if entries or step.is_own or not is_machinery:
            entries.append(step)
        traceback = traceback.tb_next
    return entries


def _is_users_file(filename: str) -> bool:
    """Whether a file is the user's own: it exists, and is not part of Python or of a package."""
    if filename.startswith("<") or not Path(filename).is_file():
        return False
    path = os.path.realpath(filename)
    is_installed = "site-packages" in path or "dist-packages" in path
    return not is_installed and not path.startswith((*library_folders(), _PACKAGE))


def _shown_path(path: str) -> str:
    with suppress(ValueError, OSError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
