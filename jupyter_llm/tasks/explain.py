"""`/explain`: what a cell does, what a name is for, why an error came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.markdown import code_block
from jupyter_llm.notebook.cells.rendering import cell_name
from jupyter_llm.notebook.failures.causes import causing_cells
from jupyter_llm.records.records import GIVEN_BEGIN
from jupyter_llm.tasks.rerun import Rerun, as_it_is_now
from jupyter_llm.tasks.target import find_subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.notebook.values.summaries import Summary
    from jupyter_llm.tasks.target import Subject, SubjectKind
    from jupyter_llm.tasks.task import Task

EXPLAIN_CELL = "Explain step by step what this cell does and what comes out of it."
EXPLAIN_QUIET_CELL = "Explain step by step what this cell does."  # else an output is made up
EXPLAIN_FAILED_CELL = (
    "Explain step by step what this cell does, why its error came and how to avoid it."
)
_EXPLAIN: dict[SubjectKind, str] = {
    "cell": EXPLAIN_CELL,
    "function": "Explain what this function does, what it takes and what it returns.",
    "class": "Explain what this class is for and how it is used.",
    "value": "Explain what this variable holds and where it comes from.",
    "error": "Explain in plain words why this error came and how to avoid it.",
}
_MAX_VALUES = 4  # that are shown of a line's


def explain(task: Task, argument: str | Subject = "") -> Completion:
    """Explain the last cell, a cell by its number, a name, or the last error by `error`.

    What is known of an error stands before the model's words.
    """
    subject = find_subject(argument, task)
    is_quiet = subject.kind == "cell" and subject.cell is not None and not subject.cell.outputs
    prompt = subject.prompt(EXPLAIN_QUIET_CELL if is_quiet else _EXPLAIN[subject.kind])
    failure = task.failure() if subject.kind == "error" else None
    if failure is None:
        return task.ask(prompt)
    return task.ask(prompt, begin=GIVEN_BEGIN, known=f"{known_of(task, failure)}\n\n")


def known_of(task: Task, failure: Failure) -> str:
    """What is known of an error without a model, as Markdown: what, where, what `/fix` would do."""
    causes = causing_cells(failure, task.cells)
    suspicion = ""
    if causes:
        cell = as_it_is_now(causes[0].cell, task.cells)
        suspicion = Rerun(task=task, failure=failure).suspicion(cell)
    return "\n\n".join(_known(failure, suspicion))


def _known(failure: Failure, suspicion: str) -> Iterator[str]:
    yield code_block(failure.headline, "text")
    frame, place = failure.failing_frame, failure.syntax
    variables: tuple[Summary, ...] = ()
    if place is not None:
        where = cell_name(place.cell) if place.cell is not None else place.path or "the text"
        yield f"Python stopped reading {where} at line {place.line}:"
        yield code_block(place.marked_line)
    elif frame is not None:
        where = cell_name(frame.cell) if frame.cell is not None else frame.path or "the code"
        inside = "" if frame.is_module_level else f", in `{frame.function}`"
        # No bracket right before the colon: Markdown might take that for the address of a link.
        yield f"It came from {where}, line {frame.line}{inside}:"
        yield code_block(frame.line_text)
        names = frame.names or frame.statement_names
        variables = tuple(one for one in frame.variables if one.name in names)[:_MAX_VALUES]
    if failure.missing is not None and (failure.missing.nearest or not suspicion):
        yield f"{failure.missing}."
    elif suspicion:
        yield f"{suspicion}."
    if variables:
        yield code_block("\n".join(one.text for one in variables), "text")
