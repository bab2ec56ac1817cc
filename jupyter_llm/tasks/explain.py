"""`/explain`, `/doc`, `/test` and `/review`: things to ask about a cell, a function or a name."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, first_line_of, segment
from jupyter_llm.notebook.code.names import defined_names
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.tasks.docstrings import docstring_in, with_docstring
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import find_subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.code.bindings import Definition
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
_TEST = (
    "Write tests for {title} with pytest: plain functions named test_…, with assert, for the usual "
    "case and for the edges. {title_first} is already defined: do not repeat it. Answer with one "
    "Python code block."
)
_TEST_BEGIN = "import pytest\n\n\ndef test_"  # else small models repeat what is to be tested
_DOC = (
    "Write a docstring in NumPy style for {each}: what it does, its parameters, what it returns. "
    "Answer with one Python code block that holds {title} with the docstring in it and nothing "
    "else changed."
)


def explain(task: Task, argument: str | Subject = "") -> Completion:
    """Explain the last cell, a cell by its number, a name, or the last error by `error`."""
    subject = find_subject(argument, task)
    return task.ask(_prompt(subject, _EXPLAIN[subject.kind]))


def review(task: Task, argument: str | Subject = "") -> Completion:
    """Say what is wrong with a cell, a function or a class."""
    subject = _with_source(find_subject(argument, task), "review")
    return task.ask(_prompt(subject, REVIEW))


def write_tests(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose a new cell with tests of a cell, a function or a class."""
    subject = _with_source(find_subject(argument, task), "test")
    title = _tested(subject)
    request = _TEST.format(title=title, title_first=title[0].upper() + title[1:])
    known = defined_names(subject.source)  # though it may not have run
    answer = task.code(_prompt(subject, request), begin=_TEST_BEGIN, known=known)
    source = answer.source
    if source.count("pytest") == 1:  # it was not needed
        source = source.removeprefix("import pytest").lstrip("\n")
    source, _ = without_hidden(source, task.namespace)
    return Proposal(source=source, completion=answer.completion, unknown_names=answer.unknown_names)


def document(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose docstrings for a function, a class, or for those in a cell that have none.

    Nothing else changes: they are taken out of the answer and put into the code as it was.
    `MagicUsageError`: there is nothing to describe, or no docstring in the answer.
    """
    subject = _with_source(find_subject(argument, task), "doc")
    source = subject.cell.source if subject.cell is not None else subject.source
    wanted = {subject.name: subject.source} if subject.name else _undescribed(subject, source)
    title = _listed(wanted)
    request = _DOC.format(title=title, each=title if len(wanted) == 1 else f"each of {title}")
    answer = task.code(_prompt(subject, request))
    has_any = False
    for name, definition in wanted.items():
        docstring = docstring_in(answer.source, name, is_only=len(wanted) == 1)
        if docstring is not None:
            has_any = True
            source = with_docstring(source, name, docstring, like=definition)
    if not has_any:
        raise MagicUsageError("The model wrote no docstring.", "Try again, or another model.")
    return Proposal(
        source=source,
        completion=answer.completion,
        cell=subject.cell,
        reason=f"defines {title}",
    )


def _undescribed(subject: Subject, source: str) -> dict[str, str]:
    """The definitions that are meant and have no docstring, or all if all have one, by name."""
    nodes = _definitions(subject, source)
    if not nodes:
        raise MagicUsageError(
            f"{subject.title.capitalize()} defines no function and no class.",
            "Only these have docstrings.",
        )
    bare = [node for node in nodes if ast.get_docstring(node, clean=False) is None]
    return {node.name: segment(source, node) for node in bare or nodes}


def _tested(subject: Subject) -> str:
    """What is to be tested, in words: what a cell defines, if it defines something."""
    source = subject.cell.source if subject.cell is not None else subject.source
    nodes = _definitions(subject, source) if subject.kind == "cell" else []
    return _listed([node.name for node in nodes]) if nodes else subject.title


def _definitions(subject: Subject, source: str) -> list[Definition]:
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


def _listed(names: Iterable[str]) -> str:
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def _prompt(subject: Subject, request: str) -> str:
    return f"{subject.text}\n\n{request}"


def _with_source(subject: Subject, verb: str) -> Subject:
    if not subject.source.strip():
        raise MagicUsageError(
            f"There is no source of {subject.title} to {verb}.",
            "Give a cell's number, or the name of a function or class.",
        )
    return subject
