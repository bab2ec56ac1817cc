"""An exception of the user's as a value: message, places, and the exceptions before it."""

from __future__ import annotations

import builtins
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from types import FunctionType, TracebackType
from typing import Any, Literal

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.cells.sources import CellSource, CellSources
from jupyter_llm.notebook.code.layout import space_of
from jupyter_llm.notebook.failures.frames import Frame, Step, is_users_code, read_steps
from jupyter_llm.notebook.values.guard import ask
from jupyter_llm.notebook.values.lookups import keys
from jupyter_llm.notebook.values.peek import class_attribute, public_names
from jupyter_llm.notebook.values.secrets import is_secret
from jupyter_llm.notebook.values.summaries import SummaryBudget, summarize

MissingKind = Literal["name", "attribute", "module", "key"]

HIDDEN_STEP = "a step in a cell that is hidden"

_MAX_NEAREST = 3
_MAX_CHAIN = 3  # preceding exceptions to read
_MAX_MESSAGE = 600
_MAX_CHARS = 3000  # of the variables of one error
_DEADLINE_S = 0.3
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Missing:
    """A missing name, attribute, module or key, and the most similar existing ones."""

    kind: MissingKind
    name: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        near_it = f"; near it is {' or '.join(map(repr, self.nearest))}" if self.nearest else ""
        return f"There is no {self.kind} {self.name!r}{near_it}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """The run of a cell that ended with an exception; None for unknown facts."""

    source: str
    execution_count: int | None = None
    cell_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxPlace:
    """The place of a syntax error: a line, and the column of its caret, from 1."""

    text: str
    line: int
    column: int
    cell: CellSource | None = None
    path: str | None = None

    @property
    def marked_line(self) -> str:
        """Return the line with a caret below the place."""
        caret = " " * min(self.column - 1, len(self.text)) + "^" if self.column > 0 else ""
        return f"{self.text}\n{caret}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exception as texts and places.

    `bases` are the names of its classes, its own first. `origin` is the preceding exception: it was
    raised from that if `is_direct_cause`, or else while that was handled.
    """

    kind: str
    message: str
    bases: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    syntax: SyntaxPlace | None = None
    missing: Missing | None = None
    run: FailedRun | None = None
    origin: Failure | None = None
    is_direct_cause: bool = False

    @property
    def headline(self) -> str:
        """Return the last line of the traceback."""
        return f"{self.kind}: {self.message}" if self.message else self.kind

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Return the frames in the user's own code, the outermost first."""
        return tuple(step for step in self.steps if isinstance(step, Frame))

    @property
    def failing_frame(self) -> Frame | None:
        """Return the innermost frame in the user's own code."""
        return self.frames[-1] if self.frames else None

    def without(self, hidden: Container[int | None]) -> Failure:
        """Return the failure without details of the cells with these numbers on the timeline."""
        hidden_frames = {f for f in self.frames if f.cell is not None and f.cell.number in hidden}
        steps = tuple(HIDDEN_STEP if step in hidden_frames else step for step in self.steps)
        origin = self.origin.without(hidden) if self.origin is not None else None
        masked = replace(self, steps=steps, origin=origin)
        # The missing name and the syntax error belong to the innermost frame.
        return (
            replace(masked, missing=None, syntax=None)
            if self.failing_frame in hidden_frames
            else masked
        )


def reported_failure(
    kind: str, message: str, source: str, line: int, cell_id: str | None = None
) -> Failure:
    """Return a failure of which only the exception and the line of a cell are known."""
    cls: Any = getattr(builtins, kind, None)
    bases = tuple(base.__name__ for base in cls.__mro__) if isinstance(cls, type) else (kind,)
    cell = CellSource(source=source, compiled=source, cell_id=cell_id)
    steps = (Frame(function="<module>", source=source, line=line, cell=cell),) if line else ()
    run = FailedRun(source=source, cell_id=cell_id)
    return Failure(kind=kind, message=message, bases=bases, steps=steps, run=run)


def read_failure(
    error: BaseException,
    sources: CellSources | None = None,
    *,
    run: FailedRun | None = None,
    max_chars: int = _MAX_CHARS,
) -> Failure:
    """Return an exception as plain data; raise nothing, and keep no reference to the exception.

    `max_chars` is the room for the values of its variables.
    """
    return _FailureReader(sources or CellSources(), max_chars).read(error, run, _MAX_CHAIN)


