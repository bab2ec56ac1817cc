"""What `/explain load` or `/test 3` is about: a cell, a function, a value, an error."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import partial
from textwrap import dedent
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.rendering import cell_name, cell_text
from jupyter_llm.notebook.cells.timeline import NUMBERED_CELL, find_cell
from jupyter_llm.notebook.code.bindings import (
    DEFINITIONS,
    bindings,
    first_line_of,
    segment,
)
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, parse_cell, split_cell_magic
from jupyter_llm.notebook.failures.causes import causing_cells
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.values.peek import ABSENT, attribute, is_a, public_names
from jupyter_llm.notebook.values.summaries import summarize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.code.bindings import Definition
    from jupyter_llm.tasks.task import Task

SubjectKind = Literal["cell", "function", "class", "value", "error"]

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_UNWRAPS = 20  # decorators around one function


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a request is about.

    `title` names it in a sentence. `source` is a whole cell as typed, or a definition; `cell` is
    the one it was typed in, if known. Of that only some `rows` may be meant, counted from 0. `text`
    says all of it to a model.
    """

    kind: SubjectKind
    title: str
    source: str = ""
    name: str = ""
    cell: CellEvent | None = None
    text: str = ""
    rows: range | None = None

    def prompt(self, request: str) -> str:
        """A prompt that shows what is meant and asks something of it."""
        return f"{self.text}\n\n{request}"


def find_subject(argument: str | Subject, task: Task) -> Subject:
    """What somebody means: nothing for the last cell, a number, a name, or `error`.

    Who has found it already has it back. `MagicUsageError` names what is nearest if there is no
    such cell or name.
    """
    if isinstance(argument, Subject):
        return argument
    words = argument.strip().strip("`'\"").removesuffix("()")
    if not words:
        return _last_cell(task)
    if NUMBERED_CELL.fullmatch(words):
        return _of_cell(find_cell(words, task.cells))
    if words in ("error", "the error", "last error") and words not in task.namespace:
        return _last_error(task)
    if _NAME.fullmatch(words):
        return _named(words, task)
    raise MagicUsageError(
        f"{words[:40]!r} is neither a cell nor a name.",
        "Give the number beside a cell, a name, or nothing for the last cell.",
    )


def with_source(subject: Subject, verb: str) -> Subject:
    """A subject that has a source; `MagicUsageError` says what to give if it has none."""
    if not subject.source.strip():
        raise MagicUsageError(
            f"There is no source of {subject.title} to {verb}.",
            "Give a cell's number, or the name of a function or class.",
        )
    return subject


def check_is_python(source: str, title: str) -> None:
    """Refuse a cell that is written in something else."""
    name, _, _ = split_cell_magic(source)
    if name and name not in PYTHON_MAGICS:
        raise MagicUsageError(
            f"{title[0].upper()}{title[1:]} is no Python: it begins with %%{name}.",
            "Ask about it in a chat.",
        )


def definitions_of(subject: Subject, source: str) -> list[Definition]:
    """The functions and classes of a cell, as far as they are meant.

    Of selected lines it is those that begin there, or else the one around them.
    """
    tree = parse_cell(source)
    nodes = [node for node in tree.body if isinstance(node, DEFINITIONS)] if tree else []
    if subject.rows is None or tree is None:
        return nodes
    every = [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)]
    begun = [node for node in every if first_line_of(node) - 1 in subject.rows]
    first = subject.rows.start + 1
    around = [node for node in every if first_line_of(node) <= first <= (node.end_lineno or 0)]
    return begun or around[-1:]


def listed(names: Iterable[str]) -> str:
    """Names as they are listed in a sentence."""
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def _last_cell(task: Task) -> Subject:
    if not task.cells:
        raise MagicUsageError("No cell has run yet.", "Run one first, or give a name.")
    return _of_cell(task.cells[-1])


