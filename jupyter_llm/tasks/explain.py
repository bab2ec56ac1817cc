"""`/explain`: what a cell does, what a name is for, why an error came."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_llm.common.markdown import code_block
from jupyter_llm.engine.completion import Completion
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import cell_name
from jupyter_llm.notebook.failures.causes import causing_cells
from jupyter_llm.notebook.failures.failure import HIDDEN_STEP, Failure
from jupyter_llm.notebook.failures.report import where
from jupyter_llm.notebook.values.summaries import Summary
from jupyter_llm.records.records import GIVEN_BEGIN
from jupyter_llm.tasks.rerun import Rerun, as_it_is_now
from jupyter_llm.tasks.target import Subject, SubjectKind, find_subject, variables_text
from jupyter_llm.tasks.task import Task

_EXPLAIN: dict[SubjectKind, str] = {
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
    failure = subject.failure
    if subject.kind == "cell" and subject.cell is not None:
        failure = failure or task.failure_of(subject.cell)
        error = f"It failed:\n{failure.headline}" if failure and not subject.cell.has_failed else ""
        asked = _request_of(subject.cell, has_failed=failure is not None)
        parts = (subject.text, error, variables_text(subject.source, task), asked)
        prompt = "\n\n".join(filter(None, parts))
    else:
        prompt = subject.prompt(_EXPLAIN[subject.kind])
    if failure is None:
        return task.ask(prompt)
    known = "\n\n".join(_known(task, failure))
    return task.ask(prompt, begin=GIVEN_BEGIN, known=f"{known}\n\n")


def _request_of(cell: CellEvent, *, has_failed: bool) -> str:
    """Return the request about a cell; it asks for results only if they are known."""
    what = "Explain step by step what this cell does"
    if has_failed or cell.has_failed:
        return f"{what}, why its error came and how to avoid it."
    return f"{what} and what comes out of it." if cell.outputs else f"{what}."


def _known(task: Task, failure: Failure) -> Iterator[str]:
    """Yield facts about an error as Markdown: the error, its place, and what `/fix` would do."""
    causes = [as_it_is_now(one.cell, task.cells) for one in causing_cells(failure, task.cells)[:1]]
    suspicion = Rerun(task=task, failure=failure).suspicion(causes[0]) if causes else ""
    yield code_block(failure.headline, "text")
    frame, place = failure.failing_frame, failure.syntax
    variables: tuple[Summary, ...] = ()
    if place is not None:
        text = cell_name(place.cell) if place.cell is not None else place.path or "the text"
        yield f"Python stopped reading {text} at line {place.line}:"
        yield code_block(place.marked_line)
    elif frame is not None:
        # No bracket right before the colon: Markdown might take that for the address of a link.
        yield f"It came from {where(frame)}:"
        yield code_block(frame.line_text)
        names = frame.names or frame.statement_names
        variables = tuple(one for one in frame.variables if one.name in names)[:_MAX_VALUES]
    if failure.missing is not None and (failure.missing.nearest or not suspicion):
        yield f"{failure.missing}."
    elif suspicion:
        yield f"{suspicion}."
    if HIDDEN_STEP in failure.steps:
        yield f"Left out is {HIDDEN_STEP}."
    if variables:
        yield code_block("\n".join(one.text for one in variables), "text")
