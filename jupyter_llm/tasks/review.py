"""`/review`: what is wrong with a cell, a function or a class, line by line.

First comes what rules find, then the lines that the model expects to be otherwise. Only a
large model is asked about the logic in words: what a small one says there names no bug at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.flaws import flaws_in
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, split_cell_magic
from jupyter_llm.tasks.suspects import find_suspects
from jupyter_llm.tasks.target import find_subject, with_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.notebook.code.flaws import Flaw, Sureness
    from jupyter_llm.tasks.suspects import Suspect
    from jupyter_llm.tasks.target import Subject
    from jupyter_llm.tasks.task import Task

LEAST_PARAMETERS = 1_500_000_000
"""From which size on a model is asked about the logic in words."""

_LIKELY = 6.0  # nats, from which on a suspect is more than possible
_MAX_SUSPECTS = 3
# One at a time, and each begins so that nothing but an answer can follow.
_QUESTIONS = (
    ("What is wrong in the logic of this code for usual input? Name the line.", "For usual input"),
    ("What goes wrong with this code at the edges: with nothing, one item, zero?", "At the edges"),
)
_SHORT = "Answer in one or two sentences."


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may be wrong with a line: what, and how sure that is."""

    line: int
    source: str
    what: str
    sureness: Sureness

    def __str__(self) -> str:
        code = f" `{self.source}`" if self.source and "`" not in self.source else ""
        return f"**line {self.line}**{code}: {self.what} ({self.sureness})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was found in some code, by line, and what was looked at. Shows as Markdown.

    `words` are what a large model says of the logic; nobody has checked them.
    """

    title: str
    findings: tuple[Finding, ...] = ()
    looked: str = ""
    words: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The review as Markdown, to be taken for untrusted."""
        title = f"{self.title[:1].upper()}{self.title[1:]}"
        found = "\n".join(f"- {finding}" for finding in self.findings)
        count = len(self.findings)
        opening = f"{title}, {count} thing{'s' if count != 1 else ''} to look at:" if count else ""
        nothing = "" if count else f"Nothing found in {self.title}."
        said = "\n\n".join(self.words)
        words = f"The model says, which nobody has checked:\n\n{said}" if said else ""
        looked = f"Looked at {self.looked}; nothing was run." if self.looked else ""
        return "\n\n".join(filter(None, (opening, found, nothing, words, looked)))

    def __str__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(self.to_markdown())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        printer.text("Review(…)" if cycle else str(self))


def review(task: Task, argument: str | Subject = "") -> Review:
    """Say what is wrong with a cell, a function or a class; an interrupt keeps what is found."""
    subject = with_source(find_subject(argument, task), "review")
    _check_is_python(subject)
    source = subject.source
    if subject.rows is not None and subject.cell is not None:
        source = subject.cell.source  # of which only some lines are meant
    lines = source.split("\n")
    found = [_of_flaw(flaw, lines) for flaw in flaws_in(source, task.namespace)]
    looked = ["the rules of pyflakes and our own"]
    words: list[str] = []

    def reviewed() -> Review:
        meant = [f for f in found if subject.rows is None or f.line - 1 in subject.rows]
        return Review(
            title=subject.title,
            findings=tuple(sorted(meant, key=lambda finding: finding.line)),
            looked=" and ".join(looked),
            words=tuple(words),
        )

    try:
        engine = task.engine() if task.engine is not None else None
        if engine is not None:
            told = {finding.line for finding in found}
            found += [s for s in _suspects(task, engine, source, subject) if s.line not in told]
            looked.append("what the model expects of each line")
        if engine is not None and engine.info.num_parameters >= LEAST_PARAMETERS:
            words.extend(_asked(task, subject))
            looked.append("the logic, in words")
    except KeyboardInterrupt as interrupt:
        if not found:
            raise
        raise PromptInterrupted(best=reviewed(), said=str(interrupt)) from None
    return reviewed()


def _of_flaw(flaw: Flaw, lines: list[str]) -> Finding:
    code = lines[flaw.line - 1].strip() if flaw.line <= len(lines) else ""
    return Finding(flaw.line, code, flaw.what, flaw.sureness)


def _suspects(task: Task, engine: Engine, source: str, subject: Subject) -> Iterator[Finding]:
    """The lines that the model would rather see otherwise, the clearest few."""
    found = find_suspects(source, engine, rows=subject.rows, show_progress=task.show_progress)
    yield from map(_of_suspect, found[:_MAX_SUSPECTS])


def _of_suspect(one: Suspect) -> Finding:
    sure: Sureness = "likely" if one.margin >= _LIKELY else "possible"
    return Finding(one.line, one.text, f"the model expects `{one.expected}`", sure)


def _asked(task: Task, subject: Subject) -> Iterator[str]:
    """What a model answers to each of a few questions about the logic."""
    for question, begin in _QUESTIONS:
        answer = task.ask(subject.prompt(f"{question} {_SHORT}"), begin=begin)
        yield answer.text.strip()


def _check_is_python(subject: Subject) -> None:
    name, _, _ = split_cell_magic(subject.source)
    if name and name not in PYTHON_MAGICS:
        raise MagicUsageError(
            f"{subject.title[0].upper()}{subject.title[1:]} is no Python: it begins with %%{name}.",
            "Ask about it in a prompt.",
        )
