"""`/test`: a cell with tests of what a notebook defines, and what they show about it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, segment
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.names import defined_names, unknown_names
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.values.summaries import tells_data
from jupyter_llm.notebook.values.variables import describe
from jupyter_llm.tasks.drafted_tests import DraftedTests, is_check
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import definitions_of, find_subject, listed, with_source
from jupyter_llm.tasks.tried_tests import Finding, Trial, Tried, read_tried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.tasks.target import Subject
    from jupyter_llm.tasks.task import Task

_REQUEST = (
    "Write short tests for {title} with pytest: plain functions named test_…, each with an assert "
    "that calls it and compares what comes back, for the usual case and for the edges. "
    "{title_first} is already defined. Answer with one Python code block."
)
_BEGIN = "```python\nimport pytest\n\n\ndef test_"  # else small models repeat what is tested
_NUM_DRAFTS = 3
_MAX_TOKENS = 180  # of a draft
_MAX_VARIABLES = 4
_MAX_VARIABLE_CHARS = 600
_ENOUGH = 3  # tests
_MAX_TESTS = 6
_MAX_FINDINGS = 3
_BUG = "This may be a bug, or the model expects something wrong"
_DOUBTED = "The model expects something else more often than not, so it is likely wrong itself"
_NOW = "  # as it is now"


def write_tests(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose a new cell with tests of a cell, a function or a class.

    Each drafted test is tried in a sealed copy, and those that pass are proposed. What fails is
    told as a finding. Where hardly any passes, there are tests that hold what comes out now.
    `MagicUsageError`: there is nothing to test, or no test in the answer. An interrupt keeps what
    passed by then, as its `best`.
    """
    subject = with_source(find_subject(argument, task), "test")
    title, tested = _tested(subject)
    request = _REQUEST.format(title=title, title_first=title[0].upper() + title[1:])
    bench = _Bench(task, subject, DraftedTests(tested))
    prompt = "\n\n".join(filter(None, (_variables(task), subject.prompt(request))))
    name = subject.name or min(tested, default="cell")
    try:
        _fill(bench, prompt, name)
    except KeyboardInterrupt:
        if not bench.kept:
            raise
        best = bench.proposal()
        raise PromptInterrupted(best.completion, best=best) from None
    return bench.proposal()


def _fill(bench: _Bench, prompt: str, name: str) -> None:
    """Have tests drafted and tried, once more where too few pass."""
    for more in (f"{name}_with_", f"{name}():\n    assert {name}("):
        begin = _BEGIN + more
        drafts = bench.task.draft(
            prompt,
            begin=begin,
            count=_NUM_DRAFTS,
            stop=("\n```",),
            max_tokens=_MAX_TOKENS,
        )
        for draft in drafts:
            bench.take(begin.partition("\n")[2] + _whole_lines(draft), draft)
        bench.try_new()
        if len(bench.kept) >= _ENOUGH or not bench.is_tried:
            break
    if bench.is_tried and len(bench.kept) < _ENOUGH:
        bench.take(_with_variables(bench.subject, bench.task, name), None)
        bench.try_new()


def _with_variables(subject: Subject, task: Task, name: str) -> str:
    """Tests that give a function what the notebook has, without an idea of what comes out."""
    tree = parse_cell(subject.source)
    nodes = [n for n in tree.body if isinstance(n, ast.FunctionDef)] if tree else []
    node = next((one for one in nodes if one.name == name), None)
    if node is None:
        return ""
    needed = [arg.arg for arg in node.args.args[: -len(node.args.defaults) or None]]
    known = _data_names(task)
    if len(needed) == 1:
        given = known
    else:
        given = [", ".join(needed)] if needed and set(needed) <= set(known) else []
    calls = [f"{name}({text})" for text in given]
    return "\n".join(f"def test_{name}():\n    assert {call} is ...\n" for call in calls)


def _variables(task: Task) -> str:
    """The variables that hold data, which show what is likely to be given to what is tested."""
    choice = ",".join(_data_names(task)) or "none"
    told = describe("", (), task.namespace, choice=choice, max_chars=_MAX_VARIABLE_CHARS)
    lines = ["- " + summary.text.replace("\n", "\n  ") for summary in told]
    return "\n".join(["Variables of the notebook:", *lines]) if lines else ""


def _data_names(task: Task) -> list[str]:
    """The latest variables that cells gave data."""
    made = [name for cell in reversed(task.cells) for name in sorted(defined_names(cell.source))]
    known = task.namespace
    names = dict.fromkeys(name for name in made if name in known and tells_data(known[name]))
    return [*names][:_MAX_VARIABLES]


def _tested(subject: Subject) -> tuple[str, frozenset[str]]:
    """What is to be tested, in words and by its names: what a cell defines, if it does."""
    if subject.kind == "cell" and subject.cell is not None:
        names = [node.name for node in definitions_of(subject, subject.cell.source)]
        title = listed(names) if names else subject.title
        return title, frozenset(names)
    return subject.title, frozenset("".join(re.findall(r"`(.+?)`", subject.title)).split("."))


