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
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.bars import Step
from jupyter_llm.common.packing import DamagedValueError, converted
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, names_in, segment
from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.notebook.code.syntax import parse_python
from jupyter_llm.notebook.values.summaries import holds_data
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import definitions_of, described, find_subject, listed, with_source

if TYPE_CHECKING:
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
MAX_S = 30.0  # in which drafts are written, once the model is there; the first is in any case
_MAX_TOKENS = 180  # of a draft
_MAX_CHARS = 10_000
_MAX_VARIABLES = 4
_ENOUGH = 3  # tests
_MAX_TESTS = 6
_MAX_SURPRISES = 3
_MAX_SHOWN = 60  # characters of a value
_MAX_HELD = 300  # characters of a value that a test is to hold
_CHECKS = (ast.Assert, ast.With, ast.For)  # what is there to fail
_IMPORTS = (ast.Import, ast.ImportFrom)
_NOW = "as it is now"  # what a test says that holds what comes out, and not what was expected
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
    title, tested, source = _tested(subject)
    request = _REQUEST.format(title=title, title_first=title[0].upper() + title[1:])
    prompt = "\n\n".join(filter(None, (_variables(task), subject.prompt(request))))
    name = subject.name or min(tested, default="cell")
    draft = partial(task.draft, prompt, count=_NUM_DRAFTS, stop=("\n```",), max_tokens=_MAX_TOKENS)
    tests = _Tests(task, tested, source)
    try:
        task.engine()  # a model may take longer to load than to write
        end_s = time.monotonic() + MAX_S
        for more in (f"{name}_with_", f"{name}():\n    assert {name}("):
            begin = _BEGIN + more
            if tests.num_drafts and task.show_progress is not None:
                kept = count_of(len(tests.kept), "test")
                task.show_progress(Step(f"Asking again: {kept} so far"))
            drafts = draft(begin=begin, first=tests.num_drafts + 1, end_s=end_s)
            tests.take(begin.partition("\n")[2], drafts)
            if len(tests.kept) >= _ENOUGH or tests.why_not or time.monotonic() > end_s:
                break
    except KeyboardInterrupt:
        if not tests.kept:
            raise
        best = tests.proposal()
        raise PromptInterrupted(best.completion, best=best) from None
    return tests.proposal()


def _variables(task: Task) -> str:
    """The latest variables that hold data: what is likely to be given to what is tested."""
    made = [name for cell in reversed(task.cells) for name in sorted(defined_names(cell.source))]
    known = task.namespace
    names = dict.fromkeys(name for name in made if name in known and holds_data(known[name]))
    return described([*names][:_MAX_VARIABLES], task, "Variables of the notebook:")


def _tested(subject: Subject) -> tuple[str, frozenset[str], str]:
    """Return the subject of the tests in words and by its names, and the sources it needs."""
    if subject.kind == "cell" and subject.cell is not None:
        nodes = definitions_of(subject, subject.cell.source)
        names = [node.name for node in nodes]
        title = listed(names) if names else subject.title
        source = "\n\n".join(segment(subject.cell.source, node) for node in nodes)
        return title, frozenset(names), source
    return subject.title, frozenset("".join(re.findall(r"`(.+?)`", subject.title)).split(".")), ""