class _FailureReader:
    """Reads an exception and the preceding ones, each once."""

    def __init__(self, sources: CellSources, max_chars: int) -> None:
        self._sources = sources
        self._room = SummaryBudget(max_chars, _DEADLINE_S)
        self._seen: set[int] = set()

    def read(self, error: BaseException, run: FailedRun | None, depth: int) -> Failure:
        self._seen.add(id(error))
        kind = type(error)
        traceback: TracebackType | None = slot(error, BaseException, "__traceback__")
        steps, namespace = read_steps(traceback, self._sources, self._room)
        last = next((step for step in reversed(steps) if isinstance(step, Frame)), None)
        names = (*last.names, *last.statement_names) if last is not None else ()
        origin, is_direct_cause = _origin(error)
        if id(origin) in self._seen or depth <= 0:
            origin = None
        return Failure(
            kind=kind.__name__,
            message=self._message(error),
            bases=tuple(base.__name__ for base in kind.__mro__),
            steps=steps,
            syntax=self._syntax(error, run) if issubclass(kind, SyntaxError) else None,
            missing=_find_missing(error, namespace, names),
            run=run,
            origin=self.read(origin, None, depth - 1) if origin is not None else None,
            is_direct_cause=is_direct_cause,
        )

    def _message(self, error: BaseException) -> str:
        """Return `str(error)` if at most a quick `repr` of the user's runs, or else a summary."""
        if issubclass(type(error), SyntaxError):
            # the place is read separately
            return str(slot(error, SyntaxError, "msg"))[:_MAX_MESSAGE]
        show = class_attribute(type(error), "__str__")
        arguments = slot(error, BaseException, "args")
        others = [type(one) for one in arguments if type(one) not in _PLAIN]
        show_error = partial(str, error)
        with suppress(Exception):  # a failing `__str__` must not end /fix
            if type(show) is not FunctionType or not is_users_code(show.__code__, self._sources):
                return (ask(show_error, others[-1], _DEADLINE_S) if others else show_error())[
                    :_MAX_MESSAGE
                ]
        return summarize("error", error, max_chars=_MAX_MESSAGE).removeprefix("error: ")

    def _syntax(self, error: BaseException, run: FailedRun | None) -> SyntaxPlace:
        """Return the place of a syntax error in a cell, a file or a text."""
        line, column, text, name = (
            slot(error, SyntaxError, field) for field in ("lineno", "offset", "text", "filename")
        )
        line = line if type(line) is int else 1
        column = column if type(column) is int else 0
        text = text if type(text) is str else ""
        cell = self._sources.find(name) if type(name) is str else None
        if cell is None and run is not None and name is None:
            cell = self._sources.find_text(run.source, run.execution_count)
        if cell is None:
            path = name if type(name) is str else None
            return SyntaxPlace(text=text.rstrip("\n"), line=line, column=column, path=path)
        typed = cell.typed_line(line)
        shown = cell.source.split("\n")[typed - 1]
        # IPython has removed the indentation that all lines of the cell share.
        column += len(space_of(shown)) - len(space_of(text or shown))
        return SyntaxPlace(text=shown, line=typed, column=column, cell=cell)


def _origin(error: BaseException) -> tuple[BaseException | None, bool]:
    """Return the preceding exception, and whether `from` named it."""
    cause = slot(error, BaseException, "__cause__")
    if cause is not None:
        return cause, True
    if slot(error, BaseException, "__suppress_context__"):
        return None, False
    return slot(error, BaseException, "__context__"), False


def _find_missing(
    error: BaseException, namespace: Mapping[str, Any], names: Sequence[str]
) -> Missing | None:
    """Return the missing object of an error.

    `names` are those that the failing expression reads.
    """
    kind = type(error)
    if issubclass(kind, NameError):
        return _missing("name", slot(error, NameError, "name"), namespace)
    if issubclass(kind, AttributeError):
        holder = slot(error, AttributeError, "obj")
        others = chain(public_names(holder), keys(holder) or ())
        return _missing("attribute", slot(error, AttributeError, "name"), others)
    if issubclass(kind, ModuleNotFoundError):
        return _missing("module", slot(error, ImportError, "name"), ())
    args = slot(error, BaseException, "args")
    if issubclass(kind, KeyError) and len(args) == 1:
        existing = ((name, namespace[name]) for name in names if name in namespace)
        holders = [value for name, value in existing if not is_secret(name, value)]
        return _missing("key", args[0], (key for holder in holders for key in keys(holder) or ()))
    return None


def slot(error: BaseException, owner: type, name: str) -> Any:
    """Return a built-in attribute of an exception, even if a subclass overrides it."""
    return owner.__dict__[name].__get__(error)


def _missing(kind: MissingKind, name: object, others: Iterable[object]) -> Missing | None:
    if type(name) is not str:
        return None
    return Missing(kind, name, tuple(one for one, _ in near(name, others, _MAX_NEAREST)))
