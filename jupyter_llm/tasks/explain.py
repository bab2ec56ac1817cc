"""`/explain`, `/doc`, `/test` and `/review`: things to ask about a cell, a function or a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.tasks.docstrings import docstring_in, with_docstring
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import find_subject

if TYPE_CHECKING:
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.tasks.target import Subject
    from jupyter_llm.tasks.task import Task

_EXPLAIN = {
    "cell": "Explain step by step what this cell does and what comes out of it.",
    "function": "Explain what this function does, what it takes and what it returns.",
    "class": "Explain what this class is for and how it is used.",
    "value": "Explain what this variable holds and where it comes from.",
    "error": "Explain in plain words why this error came and how to avoid it.",
}
_REVIEW = (
    "Review this code. Name bugs first, then what is unclear, slow or missing, each with the line "
    "it is about. Be brief; if it is good, say so."
)
_TEST = (
    "Write tests for {title} with pytest: plain functions named test_…, with assert, for the usual "
    "case and for the edges. {title_first} is already defined: do not repeat it. Answer with one "
    "Python code block."
)
_DOC = (
    "Write a docstring in NumPy style for {title}: what it does, its parameters, what it returns. "
    "Answer with one Python code block that holds {title} with the docstring in it and nothing "
    "else changed."
)


def explain(task: Task, argument: str = "") -> Completion:
    """Explain the last cell, a cell by its number, a name, or the last error by `error`."""
    subject = find_subject(argument, task)
    return task.ask(_prompt(subject, _EXPLAIN[subject.kind]))


def review(task: Task, argument: str = "") -> Completion:
    """Say what is wrong with a cell, a function or a class."""
    subject = _with_source(find_subject(argument, task), "review")
    return task.ask(_prompt(subject, _REVIEW))


def write_tests(task: Task, argument: str = "") -> Proposal:
    """Propose a new cell with tests of a cell, a function or a class."""
    subject = _with_source(find_subject(argument, task), "test")
    title = subject.title
    request = _TEST.format(title=title, title_first=title[0].upper() + title[1:])
    answer = task.code(_prompt(subject, request))
    source, _ = without_hidden(answer.source, task.namespace)
    return Proposal(source=source, completion=answer.completion, unknown_names=answer.unknown_names)


def document(task: Task, argument: str = "") -> Proposal:
    """Propose a docstring for a function, a class, or the only one in a cell.

    Nothing else changes: the docstring is taken out of the answer and put into the code as it was.
    `MagicUsageError`: there is nothing to describe, or no docstring in the answer.
    """
    subject = _with_source(find_subject(argument, task), "doc")
    name = subject.name or _only_definition(subject)
    request = _DOC.format(title=f"`{name}`")
    answer = task.code(_prompt(subject, request))
    docstring = docstring_in(answer.source, name)
    if docstring is None:
        raise MagicUsageError("The model wrote no docstring.", "Try again, or another model.")
    before = subject.cell.source if subject.cell is not None else subject.source
    return Proposal(
        source=with_docstring(before, name, docstring, like=subject.source),
        completion=answer.completion,
        cell=subject.cell,
        reason=f"defines `{name}`",
    )


def _only_definition(subject: Subject) -> str:
    tree = parse_cell(subject.source)
    names = [node.name for node in tree.body if isinstance(node, DEFINITIONS)] if tree else []
    if len(names) != 1:
        what = f"defines {', '.join(names)}" if names else "defines no function and no class"
        raise MagicUsageError(f"{subject.title.capitalize()} {what}.", "/doc needs one: name it.")
    return names[0]


def _prompt(subject: Subject, request: str) -> str:
    return f"{subject.text}\n\n{request}"


def _with_source(subject: Subject, verb: str) -> Subject:
    if not subject.source.strip():
        raise MagicUsageError(
            f"There is no source of {subject.title} to {verb}.",
            "Give a cell's number, or the name of a function or class.",
        )
    return subject
