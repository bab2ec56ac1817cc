"""The subject of a request: a cell, a function, a value, an error, or a cell of a page."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass, replace
from functools import partial
from textwrap import dedent
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Literal, Self

from jupyter_llm.common.clipping import clip
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import (
    cell_name,
    cell_text,
    render_cell,
    source_block,
)
from jupyter_llm.notebook.cells.timeline import NUMBERED_CELL, find_cell
from jupyter_llm.notebook.code.bindings import DEFINITIONS, bindings, first_line_of, segment
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import (
    PYTHON_MAGICS,
    parse_cell,
    split_cell_magic,
    syntax_error,
)
from jupyter_llm.notebook.failures.causes import causing_cells
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.values.peek import ABSENT, attribute, is_a, public_names
from jupyter_llm.notebook.values.summaries import holds_data, summarize
from jupyter_llm.notebook.values.variables import describe, used

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.code.bindings import Definition
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.tasks.task import Task

SubjectKind = Literal["cell", "function", "class", "value", "error"]

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_UNWRAPS = 20  # decorators around one function
_MAX_VARIABLE_CHARS = 1200  # of the variables that a cell uses
_RAISED = re.compile(r"[\w.]*(?:Error|Exception|Exit|Group|Interrupt|Iteration|Warning)(?::|$)")
_MAX_ERROR_CHARS = 3000  # of an error that is known as text only
_NUM_BEFORE = 3  # cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subject of a request.

    `title` names it in a sentence. `source`: a whole cell as typed, or a definition. `cell`: the
    cell of the source, if known. `rows`: the selected rows, counted from 0. `failure`: the error.
    `text`: the subject in a prompt.
    """

    kind: SubjectKind
    title: str
    source: str = ""
    name: str = ""
    cell: CellEvent | None = None
    text: str = ""
    rows: range | None = None
    failure: Failure | None = None

    def prompt(self, request: str) -> str:
        """A prompt that shows what is meant and asks something of it."""
        return f"{self.text}\n\n{request}"