@dataclass(slots=True)
class _Bench:
    """What was drafted and tried so far."""

    task: Task
    subject: Subject
    drafted: DraftedTests
    kept: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    is_tried: bool = True
    why_not: str = ""
    _new: list[ast.FunctionDef] = field(default_factory=list)
    _completion: Completion | None = None

    def take(self, source: str, completion: Completion | None) -> None:
        """Take in a draft; one that is not the model's has no completion."""
        new = self.drafted.add(source)
        if new and self._completion is None and completion is not None:
            # What is taken is whole, though more may have been to come.
            self._completion = replace(completion, finish_reason="stop")
        self._new += new

    def try_new(self) -> None:
        """Try what has come in since the last time."""
        new, self._new = self._new, []
        if not new:
            return
        tries, imports = self.task.tries, self.drafted.imports_of(new)
        sources = [*_unrun(self.subject, self.task), "\n".join(map(ast.unparse, new))]
        raised = _raised_in(self.subject.source)
        if raised and "pytest" in self.drafted.imports:
            imports.append("import pytest")
        trial = Trial(new, imports, self.drafted.is_about, raised)
        seen = tries.seen(*sources, look=trial, step="Trying the tests")
        # What a function gives that was kept from something says nothing about it.
        tried = read_tried(seen.looked) if seen.outcome != "refused" else []
        if not tried:
            self.is_tried, self.why_not = False, seen.text
            tried = [Tried(source) for source in map(ast.unparse, new) if not self._lacks(source)]
        self.kept += [one.source for one in tried if one.source]
        self.findings += [finding for one in tried for finding in one.findings]

    def proposal(self) -> Proposal:
        """The cell, and what is to be said of it."""
        kept, held = self.kept[:_MAX_TESTS], self._held()
        if self._completion is None or not (kept or held):
            what = "test that holds" if self.drafted.tests else "code"
            raise MagicUsageError(f"The model wrote no {what}.", "Try again, or another model.")
        tests = [*kept, *held]
        trees = [node for test in tests for node in ast.parse(test).body]
        imports = self.drafted.imports_of(trees, self.task.namespace.keys())
        calls = [f"{node.name}()" for node in trees if isinstance(node, ast.FunctionDef)]
        parts = ["\n".join(imports), *tests, "\n".join(calls)]
        source, _ = without_hidden("\n\n\n".join(filter(None, parts)), self.task.namespace)
        return Proposal(
            source=source, completion=self._completion, verdict=self._verdict(len(kept), len(held))
        )

    def _held(self) -> list[str]:
        """Tests that hold what comes out now, where few others pass."""
        name = min(self.drafted.tested, default="cell")
        exact = dict.fromkeys(f.exact for f in self.findings if f.exact)
        return [
            f"def test_{name}_as_it_is_{number}():\n    assert {_inside(text)}{_NOW}"
            for number, text in enumerate(list(exact)[: max(_ENOUGH - len(self.kept), 0)], 1)
        ]

    def _verdict(self, num_kept: int, num_held: int) -> str:
        if not self.is_tried:
            return f"{self.why_not[:1].upper()}{self.why_not[1:]}."
        said = [f"{count_of(num_kept + num_held, 'test')} pass{'es' * (num_kept + num_held == 1)}"]
        if num_held:
            said.append(f"{num_held} of them hold{'s' * (num_held == 1)} what comes out now")
        findings = "".join(f"\n- {_told(one)}" for one in self._told_findings())
        lead = f"\n\n{_DOUBTED if self._is_doubtful() else _BUG}:\n"
        return "; ".join(said) + "." + (lead + findings if findings else "")

    def _is_doubtful(self) -> bool:
        """Whether the model is wrong, or the code, more often than both are right."""
        checks = (node for test in self.kept for node in ast.walk(ast.parse(test)))
        return sum(map(is_check, checks)) < len(self.findings)

    def _told_findings(self) -> list[Finding]:
        """The findings that are worth telling: of a call, all drafts expect the same."""
        expected: dict[str, set[str]] = {}
        for one in self.findings:
            expected.setdefault(one.call, set()).add(one.expected)
        told = {one.call: one for one in self.findings if one.expected}
        return [one for one in told.values() if len(expected[one.call]) == 1][:_MAX_FINDINGS]

    def _lacks(self, source: str) -> bool:
        known = {*self.task.namespace, *self.drafted.tested, *self.drafted.imports}
        return bool(unknown_names(source, known))


def _inside(text: str) -> str:
    return text.replace("\n", "\n    ")


def _whole_lines(draft: Completion) -> str:
    """What a draft says, without a line that was cut off: a part of a number is another one."""
    is_cut_off = draft.finish_reason == "length"
    return draft.text.rpartition("\n")[0] if is_cut_off else draft.text


def _told(finding: Finding) -> str:
    return f"`{finding.call}` gives `{finding.gives}`, a test expects `{finding.expected}`"


def _unrun(subject: Subject, task: Task) -> Sequence[str]:
    """What is to be defined in the copy: what a cell defines that is not there as it stands."""
    if subject.cell is None or subject.kind != "cell":
        return ()
    source, number = subject.cell.source, subject.cell.number
    tree = parse_cell(source)
    nodes = [node for node in tree.body if isinstance(node, DEFINITIONS)] if tree else []
    # The cell of a page may have been edited since.
    has_run = any(c.number == number and unmark(c.source) == unmark(source) for c in task.cells)
    if has_run and all(node.name in task.namespace for node in nodes):
        return ()
    return ["\n\n".join(segment(source, node) for node in nodes)]


def _raised_in(source: str) -> frozenset[str]:
    """The errors that some code raises by name."""
    tree = parse_cell(source)
    raised = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)) if tree else ()
    made = (exc.func if isinstance(exc, ast.Call) else exc for exc in raised)
    return frozenset(exc.id for exc in made if isinstance(exc, ast.Name))
