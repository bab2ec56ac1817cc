"""`/fix`, `/doc`, `/test`, `/review` and `/explain error`, judged by what can be counted."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.checking import Checker, Job
from benchmarks.docstring_check import docstring_faults
from benchmarks.useful_outcomes import Draft, Outcome
from benchmarks.useful_session import Session
from benchmarks.useful_tasks import BrokenCell, Function

from jupyter_llm.tasks.proposal import Proposal

OURS = "ours"
_WORD = re.compile(r"[A-Za-z_]\w+")
_ALL_IS_WELL = re.compile(
    r"\b(no|not any|without) (\w+ )?(bugs?|problems?|issues?|errors?|findings?)\b"
    r"|nothing (was )?found|\b(looks|is|seems|it's) (good|fine|correct|right)\b",
    re.IGNORECASE,
)
_FINDING = re.compile(r"`(.+)` gives `.+`, a test expects `(.+)`")
_RUN_TESTS = """
import json as _json
_passed, _failed = [], []
for _name, _each in [*globals().items()]:
    if _name.startswith("test") and callable(_each):
        try:
            _each()
        except BaseException:
            _failed.append(_name)
        else:
            _passed.append(_name)
_print(_json.dumps([len(_passed), len(_failed)]))
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered, as a proposal or as text, or why it did not."""

    proposal: Proposal | None
    text: str
    error: str
    drafts: tuple[Draft, ...]
    took_s: float


def asked(session: Session, command: str, argument: str = "") -> Answer:
    """Ask for one command; what it refuses is an answer, too."""

    def ask() -> Any:
        try:
            return session.command(command, argument)
        except Exception as error:  # noqa: BLE001  a defect of ours ends no benchmark
            return error

    answer, drafts, took_s = session.timed(ask)
    if isinstance(answer, Exception):
        return Answer(None, "", f"{type(answer).__name__}: {answer}", drafts, took_s)
    proposal = answer if isinstance(answer, Proposal) else None
    text = str(getattr(answer, "text", answer))
    return Answer(proposal, text, "", drafts, took_s)


def _outcome(part: str, name: str, group: str, answer: Answer, **judged: Any) -> Outcome:
    text = answer.proposal.source if answer.proposal is not None else answer.text
    judged.setdefault("error", answer.error)
    return Outcome(
        part=part,
        name=name,
        group=group,
        contestant=OURS,
        text=text,
        took_s=answer.took_s,
        drafts=answer.drafts,
        **judged,
    )


def fixed(session: Session, checker: Checker, cases: Sequence[BrokenCell]) -> Iterator[Outcome]:
    """Let cells be mended that have just failed."""
    for case in cases:
        session.begin(case.cells)
        session.run(case.broken)
        answer = asked(session, "fix")
        group = "needs a model" if case.needs_model else "known by rules"
        proposal = answer.proposal
        if proposal is None:
            yield _outcome("fix", case.name, group, answer)
            continue
        verdict = checker.check(_as_changed(case, proposal))
        yield _outcome(
            "fix",
            case.name,
            group,
            answer,
            runs=verdict.runs,
            is_right=verdict.is_right,
            error=verdict.error,
            marks={
                "no model was asked": not answer.drafts,
                "as it is": not proposal.diff,
            },
        )


def _as_changed(case: BrokenCell, proposal: Proposal) -> Job:
    """The notebook with the cell changed that is to be: the broken one, or one before."""
    target = proposal.cell.source.strip() if proposal.cell is not None else case.broken.strip()
    if target == case.broken.strip():
        return Job(case.cells, proposal.source, case.check)
    cells = [proposal.source if cell.strip() == target else cell for cell in case.cells]
    return Job(cells, case.broken, case.check)


def documented(session: Session, functions: Sequence[Function]) -> Iterator[Outcome]:
    """Let functions be described."""
    for function in functions:
        session.begin((*function.cells, function.source))
        answer = asked(session, "doc", _name_of(function))
        changed = answer.proposal.source if answer.proposal is not None else ""
        faults = docstring_faults(changed, _name_of(function), before=function.source)
        yield _outcome(
            "doc",
            function.name,
            "functions",
            answer,
            runs=not any("changed" in fault for fault in faults),
            is_right=not faults,
            error=answer.error or "; ".join(faults),
            marks={"has a docstring": "there is no docstring" not in faults and bool(changed)},
        )


def tested(session: Session, checker: Checker, functions: Sequence[Function]) -> Iterator[Outcome]:
    """Let functions be tested; right is a test cell of which two tests pass on the good version."""
    for function in functions:
        session.begin((*function.cells, function.source))
        answer = asked(session, "test", _name_of(function))
        source = answer.proposal.source if answer.proposal is not None else ""
        tests = own_tests(source, _name_of(function))
        on_good = _counted(checker, function, function.good, tests)
        findings = findings_of(answer.proposal.verdict if answer.proposal is not None else "")
        is_borne_out = any(
            checker.check(
                Job((*function.cells, function.good), f"assert ({call}) == ({wanted})")
            ).runs
            for call, wanted in findings
        )
        yield _outcome(
            "test",
            function.name,
            "with a bug" if function.has_bug else "sound",
            answer,
            runs=sum(on_good) > 0,
            is_right=on_good[0] >= 2,
            error=answer.error or f"{on_good[0]} pass and {on_good[1]} fail on the good version",
            marks={
                "no test fails on the good version": sum(on_good) > 0 and not on_good[1],
                "there are findings": bool(findings),
                "a finding is a bug": function.has_bug and is_borne_out,
                "repeats the function": bool(source) and not tests and "def test" in source,
            },
        )


def findings_of(verdict: str) -> list[tuple[str, str]]:
    """The calls that a test cell finds wrong, and what it expects of each."""
    return [(call, wanted) for call, wanted in _FINDING.findall(verdict)]


def own_tests(source: str, name: str) -> str:
    """What a test cell defines; nothing if it defines what it is to test once more.

    Its tests are called one by one, so that the first that fails does not hide the others.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    if any(isinstance(node, kinds) and node.name == name for node in tree.body):
        return ""
    kept = (*kinds, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    tree.body = [node for node in tree.body if isinstance(node, kept)]
    return ast.unparse(tree)


def _counted(checker: Checker, function: Function, source: str, tests: str) -> tuple[int, int]:
    """How many tests pass and fail on a version of a function."""
    if not tests:
        return 0, 0
    job = Job((*function.cells, source), f"_print = print\n{tests}\n{_RUN_TESTS}")
    try:
        passed, failed = json.loads(checker.check(job).printed.strip().rpartition("\n")[2])
    except ValueError:
        return 0, 0
    return passed, failed


def reviewed(session: Session, functions: Sequence[Function]) -> Iterator[Outcome]:
    """Let functions be reviewed; right is a bug that was named, or nothing said of a sound one."""
    for function in functions:
        session.begin((*function.cells, function.source))
        answer = asked(session, "review", _name_of(function))
        is_quiet = bool(answer.text) and _ALL_IS_WELL.search(answer.text) is not None
        is_named = function.has_bug and names_bug(answer.text, function)
        yield _outcome(
            "review",
            function.name,
            "with a bug" if function.has_bug else "sound",
            answer,
            runs=bool(answer.text),
            is_right=is_named if function.has_bug else is_quiet,
            marks={"says that all is well": is_quiet},
        )


def names_bug(review: str, function: Function) -> bool:
    """Whether a review names the line of the bug, or one of the words for it."""
    has_line = re.search(rf"\bline {function.bug_line}\b", review, re.IGNORECASE)
    return has_line is not None or any(
        word.lower() in review.lower() for word in function.bug_words
    )


def explained(session: Session, cases: Sequence[BrokenCell]) -> Iterator[Outcome]:
    """Let errors be explained; right is an explanation that has a word of the mended cell."""
    for case in cases:
        session.begin(case.cells)
        session.run(case.broken)
        answer = asked(session, "explain", "error")
        words = new_words(case)
        yield _outcome(
            "explain",
            case.name,
            "errors",
            answer,
            runs=bool(answer.text),
            is_right=any(re.search(rf"\b{word}\b", answer.text) for word in words),
            error=answer.error or f"wanted one of: {', '.join(sorted(words))}",
        )


def new_words(case: BrokenCell) -> set[str]:
    """The words that a mended cell has and the broken one has not."""
    return set(_WORD.findall(case.mended)) - set(_WORD.findall(case.broken))


def _name_of(function: Function) -> str:
    """What the function is called."""
    nodes = ast.parse(function.source).body
    return next(node.name for node in reversed(nodes) if isinstance(node, ast.FunctionDef))