def find_subject(argument: str | Subject, task: Task) -> Subject:
    """Find the subject of an argument: a number, a name, `error`, or by default the last cell.

    A `Subject` is returned as it is. `MagicUsageError` names the nearest cell or name.
    """
    if isinstance(argument, Subject):
        return argument
    words = argument.strip().strip("`'\"").removesuffix("()")
    if not words and not task.cells:
        raise MagicUsageError("No cell has run yet.", "Run one first, or give a name.")
    if not words:
        return _of_cell(task.cells[-1])
    if NUMBERED_CELL.fullmatch(words):
        return _of_cell(find_cell(words, task.cells, task.hidden))
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
    """Raise `MagicUsageError` for a magic whose body is not Python, as `%%bash`."""
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
        f"{cell_name(c.cell)} ({c.reason}):\n{source_block(c.cell.source)}"
        for c in reversed(causes)
    ]
    return Subject(
        kind="error",
        title="the last error",
        cell=causes[0].cell if causes else None,
        text="\n\n".join([*cells, failure_text(failure)]),
        failure=failure,
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
    """Return the value of a dotted name; no property runs."""
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
        if any(number == one.number for one in task.hidden):
            return "", None
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
    maker = makers[-1] if makers else None
    text = f"The variable `{name}`:\n{summarize(name, value)}"
    if maker is not None:
        made = f"It was made or changed last in {cell_name(maker)}:"
        text = f"{text}\n\n{made}\n\n{source_block(maker.source)}"
    return Subject(kind="value", title=f"`{name}`", name=name, cell=maker, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCell:
    """A cell as a page shows it, without the line that says which model wrote it.

    `error` is the one that its outputs show. What is selected goes from `start` to before `end`;
    where both are the same, the cursor is there. With `is_text` it is a cell of Markdown.
    """

    cell_id: str
    source: str
    error: str | None = None
    start: int = 0
    end: int = 0
    is_text: bool = False

    @classmethod
    def of_page(
        cls,
        cell_id: str,
        source: str,
        error: str | None,
        selection: tuple[int, int] | None,
        *,
        is_text: bool = False,
    ) -> Self:
        """A cell as a page tells of it; without a selection the cursor counts as at its end."""
        body = unmark(source)
        start, end = selection if selection is not None else (len(source), len(source))
        common = next((n for n, (a, b) in enumerate(zip(source, body, strict=False)) if a != b), 0)
        num_removed = len(source) - len(body)
        start, end = (
            min(place if place <= common else max(common, place - num_removed), len(body))
            for place in (min(start, end), max(start, end))
        )
        start, end = max(start, 0), max(end, 0)
        return cls(cell_id=cell_id, source=body, error=error, start=start, end=end, is_text=is_text)

    @property
    def lines(self) -> list[str]:
        """The lines of the source."""
        return self.source.split("\n")

    @property
    def selected(self) -> range | None:
        """The lines in which something is selected, counted from 0; None if that is nothing."""
        text = self.source[self.start : self.end]
        if not text.strip():
            return None
        first = self.source.count("\n", 0, self.start + len(text) - len(text.lstrip("\n")))
        return range(first, first + text.strip("\n").count("\n") + 1)

    def check_is_python(self) -> None:
        """Raise `MagicUsageError` for a Markdown cell, or a magic whose body is not Python."""
        if self.is_text:
            raise MagicUsageError("The cell is Markdown.", "Edit, Review and Continue work on it.")
        check_is_python(self.source, "the cell")

    def check_is_written(self) -> None:
        """Refuse an empty cell."""
        if not self.source.strip():
            raise MagicUsageError("The cell is empty.", "Write into it first, or use Edit.")

    def event(self, cells: Sequence[CellEvent]) -> CellEvent:
        """The cell as a run of it, with what its latest one showed if that was of this source."""
        ran = next((cell for cell in reversed(cells) if cell.cell_id == self.cell_id), None)
        if ran is None:
            return CellEvent(number=0, source=self.source, cell_id=self.cell_id)
        outputs = ran.outputs if unmark(ran.source) == self.source else ()
        return replace(ran, source=self.source, outputs=outputs)

    def subject(self, cells: Sequence[CellEvent]) -> Subject:
        """The subject of a request: the cell, or its selected lines."""
        self.check_is_written()
        whole, rows = _of_cell(self.event(cells)), self.selected
        language = "markdown" if self.is_text else "python"
        if self.is_text:
            whole = replace(whole, text=f"The cell:\n{code_block(self.source, language)}")
        if rows is None or len(rows) == len(self.lines):
            return whole
        source = "\n".join(self.lines[rows.start : rows.stop])
        lines = code_block(source, language)
        text = f"{whole.text}\n\nThe selected lines, which this is about:\n{lines}"
        return replace(whole, title="the selected lines", source=source, text=text, rows=rows)

    def check_is_whole(self, answer: Completion) -> None:
        """Refuse an answer that was to be the whole cell, and was cut off."""
        if answer.finish_reason != "stop":
            raise MagicUsageError(
                "The answer is not whole: the cell is too long for this model, or it began to "
                "repeat itself.",
                "Select the lines that matter, or divide the cell.",
            )

    def changed(self, source: str) -> str:
        """The cell with another source, below its own `%%magic`; it parses, or did not before.

        `MagicUsageError`: it is the same, or cannot be read.
        """
        if source and not self.is_text and not split_cell_magic(source)[0]:
            source = split_cell_magic(self.source)[1] + source
        if source.rstrip() == self.source.rstrip():
            raise MagicUsageError("Nothing to change: the model would leave the cell as it is.")
        if self.is_text:
            return source
        if syntax_error(source) is not None and syntax_error(self.source) is None:
            raise MagicUsageError("The model wrote no code that fits.", "Try again.")
        return source


def headline_of(error: str) -> str:
    """Return the last line of an error's plain text, without its frames."""
    lines = error.strip().split("\n")
    begun = [place for place, line in enumerate(lines) if _RAISED.match(line)]
    return clip("\n".join(lines[begun[-1] if begun else -1 :]), _MAX_ERROR_CHARS)


def variables_text(source: str, task: Task) -> str:
    """Return the values of the variables that code uses, as part of a prompt."""
    names = [n for n in used(source, task.namespace) if holds_data(task.namespace[n])]
    return described(names, task, "Variables it uses:")


def described(names: Sequence[str], task: Task, title: str) -> str:
    """Return the values of some variables, as part of a prompt; "" if there are none."""
    choice = (task.vars != "none" and ",".join(names)) or "none"
    summaries = describe("", (), task.namespace, choice=choice, max_chars=_MAX_VARIABLE_CHARS)
    lines = ["- " + summary.text.replace("\n", "\n  ") for summary in summaries]
    return "\n".join([title, *lines]) if lines else ""


def cells_before(cell: ShownCell, task: Task) -> str:
    """The cells that ran last, as part of a prompt for code that is to follow them."""
    others = [one for one in task.cells if one.cell_id != cell.cell_id][-_NUM_BEFORE:]
    texts = [render_cell(one, source_chars=800, output_chars=300) for one in others]
    return "\n\n".join(["The cells of a notebook that ran last:", *texts]) if texts else ""