@dataclass(slots=True)
class _Tests:
    """The tests that hold so far, and what others showed; `why_not` if nothing can be tried."""

    task: Task
    tested: frozenset[str]
    source: str
    kept: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    why_not: str = ""
    num_drafts: int = 0
    _imports: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, str] = field(default_factory=dict)  # names by bodies
    _completion: Completion | None = None

    def take(self, begun: str, drafts: Sequence[Completion]) -> None:
        """Take the tests out of some drafts, each once, and try them."""
        called = re.compile(rf"\b(?:{'|'.join(self.tested)})\(" if self.tested else "")
        self.num_drafts += len(drafts)
        new: list[ast.FunctionDef] = []
        for draft in drafts:
            # Of a line that was cut off a number may be another one.
            text = draft.text.rpartition("\n")[0] if draft.finish_reason == "length" else draft.text
            new += (one := [*self._new_tests(begun + text, called)])
            if one and self._completion is None:  # what is taken is whole
                self._completion = replace(draft, finish_reason="stop")
        if not new:
            return
        sources = [*filter(None, [self.source]), "\n".join(map(ast.unparse, new))]
        look = partial(_try_tests, new, self._imports_of(new), called)
        seen = self.task.tries.seen(*sources, look=look, step="Trying the tests")
        # What a function gives that was kept from something says nothing about it.
        if (outcomes := _read(seen.looked)) and seen.outcome != "refused":
            for test, (source, surprises) in zip(new, outcomes, strict=False):
                match parse_python(source):
                    case ast.Module([ast.FunctionDef(name=test.name) as it]) if _is_plain_test(it):
                        self.kept.append(source)
                self.surprises += [f"{text:.300}" for text in surprises]
            return
        why = "not tried: what came out could not be read" if seen.runs else seen.text
        self.why_not = f"{why[:1].upper()}{why[1:]}."
        known = {*self.task.namespace, *self.tested, *self._imports}
        self.kept += [one for one in map(ast.unparse, new) if not unknown_names(one, known)]

    def _new_tests(self, draft: str, called: re.Pattern[str]) -> Iterator[ast.FunctionDef]:
        for node in _statements(draft[:_MAX_CHARS]):
            for one in ast.walk(node):
                if isinstance(one, _IMPORTS):
                    names = [alias.asname or alias.name.partition(".")[0] for alias in one.names]
                    if self.tested.isdisjoint(names) and not missing_modules(ast.unparse(one)):
                        self._imports |= dict.fromkeys(names, ast.unparse(one))
            if isinstance(node, ast.FunctionDef) and _is_plain_test(node):
                node.body = [one for one in node.body if not isinstance(one, _IMPORTS)]
                text = "\n".join(map(ast.unparse, node.body))
                if called.search(text) and text not in self._seen:
                    if node.name in self._seen.values():
                        node.name += f"_{len(self._seen) + 1}"
                    self._seen[text] = node.name
                    yield node

    def _imports_of(self, tests: Sequence[ast.AST]) -> list[str]:
        names = {name for test in tests for name in names_in(test)}
        return [*dict.fromkeys(text for name, text in self._imports.items() if name in names)]

    def proposal(self) -> Proposal:
        """The cell, and what is to be said of it."""
        kept = self.kept[:_MAX_TESTS]
        if self._completion is None or not kept:
            num, drafts = count_of(len(self._seen), "test"), count_of(self.num_drafts, "draft")
            what = f"test that holds: none of {num} in {drafts} passes" if self._seen else "code"
            message = self.why_not or f"The model wrote no {what}."
            raise MagicUsageError(message, "Try again, or another model.")
        trees = [node for test in kept for node in ast.parse(test).body]
        calls = [f"{node.name}()" for node in trees if isinstance(node, ast.FunctionDef)]
        parts = ["\n".join(self._imports_of(trees)), *kept, "\n".join(calls)]
        source, _ = without_hidden("\n\n\n".join(filter(None, parts)), self.task.namespace)
        verdict = f"{count_of(len(kept), 'test')} pass{'es' * (len(kept) == 1)}."
        surprises = [f"\n- {text}" for text in dict.fromkeys(self.surprises)][:_MAX_SURPRISES]
        verdict += f"\n\n{_BUG}:\n{''.join(surprises)}" if surprises else ""
        return Proposal(source=source, completion=self._completion, verdict=self.why_not or verdict)


def _read(looked: object) -> list[_Outcome]:
    """Read the result of a copy, which a draft may have forged; impossible results are dropped."""
    try:
        return converted(looked, list[_Outcome])
    except DamagedValueError:
        return []


