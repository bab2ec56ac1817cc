"""The next cell of a notebook, as each contestant writes it, judged by execution."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from benchmarks.checking import Checker, Job
from benchmarks.useful_outcomes import Draft, Outcome
from benchmarks.useful_session import Session
from benchmarks.useful_tasks import Task

from jupyter_llm.notebook.code.syntax import cell_python
from jupyter_llm.tasks.code_answer import code_cells

OURS, USUAL, USUAL_FRESH = "ours", "usual", "usual-fresh"
OPTIONS = {
    OURS: "",
    "ours-no-try": "--no-try",
    "ours-no-cells": "-c none",
    "ours-no-variables": "--vars none",
}
CONTESTANTS = (*OPTIONS, USUAL, USUAL_FRESH)
MAX_TOKENS = 300
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


Known = Mapping[tuple[str, str, str], Outcome]  # by part, name and contestant


class UnknownOptionError(ValueError):
    """A contestant needs an option that this version of the package does not have."""


def usual_prompt(task: Task) -> str:
    """What is sent where nothing but the text of the notebook is known."""
    cells = "\n\n".join(f"```python\n{cell}\n```" for cell in task.cells)
    return (
        f"Here are the cells of my notebook so far:\n\n{cells}\n\n{task.ask}\n\n"
        "Answer with source code only, without any text before or after it."
    )


def first_block(answer: str) -> str:
    """The first fenced block of an answer, or all of it."""
    fenced = _FENCE.search(answer)
    return (fenced[1] if fenced else answer).strip("\n")


def write_as_usual(session: Session, task: Task) -> str:
    answer = session.llm(usual_prompt(task), temperature=0, max_tokens=MAX_TOKENS, exact=False)
    return first_block(answer.text)


def without_repeats(source: str, cells: Sequence[str]) -> str:
    """Code without the statements that stand in some cells."""
    try:
        old = {ast.dump(node) for cell in cells for node in ast.parse(cell_python(cell)).body}
        kept = [node for node in ast.parse(source).body if ast.dump(node) not in old]
    except SyntaxError:
        return source
    return "\n".join(ast.unparse(node) for node in kept)


def write_as_ours(session: Session, task: Task, options: str) -> str:
    error = session.run(
        f"%%llm --new --no-save -f code -n {MAX_TOKENS} -o answer_ {options}\n{task.ask}"
    )
    if error is not None and "option" in str(error):
        raise UnknownOptionError(str(error))
    answer = session.shell.user_ns.pop("answer_", None)
    return answer.text if answer is not None else ""


def source_of(draft: Draft) -> str:
    """The code of a draft, as it would land if it were the only one."""
    return "\n\n".join(cell.source for cell in code_cells(draft.text))


def judged_drafts(checker: Checker, task: Task, drafts: Sequence[Draft]) -> tuple[Draft, ...]:
    """Drafts with what a check says of each, taken for itself."""
    jobs = [Job(task.cells, source_of(draft), task.check) for draft in drafts]
    return tuple(
        replace(draft, is_right=checker.check(job).is_right)
        for draft, job in zip(drafts, jobs, strict=True)
    )


def written(
    session: Session,
    checker: Checker,
    items: Sequence[Task],
    contestants: Sequence[str],
    known: Known,
) -> Iterator[Outcome]:
    """Let each contestant write the next cell of each task."""
    missing: set[str] = set()
    for task in items:
        usual: Outcome | None = None
        for contestant in contestants:
            if contestant in missing:
                continue
            outcome = known.get(("write", task.name, contestant))
            try:
                if outcome is None and contestant == USUAL_FRESH and usual is not None:
                    outcome = made_fresh(checker, task, usual)
                outcome = outcome or one_written(session, checker, task, contestant)
            except UnknownOptionError as error:
                print(f"{contestant} does not take part: {error}", file=sys.stderr)
                missing.add(contestant)
                continue
            usual = outcome if contestant == USUAL else usual
            yield outcome


def made_fresh(checker: Checker, task: Task, usual: Outcome) -> Outcome:
    """The usual answer without what it repeats; the model is not asked twice for it."""
    source = without_repeats(usual.text, task.cells)
    verdict = checker.check(Job(task.cells, source, task.check))
    return replace(
        usual,
        contestant=USUAL_FRESH,
        text=source,
        runs=verdict.runs,
        is_right=verdict.is_right,
        error=verdict.error,
    )


def one_written(session: Session, checker: Checker, task: Task, contestant: str) -> Outcome:
    """What a contestant makes of a task."""
    session.begin(task.cells)

    def ask() -> str:
        with suppress(TimeoutError):
            if contestant == USUAL:
                return write_as_usual(session, task)
            if contestant == USUAL_FRESH:
                return without_repeats(write_as_usual(session, task), task.cells)
            return write_as_ours(session, task, OPTIONS[contestant])
        return ""

    source, drafts, took_s = session.timed(ask)
    verdict = checker.check(Job(task.cells, source, task.check))
    if contestant in OPTIONS:
        drafts = judged_drafts(checker, task, drafts)
    return Outcome(
        part="write",
        name=task.name,
        group=task.library,
        contestant=contestant,
        text=source,
        took_s=took_s,
        drafts=drafts,
        runs=verdict.runs,
        is_right=verdict.is_right,
        error=verdict.error,
    )
