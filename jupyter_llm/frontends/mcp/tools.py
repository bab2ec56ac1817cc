"""The tools: reading the notebook, trying code and proposing cells. None of them changes a cell.

Their results follow the same rules as prompts: hidden cells and variables stay hidden. None of the
notebook's code runs in the kernel, so a value that only its own `repr` can describe is not
described. A person reads the first line of each docstring, and an agent all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

from mcp_types import CallToolResult, ImageContent
from msgspec import Meta

from jupyter_llm.chat.search import piece_of
from jupyter_llm.common.clipping import clip
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.tables import count_of
from jupyter_llm.errors import MagicUsageError, OptionError
from jupyter_llm.frontends.mcp.review import proposal_state, propose_cells
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import (
    cell_name,
    cell_text,
    conceals,
    render_cell,
    source_block,
)
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.sealed.hidden import Hidden
from jupyter_llm.notebook.values.guard import without_user_code
from jupyter_llm.notebook.values.peek import is_named_only
from jupyter_llm.notebook.values.redaction import (
    redact_mixed,
    redact_source,
    scrub,
    without_registered,
)
from jupyter_llm.notebook.values.summaries import headline, summarize
from jupyter_llm.tasks.task import Task

_SOURCE_CHARS, _OUTPUT_CHARS = 1500, 750  # limits for a cell in a list
_NOTEBOOK_CHARS = 200_000
_CELL_CHARS, _VALUE_CHARS, _MATCH_CHARS, _LINE_CHARS = 20_000, 4000, 600, 160
_MAX_VARIABLES, _MAX_MATCHES = 500, 30


def list_cells(
    task: Task,
    last: Annotated[int, Meta(ge=1, le=200, description="so many, the latest ones")] = 20,
) -> str:
    """List the cells that ran in the notebook, in order, with their outputs.

    Long cells are cut to head and tail; read_cell returns a whole one. read_pictures shows plots.
    """
    shown = task.cells[-last:]
    texts = [render_cell(c, source_chars=_SOURCE_CHARS, output_chars=_OUTPUT_CHARS) for c in shown]
    total = count_of(len(task.cells), "cell")
    return "\n".join([f"{total} ran; the last {len(shown)} of them:\n", *texts]).rstrip()


def read_cell(task: Task, number: Annotated[int, Meta(ge=1, description="the N of In [N]")]) -> str:
    """Return one whole cell that ran: its source and its outputs."""
    return _complete(find_cell(number, task.cells, task.hidden))


def read_pictures(
    task: Task, number: Annotated[int, Meta(ge=1, description="the N of In [N]")]
) -> CallToolResult:
    """Return the PNG and JPEG pictures that a cell showed, such as plots; the latest are kept."""
    cell = find_cell(number, task.cells, task.hidden)
    pictures = () if conceals(cell) else task.pictures.get(cell.number, ())
    if not pictures:
        raise OptionError("No picture is kept of that cell, or it may show a hidden variable.")
    content = [ImageContent(mime_type=kind, data=data) for kind, data in pictures]
    return CallToolResult(content=[*content])


def read_notebook(task: Task) -> str:
    """Return all cells of the notebook in order, with their ids: also Markdown and cells not run.

    A cell that ran as it is has its outputs. Without a page the saved notebook is read.
    """
    runs = {cell.cell_id: cell for cell in task.cells}
    texts = []
    for cell in task.tries.unrun.visible:
        run = runs.get(cell.cell_id)
        has_run = run is not None and run.source == cell.source
        state = cell_name(run).removeprefix("the ") if run and has_run else "not run as it is"
        text = cell_text(run) if run and has_run else source_block(redact_source(cell.source).text)
        if cell.kind != "code":
            state, text = cell.kind, redact_mixed(cell.source).text
        texts.append(f"<!-- id {cell.cell_id}: {state} -->\n{clip(scrub(text), _CELL_CHARS)}")
    texts = texts or [list_cells(task)]
    return clip("\n\n".join(texts), _NOTEBOOK_CHARS)


def list_variables(_task: Task) -> str:
    """List the notebook's variables, a line each: type and size.

    They have their present values, and none of their code is run.
    """
    with without_user_code():
        lines = [f"{n}: {headline(n, v, max_chars=_LINE_CHARS)}" for n, v in _variables().items()]
    return _limited([scrub(line) for line in lines], _MAX_VARIABLES) or "There are no variables."


def read_variables(
    _task: Task,
    names: Annotated[list[str], Meta(min_length=1, max_length=20, description="their names")],
) -> str:
    """Summarize variables: columns and first rows of a table, items, fields, a signature.

    None of their code is run. If that is not enough, use try_code with `repr(name)`.
    """
    variables, summaries = own_variables(current_shell()), []
    for name in names:
        if name not in variables:
            hint = nearest(name, list(variables), "list_variables lists them.")
            raise OptionError(f"There is no variable {name[:80]!r}. {hint}")
        summaries.append(_summary(name, variables[name], _VALUE_CHARS))
    return "\n\n".join(summaries)


def last_failure(task: Task) -> str:
    """Return the last error of a cell: message, traceback, variables where it was raised."""
    with without_user_code():
        failure = task.failure()
    if failure is None:
        return "No cell has failed."
    text = redact_mixed(failure_text(failure)).text
    cell_id = failure.run.cell_id if failure.run is not None else None
    runs = [cell for cell in task.cells if cell_id and cell.cell_id == cell_id]
    is_over = bool(runs) and not runs[-1].has_failed
    return f"{text}\n\nThat cell ran again later, without an error." if is_over else text


def search_notebook(
    task: Task, text: Annotated[str, Meta(min_length=1, max_length=500, description="words")]
) -> str:
    """Find all words of a text in cells, variables and the last failure.

    Case does not matter. The latest cells come first.
    """
    # All texts first: a secret that one of them reveals is masked in the others.
    texts = [(cell_name(cell), _complete(cell)) for cell in reversed(task.cells)]
    texts += [(f"variable {n}", _summary(n, v, _MATCH_CHARS)) for n, v in _variables().items()]
    with suppress(MagicUsageError):  # the last failure is in a hidden cell
        texts.append(("the last failure", last_failure(task)))
    pieces = ((name, piece_of(without_registered(one), text)) for name, one in texts)
    results = [f"{name}: {''.join(piece.values())}" for name, piece in pieces if piece]
    return _limited(results, _MAX_MATCHES) or "Nothing matches."


def try_code(
    task: Task,
    code: Annotated[str, Meta(min_length=1, max_length=100_000, description="Python, as a cell")],
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="how long it may run")] = 5,
) -> str:
    """Run code with the notebook's present variables, and return the result; nothing is kept.

    It runs in a sealed copy of the kernel, which is discarded: it can change no variable and no
    file, start no process and use no network. The result has the printed text, the value of the
    last line, or the error. The copy lacks hidden variables, functions of hidden cells, `In`, `Out`
    and secrets of the environment. While a cell runs, nothing can be tried.
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


_READ = (list_cells, read_cell, list_variables, read_variables, last_failure, search_notebook)
_ALL = (*_READ, try_code, read_notebook, propose_cells, proposal_state, read_pictures)
TOOLS: Mapping[str, Callable[..., str | CallToolResult]] = {one.__name__: one for one in _ALL}
"""All tools by name: each takes a `Task` and its arguments, and returns a text or pictures."""


def _complete(cell: CellEvent) -> str:
    return render_cell(cell, source_chars=_CELL_CHARS, output_chars=_CELL_CHARS)


def _variables() -> Mapping[str, object]:
    """Return the variables that belong to the notebook, by name."""
    own = sorted(own_variables(current_shell()).items())
    return {n: one for n, one in own if not n.startswith("_") and not is_named_only(one)}


def _limited(lines: list[str], most: int) -> str:
    return "\n".join([*lines[:most], *[f"… and {len(lines) - most} more"] * (len(lines) > most)])


def _summary(name: str, value: object, max_chars: int) -> str:
    with without_user_code():
        return summarize(name, value, max_chars=max_chars)
