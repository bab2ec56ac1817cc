"""The tools: what is told of the notebook, and trying code. None of them changes anything.

They tell what a prompt would be told, so what is hidden from the model is hidden here. No code of
the notebook's runs in the kernel: what only a value's own `repr` could tell is told by no tool.
The first line of each is what a person reads of it, and all of it what an agent does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.sought import piece_of
from jupyter_llm.common.tables import count_of
from jupyter_llm.errors import MagicUsageError, OptionError
from jupyter_llm.notebook.cells.rendering import cell_name, render_cell
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.sealed.hidden import Hidden
from jupyter_llm.notebook.values.guard import without_user_code
from jupyter_llm.notebook.values.peek import is_library_module
from jupyter_llm.notebook.values.redaction import redact_mixed, scrub, without_registered
from jupyter_llm.notebook.values.summaries import headline, summarize
from jupyter_llm.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.notebook.cells.events import CellEvent

_SOURCE_CHARS, _OUTPUT_CHARS = 1500, 750  # of a cell among others
_CELL_CHARS, _VALUE_CHARS, _FOUND_CHARS, _LINE_CHARS = 20_000, 4000, 600, 160
_MAX_VARIABLES, _MAX_FOUND = 500, 30


def list_cells(
    task: Task,
    last: Annotated[int, Meta(ge=1, le=200, description="so many, the latest ones")] = 20,
) -> str:
    """The cells that ran in the notebook, in their order, with what they showed.

    Of long ones the head and the tail are told; read_cell tells all of one. Pictures are named.
    """
    shown = task.cells[-last:]
    texts = [render_cell(c, source_chars=_SOURCE_CHARS, output_chars=_OUTPUT_CHARS) for c in shown]
    total = count_of(len(task.cells), "cell")
    return "\n".join([f"{total} ran; the last {len(shown)} of them:\n", *texts]).rstrip()


def read_cell(task: Task, number: Annotated[int, Meta(ge=1, description="the N of In [N]")]) -> str:
    """One cell that ran, whole: its source and what it showed."""
    return _whole(find_cell(number, task.cells, task.hidden))


def list_variables(_task: Task) -> str:
    """The variables of the notebook, a line each: what it is and how large.

    They are as they are now, and none of their code is run to tell it.
    """
    with without_user_code():
        lines = [f"{n}: {headline(n, v, max_chars=_LINE_CHARS)}" for n, v in _variables().items()]
    return _few([scrub(line) for line in lines], _MAX_VARIABLES) or "There are no variables."


def read_variables(
    _task: Task,
    names: Annotated[list[str], Meta(min_length=1, max_length=20, description="their names")],
) -> str:
    """Summaries of variables: columns and first rows of a table, items, fields, a signature.

    None of their code is run: where only that could tell more, try_code with `repr(name)` does.
    """
    known, told = own_variables(current_shell()), []
    for name in names:
        if name not in known:
            hint = nearest(name, list(known), "list_variables tells which there are.")
            raise OptionError(f"There is no variable {name[:80]!r}. {hint}")
        told.append(_summary(name, known[name], _VALUE_CHARS))
    return "\n\n".join(told)


def last_failure(task: Task) -> str:
    """The last error of a cell: the message, the steps to it, the variables where it was raised."""
    with without_user_code():
        failure = task.failure()
    if failure is None:
        return "No cell has failed."
    told = redact_mixed(failure_text(failure)).text
    cell_id = failure.run.cell_id if failure.run is not None else None
    runs = [cell for cell in task.cells if cell_id and cell.cell_id == cell_id]
    is_over = bool(runs) and not runs[-1].has_failed
    return f"{told}\n\nThat cell has run again since, and well." if is_over else told


def search_notebook(
    task: Task, text: Annotated[str, Meta(min_length=1, max_length=500, description="words")]
) -> str:
    """Where all the words of a text stand: in which cells, variables or the last failure.

    Capitals do not matter. The latest cells come first.
    """
    # All of it first, since what any of it shows to be a secret is one in the rest.
    told = [(cell_name(cell), _whole(cell)) for cell in reversed(task.cells)]
    told += [(f"variable {n}", _summary(n, v, _FOUND_CHARS)) for n, v in _variables().items()]
    with suppress(MagicUsageError):  # the last failure is that of a hidden cell
        told.append(("the last failure", last_failure(task)))
    pieces = ((name, piece_of(without_registered(one), text)) for name, one in told)
    found = [f"{name}: {''.join(piece.values())}" for name, piece in pieces if piece]
    return _few(found, _MAX_FOUND) or "Nothing was found."


def try_code(
    task: Task,
    code: Annotated[str, Meta(min_length=1, max_length=100_000, description="Python, as a cell")],
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="how long it may run")] = 5,
) -> str:
    """What happens when code runs with the notebook's variables as they are now; nothing is kept.

    It runs in a sealed copy of the kernel, which is thrown away: it can change no variable and no
    file, start no process and reach no network. Told are what it printed, the value of its last
    line, or the error that it raises. Not in the copy are hidden variables, functions of hidden
    cells, `In`, `Out` and secrets of the environment. While a cell runs nothing can be tried.
    """
    tries = replace(task.tries, hidden=Hidden(task.hidden, is_guest=True))
    seen = tries.seen(code, timeout_s=timeout_s)
    line = f" (line {seen.lineno})" if seen.lineno else ""
    parts = {
        "": f"The code {seen.text}{line}" if seen.was_tried else seen.text,
        "It printed:\n": seen.printed.rstrip("\n"),
        "Its value:\n": seen.result,
        "The error:\n": seen.report,
        "It would set: ": ", ".join(seen.names),
        "Pictures: ": str(seen.num_figures or ""),
    }
    return redact_mixed("\n\n".join(k + v for k, v in parts.items() if v)).text


_ALL = (list_cells, read_cell, list_variables, read_variables, last_failure, search_notebook)
TOOLS: Mapping[str, Callable[..., str]] = {one.__name__: one for one in (*_ALL, try_code)}
"""All of them by name: each is given a `Task` and what was asked for, and returns a text."""


def _whole(cell: CellEvent) -> str:
    return render_cell(cell, source_chars=_CELL_CHARS, output_chars=_CELL_CHARS)


def _variables() -> Mapping[str, object]:
    """The variables that say something of the notebook, by name."""
    own = sorted(own_variables(current_shell()).items())
    return {n: one for n, one in own if not n.startswith("_") and not is_library_module(one)}


def _few(lines: list[str], most: int) -> str:
    return "\n".join([*lines[:most], *[f"… and {len(lines) - most} more"] * (len(lines) > most)])


def _summary(name: str, value: object, max_chars: int) -> str:
    with without_user_code():
        return summarize(name, value, max_chars=max_chars)
