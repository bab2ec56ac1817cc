"""`/review`: what is wrong with a cell, a function or a class, line by line.

Only what rules find is said of a line. A large model is asked about the logic, too, and what it
says stays a remark; what a small one says there names no bug at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.notebook.code.flaws import flaws_in
from jupyter_llm.tasks.target import check_is_python, find_subject, with_source

if TYPE_CHECKING:
    from jupyter_llm.notebook.code.flaws import Flaw
    from jupyter_llm.tasks.target import Subject
    from jupyter_llm.tasks.task import Task

LEAST_PARAMETERS = 1_500_000_000
"""From which size on a model is asked about the logic in words."""

# One at a time, and each begins so that nothing but an answer can follow.
_QUESTIONS = (
    ("What is wrong in the logic of this code for usual input? Name the line.", "For usual input"),
    ("What goes wrong with this code at the edges: with nothing, one item, zero?", "At the edges"),
)
_SHORT = "Answer in one or two sentences."


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was found in some code, by line. Shows as Markdown.

    `words` are what a large model says of the logic; nobody has checked them.
    """

    title: str
    findings: tuple[Flaw, ...] = ()
    words: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The review as Markdown, to be taken for untrusted."""
        found = "\n".join(f"- {finding}" for finding in self.findings)
        title = f"{self.title[:1].upper()}{self.title[1:]}"
        opening = f"{title}, {count_of(len(self.findings), 'thing')} to look at:"
        opening = opening if found else f"Nothing found in {self.title}."
        said = "\n\n".join(self.words)
        words = f"The model says, which nobody has checked:\n\n{said}" if said else ""
        rules = "the rules of pyflakes and our own"
        looked = f"{rules} and the logic, in words" if said else rules
        parts = (opening, found, words, f"Looked at {looked}; nothing was run.")
        return "\n\n".join(filter(None, parts))

    def __str__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(self.to_markdown())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        printer.text("Review(…)" if cycle else str(self))


def review(task: Task, argument: str | Subject = "") -> Review:
    """Say what is wrong with a cell, a function or a class; an interrupt keeps what is found."""
    subject = with_source(find_subject(argument, task), "review")
    check_is_python(subject.source, subject.title)
    source = subject.source
    if subject.rows is not None and subject.cell is not None:
        source = subject.cell.source  # of which only some lines are meant
    found = flaws_in(source, task.namespace)
    meant = tuple(f for f in found if subject.rows is None or f.line - 1 in subject.rows)
    best = Review(title=subject.title, findings=meant)
    try:
        is_large = task.engine is not None and task.engine().info.num_parameters >= LEAST_PARAMETERS
        for question, begin in _QUESTIONS if is_large else ():
            answer = task.ask(subject.prompt(f"{question} {_SHORT}"), begin=begin)
            best = replace(best, words=(*best.words, answer.text.strip()))
    except KeyboardInterrupt as interrupt:
        if not found:
            raise
        raise PromptInterrupted(best=best, said=str(interrupt)) from None
    return best