def _statements(source: str) -> Iterator[ast.stmt]:
    """Yield the statements of a draft; of what is no Python, those before it in each test."""
    for part in re.split(r"(?m)^(?=def test)", source):
        lines = part.split("\n")
        trees = (parse_python("\n".join(lines[:end])) for end in range(len(lines), 0, -1))
        tree = next((tree for tree in trees if tree is not None), None)
        yield from tree.body if tree is not None else ()


def _is_plain_test(node: ast.FunctionDef) -> bool:
    """Whether a function is a test that can be called as it is."""
    is_odd = any(isinstance(one, (*DEFINITIONS, ast.Return)) for one in node.body)
    has_check = any(isinstance(one, _CHECKS) for one in node.body)
    is_bare = not (node.decorator_list or ast.unparse(node.args))
    return node.name.startswith("test") and has_check and is_bare and not is_odd


def _try_tests(
    tests: Sequence[ast.FunctionDef],
    imports: Sequence[str],
    called: re.Pattern[str],
    namespace: dict[str, Any],
) -> list[_Outcome]:
    """Return which parts of each test hold, and the values of the others. Runs in the copy."""
    _error_of(ast.parse("\n".join(imports)).body, namespace)
    outcomes = []
    for test in tests:
        surprises: list[str] = []
        scope, whole = dict(namespace), copy(test)
        whole.body = []
        for statement in test.body:
            error = _error_of([statement], scope)
            if error is None:
                whole.body.append(statement)
            elif not isinstance(statement, ast.Assert):
                break  # what comes after may need it
            elif isinstance(error, AssertionError):
                text, held = _instead(statement, whole.body, called, scope)
                surprises += filter(None, [text])
                whole.body += held
        source, call = ast.unparse(whole), ast.parse(f"{test.name}()").body
        holds = any(isinstance(one, _CHECKS) for one in whole.body) and called.search(source)
        # It runs once more, since it may have been luck.
        is_kept = holds and _error_of([whole, *call], dict(namespace)) is None
        outcomes.append((source if is_kept else "", surprises))
    return outcomes


def _error_of(statements: Sequence[ast.stmt], scope: dict[str, Any]) -> BaseException | None:
    module = ast.fix_missing_locations(ast.Module([*statements], []))
    try:
        exec(compile(module, "<drafted test>", "exec"), scope)  # noqa: S102  in the copy
    except BaseException as error:  # noqa: BLE001  a test may raise whatever there is
        return error
    return None


def _instead(
    failed: ast.Assert, before: Sequence[ast.stmt], called: re.Pattern[str], scope: dict[str, Any]
) -> tuple[str, list[ast.stmt]]:
    """Return the value of an equation that fails, in words and as an assertion."""
    if not isinstance(failed.test, ast.Compare) or not isinstance(failed.test.ops[0], ast.Eq):
        return "", []
    left, right = failed.test.left, failed.test.comparators[0]
    call = ast.unparse(left)
    for one in reversed(before):  # a name says nothing by itself
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            value = ast.unparse(one.value).replace("\\", r"\\")
            call = re.sub(rf"\b{one.targets[0].id}\b", value, call)
    with suppress(BaseException):  # a value may do anything when it is compared
        gives, other = (eval(ast.unparse(side), scope) for side in (left, right))  # noqa: S307
        is_likely = type(gives) is type(other) or None in (gives, other)
        if isinstance(gives, Number) and isinstance(other, Number):  # rounded, it is the same
            is_likely = not math.isclose(gives, other, rel_tol=0.01)  # type: ignore[arg-type]
        text = " ".join(repr(gives).split())
        shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
        surprise = f"`{call}` gives `{shown}`, a test expects `{ast.unparse(right)}`"
        if called.search(call):
            return surprise if is_likely else "", _true_value(left, gives)
    return "", []


def _true_value(left: ast.expr, gives: object) -> list[ast.stmt]:
    """An assertion of what comes out now; nothing where that is no plain Python."""
    with suppress(Exception):
        text = repr(gives)
        if gives is not None and len(text) <= _MAX_HELD and ast.literal_eval(text) == gives:
            return ast.parse(f"assert {ast.unparse(left)} == {text}, {_NOW!r}").body
    return []
