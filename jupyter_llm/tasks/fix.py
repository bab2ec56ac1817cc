"""`/fix`: proposes a change to the cell that the last error came from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.common.markdown import code_block
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.rendering import cell_name, shown_name
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.notebook.failures.causes import Cause, causing_cells, is_over
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.tasks.hidden import restored
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.shown_cell import error_text, variables_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.tasks.shown_cell import ShownCell
    from jupyter_llm.tasks.task import Task

_MAX_OTHERS_CHARS = 4000  # of the cells shown beside the one to change
_REQUEST = (
    "Correct {name} so that the error does not come again. Answer with the whole corrected {name} "
    "as one Python code block. Change as little as possible and repeat no other cell."
)


def fix(task: Task, argument: str = "") -> Proposal:
    """Propose a change to the cell the last error came from, or to the one that was named.

    `MagicUsageError`: no cell has failed, there is no such cell, or no code in the answer.
    """
    failure = task.failure()
    if failure is None:
        raise MagicUsageError("No cell has failed, so there is nothing to fix.")
    if not argument.strip() and is_over(failure, task.cells):
        raise MagicUsageError(
            f"The last error, {failure.kind}, is over: its cell has run since without one.",
            "Name a cell to change it all the same, as in /fix 3.",
        )
    causes = causing_cells(failure, task.cells)
    target = choose_target(causes, argument, task.cells)
    answer = task.code(fix_prompt(failure, causes, target))
    return Proposal(
        source=restored(answer.source, target.cell.source),
        completion=answer.completion,
        cell=target.cell,
        reason=target.reason,
        unknown_names=answer.unknown_names,
    )


def fix_shown(task: Task, cell: ShownCell) -> Proposal:
    """Propose a change to a cell that shows an error, or cannot be read.

    The kernel's last error is told with all that is known of it, if it is that cell's; of another
    one there is the text. `MagicUsageError`: the cell shows none, or no code in the answer.
    """
    cell.check_is_python()
    cell.check_is_written()
    event = cell.event(task.cells)
    failure = _failure_of(cell, task)
    if failure is not None:
        causes = causing_cells(failure, task.cells)
        own = next((cause for cause in causes if cause.cell.cell_id == cell.cell_id), None)
        target = replace(own, cell=event) if own is not None else Cause(event, "", 0)
        prompt = fix_prompt(failure, [cause for cause in causes if cause is not own], target)
        error = failure.headline
        other = _other_cause(causes, cell)
    else:
        error = _error_text(cell)
        name = cell_name(event)
        prompt = "\n\n".join(
            filter(
                None,
                (
                    f"A cell of a Jupyter notebook failed:\n{code_block(cell.source)}",
                    f"The error:\n{error}",
                    variables_text(cell.source, task),
                    _REQUEST.format(name=name),
                ),
            )
        )
        other = ""
    answer = task.code(prompt, unlike=cell.source)
    cell.check_is_whole(answer.completion)
    return Proposal(
        source=cell.changed(restored(answer.source, cell.source)),
        completion=answer.completion,
        cell=event,
        reason=f"failed with {_headline(error)}{other}",
        unknown_names=answer.unknown_names,
    )


def _failure_of(cell: ShownCell, task: Task) -> Failure | None:
    """The kernel's last error, if it is the one that a cell shows."""
    failure = task.failure()
    if failure is None or failure.run is None or failure.run.cell_id != cell.cell_id:
        return None
    is_shown = failure.kind in cell.error if cell.error else not is_over(failure, task.cells)
    return failure if is_shown else None


def _error_text(cell: ShownCell) -> str:
    if cell.error and cell.error.strip():
        return error_text(cell.error)
    error = syntax_error(cell.source)
    if error is None:
        raise MagicUsageError("The cell shows no error.", "Run it first, or let it be reviewed.")
    return f"Line {error.lineno or 1} cannot be read.\nSyntaxError: {error.msg}"


def _other_cause(causes: Sequence[Cause], cell: ShownCell) -> str:
    """That another cell is the likeliest cause, as the end of a sentence."""
    if not causes or causes[0].cell.cell_id == cell.cell_id:
        return ""
    return f"; {shown_name(causes[0].cell)} may be the cause: it {causes[0].reason}"


def _headline(error: str) -> str:
    """The line that says what was raised: a traceback's last."""
    return f"`{error.rsplit(chr(10), maxsplit=1)[-1].replace('`', chr(39))[:200]}`"


def choose_target(causes: Sequence[Cause], argument: str, cells: Sequence[CellEvent]) -> Cause:
    """The cell to change: the likeliest cause, unless another was named."""
    if argument.strip():
        cell = find_cell(argument, cells)
        known = next((cause for cause in causes if cause.cell == cell), None)
        return known or Cause(cell, "", 0)
    if not causes:
        raise MagicUsageError(
            "The last error came from no cell of this notebook.",
            "Name one to change, as in /fix 3.",
        )
    cause = causes[0]
    return replace(cause, cell=_as_it_is_now(cause.cell, cells))


def _as_it_is_now(cell: CellEvent, cells: Sequence[CellEvent]) -> CellEvent:
    """The latest run of a cell: it may have been changed since it caused the error."""
    same = [c for c in cells if c.cell_id is not None and c.cell_id == cell.cell_id]
    return same[-1] if same else cell


def fix_prompt(failure: Failure, causes: Sequence[Cause], target: Cause) -> str:
    """The prompt that asks for a corrected cell.

    Cells stand in the order they ran, the raising one among them; what there is no room for are
    the unlikeliest.
    """
    shown = [target]
    room = _MAX_OTHERS_CHARS
    for cause in sorted(causes, key=lambda cause: not cause.has_raised):
        is_new = all(cause.cell != c.cell and _is_other(cause.cell, c.cell) for c in shown)
        if is_new and len(cause.cell.source) <= room:
            shown.append(cause)
            room -= len(cause.cell.source)
    shown.sort(key=lambda cause: cause.cell.number)
    parts = [
        "A cell of a Jupyter notebook failed. The cells that matter, in the order they ran:",
        *(_cell_text(cause) for cause in shown),
        f"The error:\n{failure_text(failure)}",
        _REQUEST.format(name=cell_name(target.cell)),
    ]
    return "\n\n".join(parts)


def _is_other(cell: CellEvent, other: CellEvent) -> bool:
    return cell.cell_id is None or cell.cell_id != other.cell_id


def _cell_text(cause: Cause) -> str:
    name = cell_name(cause.cell)
    why = f" ({cause.reason})" if cause.reason else ""
    return f"{name[0].upper()}{name[1:]}{why}:\n{code_block(cause.cell.source)}"
