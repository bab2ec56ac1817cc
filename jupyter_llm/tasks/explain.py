"""`/explain` and `/review`: things to ask about a cell, a function or a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.tasks.target import find_subject, with_source

if TYPE_CHECKING:
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.tasks.target import Subject, SubjectKind
    from jupyter_llm.tasks.task import Task

EXPLAIN_CELL = "Explain step by step what this cell does and what comes out of it."
EXPLAIN_FAILED_CELL = (
    "Explain step by step what this cell does, why its error came and how to avoid it."
)
REVIEW = (
    "Review this code. Name bugs first, then what is unclear, slow or missing, each with the line "
    "it is about. Be brief; if it is good, say so."
)
_EXPLAIN: dict[SubjectKind, str] = {
    "cell": EXPLAIN_CELL,
    "function": "Explain what this function does, what it takes and what it returns.",
    "class": "Explain what this class is for and how it is used.",
    "value": "Explain what this variable holds and where it comes from.",
    "error": "Explain in plain words why this error came and how to avoid it.",
}


def explain(task: Task, argument: str | Subject = "") -> Completion:
    """Explain the last cell, a cell by its number, a name, or the last error by `error`."""
    subject = find_subject(argument, task)
    return task.ask(subject.prompt(_EXPLAIN[subject.kind]))


def review(task: Task, argument: str | Subject = "") -> Completion:
    """Say what is wrong with a cell, a function or a class."""
    subject = with_source(find_subject(argument, task), "review")
    return task.ask(subject.prompt(REVIEW))
