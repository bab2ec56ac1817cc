"""`/test`: tests of what a notebook defines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.notebook.code.names import defined_names
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import definitions_of, find_subject, listed, with_source

if TYPE_CHECKING:
    from jupyter_llm.tasks.target import Subject
    from jupyter_llm.tasks.task import Task

_TEST = (
    "Write tests for {title} with pytest: plain functions named test_…, with assert, for the usual "
    "case and for the edges. {title_first} is already defined: do not repeat it. Answer with one "
    "Python code block."
)
_TEST_BEGIN = "import pytest\n\n\ndef test_"  # else small models repeat what is to be tested


def write_tests(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose a new cell with tests of a cell, a function or a class."""
    subject = with_source(find_subject(argument, task), "test")
    title = _tested(subject)
    request = _TEST.format(title=title, title_first=title[0].upper() + title[1:])
    known = defined_names(subject.source)  # though it may not have run
    answer = task.code(subject.prompt(request), begin=_TEST_BEGIN, known=known)
    source = answer.source
    if source.count("pytest") == 1:  # it was not needed
        source = source.removeprefix("import pytest").lstrip("\n")
    source, _ = without_hidden(source, task.namespace)
    return Proposal(source=source, completion=answer.completion, unknown_names=answer.unknown_names)


def _tested(subject: Subject) -> str:
    """What is to be tested, in words: what a cell defines, if it defines something."""
    source = subject.cell.source if subject.cell is not None else subject.source
    nodes = definitions_of(subject, source) if subject.kind == "cell" else []
    return listed([node.name for node in nodes]) if nodes else subject.title
