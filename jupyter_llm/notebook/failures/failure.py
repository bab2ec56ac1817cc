"""An exception of the user's as a value: what it says, where it was raised, what led to it."""

from __future__ import annotations

import builtins
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.cells.sources import CellSource, CellSources
from jupyter_llm.notebook.code.layout import space_of
from jupyter_llm.notebook.failures.frames import Frame, is_users_code, read_steps
from jupyter_llm.notebook.values.guard import ask
from jupyter_llm.notebook.values.lookups import keys
from jupyter_llm.notebook.values.peek import class_attribute, public_names
from jupyter_llm.notebook.values.secrets import is_secret
from jupyter_llm.notebook.values.summaries import Room, summarize

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from types import TracebackType

    from jupyter_llm.notebook.failures.frames import Step

MissingKind = Literal["name", "attribute", "module", "key"]

HIDDEN_STEP = "a step in a cell that is hidden"

_MAX_NEAREST = 3
_MAX_CHAIN = 3  # exceptions that led to the one that was shown
_MAX_MESSAGE = 600
_MAX_CHARS = 3000  # of the variables of one error
_DEADLINE_S = 0.3
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Missing:
    """A name, attribute, module or key that is not there, and the nearest ones that are."""

    kind: MissingKind
    name: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        near_it = f"; near it is {' or '.join(map(repr, self.nearest))}" if self.nearest else ""
        return f"There is no {self.kind} {self.name!r}{near_it}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """The run of a cell that ended with an exception, as far as it is known."""

    source: str
    execution_count: int | None = None
    cell_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxPlace:
    """Where Python stopped reading: a line, and the column its caret stands under, from 1."""

    text: str
    line: int
    column: int
    cell: CellSource | None = None
    path: str | None = None

    @property
    def marked_line(self) -> str:
        """The line, with a caret under the place."""
        caret = " " * min(self.column - 1, len(self.text)) + "^" if self.column > 0 else ""
        return f"{self.text}\n{caret}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exception as text and places.

    `bases` are the names of its classes, its own first. `led_to_by` is the exception it was raised
    from, if `is_direct_cause`, or while handling.
    """

    kind: str
    message: str
    bases: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    syntax: SyntaxPlace | None = None
    missing: Missing | None = None
    run: FailedRun | None = None
    led_to_by: Failure | None = None
    is_direct_cause: bool = False

    @property
    def headline(self) -> str:
        """The line a traceback ends with."""
        return f"{self.kind}: {self.message}" if self.message else self.kind

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The steps in the user's own code, the outermost first."""
        return tuple(step for step in self.steps if isinstance(step, Frame))

    @property
    def failing_frame(self) -> Frame | None:
        """The innermost step in the user's own code."""
        return self.frames[-1] if self.frames else None

    def without(self, hidden: Container[int | None]) -> Failure:
        """The failure without what it tells of cells that have those numbers on the timeline."""
        away = {f for f in self.frames if f.cell is not None and f.cell.number in hidden}
        steps = tuple(HIDDEN_STEP if step in away else step for step in self.steps)
        origin = self.led_to_by.without(hidden) if self.led_to_by is not None else None
        told = replace(self, steps=steps, led_to_by=origin)
        # What the innermost step missed or could not read is that step's.
        return replace(told, missing=None, syntax=None) if self.failing_frame in away else told


def told_failure(
    kind: str, message: str, source: str, line: int, cell_id: str | None = None
) -> Failure:
    """A failure of which no more is known than what was raised, and in which line of a cell."""
    found: Any = getattr(builtins, kind, None)
    bases = tuple(base.__name__ for base in found.__mro__) if isinstance(found, type) else (kind,)
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
    """An exception as plain data; raises nothing, and keeps nothing of the exception alive.

    `max_chars` is the room for what its variables hold.
    """
    return _FailureReader(sources or CellSources(), max_chars).read(error, run, _MAX_CHAIN)


class _FailureReader:
    """Reads an exception and those that led to it, each once."""

    def __init__(self, sources: CellSources, max_chars: int) -> None:
        self._sources = sources
        self._room = Room(max_chars, _DEADLINE_S)
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
            led_to_by=self.read(origin, None, depth - 1) if origin is not None else None,
            is_direct_cause=is_direct_cause,
        )

    def _message(self, error: BaseException) -> str:
        """`str(error)` where that runs no code of the user but a quick `repr`, or a summary."""
        if issubclass(type(error), SyntaxError):
            return str(slot(error, SyntaxError, "msg"))[:_MAX_MESSAGE]  # the place is told apart
        show = class_attribute(type(error), "__str__")
        arguments = slot(error, BaseException, "args")
        others = [type(one) for one in arguments if type(one) not in _PLAIN]
        say = partial(str, error)
        with suppress(Exception):  # what an error does when it is shown must not end /fix
            if type(show) is not FunctionType or not is_users_code(show.__code__, self._sources):
                return (ask(say, others[-1], _DEADLINE_S) if others else say())[:_MAX_MESSAGE]
        return summarize("error", error, max_chars=_MAX_MESSAGE).removeprefix("error: ")

    def _syntax(self, error: BaseException, run: FailedRun | None) -> SyntaxPlace:
        """Where a cell, a file or a text is no Python."""
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
        # IPython has taken away the indentation that all lines of the cell share.
        column += len(space_of(shown)) - len(space_of(text or shown))
        return SyntaxPlace(text=shown, line=typed, column=column, cell=cell)


def _origin(error: BaseException) -> tuple[BaseException | None, bool]:
    """The exception that led to this one, and whether that was said with `from`."""
    cause = slot(error, BaseException, "__cause__")
    if cause is not None:
        return cause, True
    if slot(error, BaseException, "__suppress_context__"):
        return None, False
    return slot(error, BaseException, "__context__"), False


def _find_missing(
    error: BaseException, namespace: Mapping[str, Any], names: Sequence[str]
) -> Missing | None:
    """What an error misses; `names` are those the failing expression reads."""
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
        known = ((name, namespace[name]) for name in names if name in namespace)
        holders = [value for name, value in known if not is_secret(name, value)]
        return _missing("key", args[0], (key for holder in holders for key in keys(holder) or ()))
    return None


def slot(error: BaseException, owner: type, name: str) -> Any:
    """An attribute that exceptions are born with, past what a subclass may put over it."""
    return owner.__dict__[name].__get__(error)


def _missing(kind: MissingKind, name: object, others: Iterable[object]) -> Missing | None:
    if type(name) is not str:
        return None
    return Missing(kind, name, tuple(one for one, _ in near(name, others, _MAX_NEAREST)))
