"""`/test`: a cell with tests of what a notebook defines, and what they show about it."""

from __future__ import annotations

import ast
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Number
from typing import Any

from jupyter_llm.common.bars import Step
from jupyter_llm.common.clipping import shorten
from jupyter_llm.common.packing import DamagedValueError, converted
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, segment
from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.notebook.code.syntax import parse_python
from jupyter_llm.notebook.values.summaries import holds_data
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import (
    Subject,
    definitions_of,
    described,
    find_subject,
    listed,
    with_source,
)
from jupyter_llm.tasks.task import Task

_REQUEST = (
    "Write short tests for {title} with pytest: plain functions named test_…, each with an assert "
    "that calls it and compares what comes back, for the usual case and for the edges. "
    "{title_first} is already defined. Answer with one Python code block."
)
_BEGIN = "```python\nimport pytest\n\n\ndef test_"  # else small models repeat what is tested
_NUM_DRAFTS = 3
MAX_S = 30.0  # in which drafts are written, once the model is there; the first is in any case
_MAX_TOKENS = 180  # of a draft
_MAX_VARIABLES = 4
_ENOUGH = 3  # tests
_MAX_TESTS = 6
_MAX_SURPRISES = 3
_MAX_SHOWN = 60  # characters of a value
_MAX_HELD = 300  # characters of a value that a test is to hold
_CHECKS = (ast.Assert, ast.With, ast.For)  # what is there to fail
_IMPORTS = (ast.Import, ast.ImportFrom)
_Outcome = tuple[str, list[str]]  # the part of a test that holds, and the unexpected values
_BUG = "This may be a bug, or the model expects something wrong"