def _of_cell(cell: CellEvent) -> Subject:
    title = cell_name(cell)
    return Subject(
        kind="cell",
        title=title,
        source=cell.source,
        cell=cell,
        text=f"{title[0].upper()}{title[1:]}:\n{cell_text(cell)}",
    )


def _last_error(task: Task) -> Subject:
    failure = task.failure()
    if failure is None:
        raise MagicUsageError("No cell has failed.", "Give a cell's number or a name instead.")
    causes = causing_cells(failure, task.cells)[:2]
    cells = [
        f"{cell_name(c.cell)} ({c.reason}):\n{code_block(c.cell.source)}" for c in reversed(causes)
    ]
    return Subject(
        kind="error",
        title="the last error",
        cell=causes[0].cell if causes else None,
        text="\n\n".join([*cells, failure_text(failure)]),
    )


def _named(name: str, task: Task) -> Subject:
    value = _unwrapped(_lookup(name, task))
    is_class = is_a(value, type)
    source, number = _source_of(value, task) if is_class or type(value) is FunctionType else ("", 0)
    if not source:
        return _of_value(name, task.namespace.get(name, value), task)
    kind: SubjectKind = "class" if is_class else "function"
    return Subject(
        kind=kind,
        title=f"the {kind} `{name}`",
        source=source,
        name=name.rpartition(".")[2],
        cell=next((cell for cell in task.cells if cell.number == number), None),
        text=f"The {kind} `{name}`:\n{code_block(source)}",
    )


def _lookup(name: str, task: Task) -> object:
    """What a dotted name stands for; no property runs on the way."""
    first, *rest = name.split(".")
    namespace = task.namespace
    if first not in namespace:
        names = [known for known in namespace if not known.startswith("_")]
        hint = nearest(first, names, "Give a name that a cell defined, or a cell's number.")
        raise MagicUsageError(f"There is no name {first!r} here.", hint)
    value: object = namespace[first]
    for one in rest:
        try:
            found = inspect.getattr_static(value, one)
        except AttributeError:
            hint = nearest(one, list(public_names(value)), "")
            raise MagicUsageError(f"{first!r} has no attribute {one!r}.", hint) from None
        value = _unwrapped(found)
    return value


def _unwrapped(value: Any) -> object:
    """The function in a method, property or partial, or that decorators were put around."""
    for _ in range(_UNWRAPS):
        kind = type(value)
        if kind in (staticmethod, classmethod, MethodType):
            value = value.__func__
        elif kind is property and value.fget is not None:
            value = value.fget
        elif kind is partial:
            value = value.func
        # A decorator may be an object of its own, such as functools.cache's.
        elif (inner := attribute(value, "__wrapped__")) is not ABSENT:
            value = inner
        else:
            break
    return value


def _source_of(value: Any, task: Task) -> tuple[str, int | None]:
    """The source of a function or class, and its cell's timeline number; "" if there is none.

    A class is in the latest cell that defines one of its name, or in its file.
    """
    number = None
    if type(value) is FunctionType:
        cell = task.sources.find(value.__code__.co_filename)
        number = cell.number if cell is not None else None
    else:
        for ran in reversed(task.cells):
            tree = parse_cell(ran.source)
            for node in ast.walk(tree) if tree is not None else ():
                if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                    return segment(ran.source, node), ran.number
    try:
        return dedent(inspect.getsource(value)).rstrip(), number
    except (OSError, TypeError):
        return "", None


def _of_value(name: str, value: object, task: Task) -> Subject:
    first = name.partition(".")[0]
    makers = [cell for cell in task.cells if any(b.name == first for b in bindings(cell.source))]
    parts = [f"The variable `{name}`:\n{summarize(name, value)}"]
    if makers:
        maker = makers[-1]
        parts.append(f"It was made or changed last in {cell_name(maker)}:")
        parts.append(code_block(maker.source))
    return Subject(
        kind="value",
        title=f"`{name}`",
        name=name,
        cell=makers[-1] if makers else None,
        text="\n\n".join(parts),
    )
