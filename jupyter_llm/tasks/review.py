"""`/review`: what is wrong with a cell, a function or a class, line by line.

Only what rules find is said of a line. A large model is asked about the logic, too, and what it
says stays a remark; what a small one says there names no bug at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.notebook.code.flaws import flaws_in
from jupyter_llm.tasks.edit import write_text
from jupyter_llm.tasks.target import ShownCell, Subject, check_is_python, find_subject, with_source
from jupyter_llm.tasks.task import Task

LEAST_PARAMETERS = 1_500_000_000
"""From which size on a model is asked about the logic in words."""

# One at a time, and each begins so that nothing but an answer can follow.
_QUESTIONS = (
    ("What is wrong in the logic of this code for usual input? Name the line.", "For usual input"),
    ("What goes wrong with this code at the edges: with nothing, one item, zero?", "At the edges"),
)
_SENSE = (
    ("What in this text makes no sense, or contradicts itself? Name the sentence.", "As to sense,"),
)
_CORRECT = (
    "Correct what is spelt wrong in this text, in its own language, and change nothing else. "
    "Answer with the whole cell as one Markdown block."
)
_WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}]\w+)*")
_LEAST_ALIKE = 0.6  # of two spellings of one word, from 0 to 1
_SHORT = "Answer in one or two sentences."


@dataclass(frozen=True, slots=True, kw_only=True)
class Review(Rich):
    """Remarks about some code, by line. Shows as Markdown.

    `words`: what a large model says about the logic; nobody has checked it. `by`: the rules that
    found the rest.
    """

    title: str
    findings: tuple[object, ...] = ()
    words: tuple[str, ...] = ()
    by: str = "the rules of pyflakes and our own"

    def __str__(self) -> str:
        """The review as Markdown, to be taken for untrusted."""
        found = "\n".join(f"- {finding}" for finding in self.findings)
        title = f"{self.title[:1].upper()}{self.title[1:]}"
        opening = f"{title}, {count_of(len(self.findings), 'thing')} to look at:"
        opening = opening if found else f"Nothing found in {self.title}."
        said = "\n\n".join(self.words)
        words = f"The model's remarks, which nobody has checked:\n\n{said}" if said else ""
        looked = f"{self.by} and the logic, in words" if said else self.by
        parts = (opening, found, words, f"Looked at {looked}; nothing was run.")
        return "\n\n".join(filter(None, parts))


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
        for said in _in_words(task, subject.text, _QUESTIONS):
            best = replace(best, words=(*best.words, said))
    except KeyboardInterrupt as interrupt:
        if not found:
            raise
        raise PromptInterrupted(best=best, said=str(interrupt)) from None
    return best


def review_text(task: Task, cell: ShownCell) -> Review:
    """Say what a model would spell otherwise in a text, and what a large one says of its sense."""
    subject = cell.subject(task.cells)
    corrected = write_text(task, cell, subject.prompt(_CORRECT)).text
    rows = subject.rows or range(len(cell.lines))
    found = tuple(
        f"**line {row + 1}**: `{word}`, or is it `{other}`?"
        for row, word, other in _spelt_otherwise(cell.lines, corrected)
        if row in rows
    )
    said = tuple(_in_words(task, subject.text, _SENSE))
    spelt = "what the model would spell otherwise"
    return Review(title="the text", findings=found, words=said, by=spelt)


def _spelt_otherwise(lines: Sequence[str], corrected: str) -> Iterator[tuple[int, str, str]]:
    """Yield words that are much alike in both texts, with their rows; others are no mistakes."""
    places = [(row, word) for row, line in enumerate(lines) for word in _WORD.findall(line)]
    old, new = [word for _, word in places], _WORD.findall(corrected)
    for kind, i1, i2, j1, j2 in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if kind == "replace" and i2 - i1 == j2 - j1:
            for (row, word), other in zip(places[i1:i2], new[j1:j2], strict=True):
                if SequenceMatcher(a=word, b=other, autojunk=False).ratio() >= _LEAST_ALIKE:
                    yield row, word, other


def _in_words(task: Task, text: str, questions: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield what a large model says of a text; a small one is not asked."""
    is_large = task.engine().info.num_parameters >= LEAST_PARAMETERS
    for question, begin in questions if is_large else ():
        yield task.ask(f"{text}\n\n{question} {_SHORT}", begin=begin).text.strip()