def write_tests(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose a new cell with tests of a cell, a function or a class.

    Each drafted test is tried in a sealed copy, and what of it passes is proposed. Failures are
    reported. Where few hold and that took little time, other drafts begin otherwise.
    `MagicUsageError`: there is nothing to test, or no test in the answer that holds. An interrupt
    keeps what passed by then, as its `best`.
    """
    subject = with_source(find_subject(argument, task), "test")
    title, names, source = _tested(subject)
    request = _REQUEST.format(title=title, title_first=title[0].upper() + title[1:])
    prompt = "\n\n".join(filter(None, (_variables(task), subject.prompt(request))))
    draft = partial(task.draft, prompt, count=_NUM_DRAFTS, stop=("\n```",), max_tokens=_MAX_TOKENS)
    name = subject.name or min(names, default="cell")
    called = re.compile(rf"\b(?:{'|'.join(names)})\(" if names else "")
    tests = _Tests(task, names, called, source)
    try:
        task.engine()  # a model may take longer to load than to write
        end_s = time.monotonic() + MAX_S
        for more in (f"{name}_with_", f"{name}():\n    assert {name}("):
            if tests.num_drafts and task.show_progress is not None:
                kept = count_of(len(tests.kept), "test")
                task.show_progress(Step(f"Asking again: {kept} so far"))
            drafts = draft(begin=_BEGIN + more, first=tests.num_drafts + 1, end_s=end_s)
            tests.take(f"def test_{more}", drafts)
            if len(tests.kept) >= _ENOUGH or tests.why_not or time.monotonic() > end_s:
                break
    except KeyboardInterrupt:
        if not tests.kept:
            raise
        best = tests.proposal()
        raise PromptInterrupted(best.completion, best=best) from None
    return tests.proposal()


def _variables(task: Task) -> str:
    """Return the latest variables with data, which are likely arguments, for the prompt."""
    made = [name for cell in reversed(task.cells) for name in sorted(defined_names(cell.source))]
    known = task.namespace
    names = dict.fromkeys(name for name in made if name in known and holds_data(known[name]))
    return described([*names][:_MAX_VARIABLES], task, "Variables of the notebook:")


def _tested(subject: Subject) -> tuple[str, list[str], str]:
    """Return the subject of the tests in words and by its names, and the source they need."""
    if subject.name or subject.cell is None:
        return subject.title, subject.title.split("`")[1].split("."), ""
    nodes = definitions_of(subject, subject.cell.source)
    names = [node.name for node in nodes]
    source = "\n\n".join(segment(subject.cell.source, node) for node in nodes)
    return listed(names) if names else subject.title, names, source


@dataclass(slots=True)
class _Tests:
    """The tests that hold so far, and the unexpected values of others.

    `names` are tested, `called` matches their calls, and `source` defines them. `why_not`: the
    reason why nothing can be tried.
    """

    task: Task
    names: Sequence[str]
    called: re.Pattern[str]
    source: str
    kept: dict[str, str] = field(default_factory=dict)  # by their names
    why_not: str = ""
    num_drafts: int = 0
    _surprises: list[str] = field(default_factory=list)
    _imports: dict[str, str] = field(default_factory=dict)  # by the names that they bind
    _names: dict[str, str] = field(default_factory=dict)  # of tests, by their bodies
    _completion: Completion | None = None

    def take(self, begun: str, drafts: Sequence[Completion]) -> None:
        """Try the tests of some drafts that are new, and keep what holds."""
        self.num_drafts += len(drafts)
        new: list[ast.FunctionDef] = []
        for draft in drafts:
            # The last number in a text that was cut off may be incomplete.
            text = draft.text.rpartition("\n")[0] if draft.finish_reason == "length" else draft.text
            new += (one := [*self._new_tests(begun + text)])
            if one and self._completion is None:
                self._completion = replace(draft, finish_reason="stop")
        if not new:
            return
        source = "\n".join([self.source, *map(ast.unparse, new)])
        look = partial(_try_tests, new, self._imports_of(source))
        seen = self.task.tries.seen(source, look=look, step="Trying the tests")
        outcomes: list[_Outcome] = []
        with suppress(DamagedValueError):  # a draft may forge what comes out
            # If the seal refused something, the values of a function say nothing about it.
            outcomes = converted(seen.looked, list[_Outcome]) if seen.outcome != "refused" else []
        if not outcomes:
            why = "not tried: what came out could not be read" if seen.runs else seen.text
            self.why_not = f"{why[:1].upper()}{why[1:]}."
            known = {*self.task.namespace, *self._imports, *self.names}
            whole = map(ast.unparse, new)
            outcomes = [("" if unknown_names(one, known) else one, []) for one in whole]
        for test, (held, surprises) in zip(new, outcomes, strict=False):
            match parse_python(held):
                case ast.Module([ast.FunctionDef(name=test.name) as it]):
                    if _is_plain_test(it) and self.called.search(held):
                        self.kept[test.name] = held
            self._surprises += surprises

    def _new_tests(self, draft: str) -> Iterator[ast.FunctionDef]:
        for node in _statements(draft):
            for one in ast.walk(node):
                text = ast.unparse(one) if isinstance(one, _IMPORTS) else ""
                bound = defined_names(text)
                if bound.isdisjoint(self.names) and not missing_modules(text):
                    self._imports |= dict.fromkeys(bound, text)
            if isinstance(node, ast.FunctionDef) and _is_plain_test(node):
                node.body = [one for one in node.body if not isinstance(one, _IMPORTS)]
                text = "\n".join(map(ast.unparse, node.body))
                if self.called.search(text) and text not in self._names:
                    if node.name in self._names.values():
                        node.name += f"_{len(self._names) + 1}"
                    self._names[text] = node.name
                    yield node

    def _imports_of(self, source: str) -> str:
        lines = [text for n, text in self._imports.items() if re.search(rf"\b{n}\b", source)]
        return "\n".join(dict.fromkeys(lines))

    def proposal(self) -> Proposal:
        """Return the cell with the tests, and the verdict on them."""
        kept = [*self.kept.items()][:_MAX_TESTS]
        if self._completion is None or not kept:
            num, drafts = count_of(len(self._names), "test"), count_of(self.num_drafts, "draft")
            what = f"test that holds: none of {num} in {drafts} passes" if self._names else "code"
            message = self.why_not or f"The model wrote no {what}."
            raise MagicUsageError(message, "Try again, or another model.")
        tests = "\n\n\n".join(source for _, source in kept)
        calls = "\n".join(f"{name}()" for name, _ in kept)
        parts = filter(None, (self._imports_of(tests), tests, calls))
        source, _ = without_hidden("\n\n\n".join(parts), self.task.namespace)
        verdict = f"{count_of(len(kept), 'test')} pass{'es' * (len(kept) == 1)}."
        about_it = [one for one in self._surprises if self.called.search(one.split(" gives ")[0])]
        surprises = [f"\n- {text:.300}" for text in dict.fromkeys(about_it)][:_MAX_SURPRISES]
        verdict += f"\n\n{_BUG}:\n{''.join(surprises)}" if surprises else ""
        return Proposal(source=source, completion=self._completion, verdict=self.why_not or verdict)


def _statements(source: str) -> Iterator[ast.stmt]:
    """Yield the statements of a draft; of what is no Python, those before it in each test."""
    for part in re.split(r"(?m)^(?=def test)", source):
        lines = part.split("\n")
        trees = (parse_python("\n".join(lines[:end])) for end in range(len(lines), 0, -1))
        yield from next((tree.body for tree in trees if tree is not None), ())


def _is_plain_test(node: ast.FunctionDef) -> bool:
    """Whether a function is a test that can be called as it is."""
    is_odd = any(isinstance(one, (*DEFINITIONS, ast.Return)) for one in node.body)
    has_check = any(isinstance(one, _CHECKS) for one in node.body)
    is_bare = not (node.decorator_list or ast.unparse(node.args))
    return node.name.startswith("test") and has_check and is_bare and not is_odd


def _try_tests(
    tests: Sequence[ast.FunctionDef], imports: str, namespace: dict[str, Any]
) -> list[_Outcome]:
    """Return which parts of each test hold, and the values of the others. Runs in the copy."""
    _error_of(imports, namespace)
    outcomes = []
    for test in tests:
        surprises: list[str] = []
        scope, whole = dict(namespace), copy(test)
        whole.body = []
        for statement in test.body:
            match statement, _error_of(ast.unparse(statement), scope):
                case _, None:
                    whole.body.append(statement)
                case ast.Assert(ast.Compare(left, [ast.Eq()], [right])), AssertionError():
                    surprise, held = _instead(left, right, whole.body, scope)
                    surprises += filter(None, [surprise])
                    whole.body += ast.parse(held).body
                case ast.Assert(), _:
                    pass  # no other statement needs it
                case _:
                    break
        source = ast.unparse(whole)
        # It runs once more, since it may have been luck.
        error = _error_of(f"{source}\n{test.name}()", dict(namespace))
        outcomes.append((source if error is None else "", surprises))
    return outcomes


def _error_of(source: str, scope: dict[str, Any]) -> BaseException | None:
    try:
        exec(source, scope)  # noqa: S102  in the copy
    except BaseException as error:  # noqa: BLE001  a test may raise whatever there is
        return error
    return None


def _instead(
    left: ast.expr, right: ast.expr, before: Sequence[ast.stmt], scope: dict[str, Any]
) -> tuple[str, str]:
    """Return the value of an equation that fails, in words and as an assertion."""
    side, wanted = ast.unparse(left), ast.unparse(right)
    call, surprise, held = side, "", ""
    for one in reversed(before):  # a name says nothing by itself
        match one:
            case ast.Assign([ast.Name(name)], value):
                text = ast.unparse(value).replace("\\", r"\\")
                call = re.sub(rf"\b{name}\b", text, call)
    with suppress(BaseException):  # a value may do anything when it is compared
        gives, other = eval(side, scope), eval(wanted, scope)  # noqa: S307
        is_likely = type(gives) is type(other) or None in (gives, other)
        if isinstance(gives, Number) and isinstance(other, Number):  # rounded, it is the same
            is_likely = not math.isclose(gives, other, rel_tol=0.01)  # type: ignore[arg-type]
        text = repr(gives)
        shown = shorten(" ".join(text.split()), _MAX_SHOWN)
        surprise = f"`{call}` gives `{shown}`, a test expects `{wanted}`" if is_likely else ""
        if gives is not None and len(text) <= _MAX_HELD and ast.literal_eval(text) == gives:
            held = f"assert {side} == {text}, 'as it is now'"
    return surprise, held
