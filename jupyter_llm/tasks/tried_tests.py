"""Runs drafted tests one by one in a sealed copy, and tells which hold and what came instead."""

from __future__ import annotations

import ast
import math
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from numbers import Number
from pprint import pformat
from types import TracebackType
from typing import Any, TypeGuard

from jupyter_llm.tasks.drafted_tests import is_check

_TIME_S = 1.0  # for a test
_MAX_SHOWN = 60  # characters of a value
_MAX_EXACT = 300  # characters of a value that a test is to hold
_WIDTH = 70
_DECIMALS = 4
_FILE = "<drafted test>"


@dataclass(frozen=True, slots=True)
class Finding:
    """A call that gives something else than a test expects.

    `expected` is "" where that is nothing to go by. `exact` is an expression that is true as it is
    now, "" where there is none.
    """

    call: str
    gives: str
    expected: str
    exact: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test: `source` is what of it holds, "" if nothing does."""

    source: str
    findings: tuple[Finding, ...] = ()


class Trial:
    """Runs tests one by one with the variables there are; each runs twice, since it may be luck.

    What fails is taken out of its test, and noted if it is about what is tested. An expected number
    that is rounded counts as right. `raised` are the errors that the tested code raises on purpose:
    where one comes, the test expects it from then on.
    """

    def __init__(
        self,
        tests: Sequence[ast.FunctionDef],
        imports: Sequence[str],
        is_about: Callable[[ast.AST], bool],
        raised: Collection[str] = (),
    ) -> None:
        self._tests = tests
        self._imports = imports
        self._is_about = is_about
        self._raised = raised

    def __call__(self, namespace: dict[str, Any]) -> list[Any]:
        """Try all; what comes back can be JSON, and `read_tried` reads it."""
        for text in self._imports:
            with suppress(Exception):
                exec(text, namespace)  # noqa: S102  in the copy
        found = []
        for test in self._tests:
            tried = _TestRun(deepcopy(test), namespace, self._is_about, self._raised).tried()
            findings = [[f.call, f.gives, f.expected, f.exact] for f in tried.findings]
            found.append([tried.source, findings])
        return found


def read_tried(looked: object) -> list[Tried]:
    """What a trial told; nothing where that makes no sense."""
    import msgspec

    with suppress(msgspec.ValidationError):
        told = msgspec.convert(looked, list[tuple[str, list[tuple[str, str, str, str]]]])
        return [
            Tried(source, tuple(Finding(*finding) for finding in findings))
            for source, findings in told
        ]
    return []


class _TestRun:
    def __init__(
        self,
        test: ast.FunctionDef,
        namespace: dict[str, Any],
        is_about: Callable[[ast.AST], bool],
        raised: Collection[str],
    ) -> None:
        self._test = test
        self._namespace = namespace
        self._is_about = is_about
        self._raised = raised
        self._findings: list[Finding] = []

    def tried(self) -> Tried:
        for _ in range(2 * len(self._test.body) + 1):
            error = self._error()
            if error is None:
                break
            self._mend(error)
        else:
            return Tried("", tuple(self._findings))
        has_check = any(map(is_check, self._test.body))
        holds = has_check and self._is_about(self._test) and self._error() is None
        return Tried(ast.unparse(self._test) if holds else "", tuple(self._findings))

    def _error(self) -> BaseException | None:
        """What a test raises; None if it passes."""
        if not self._test.body:
            return None
        module = ast.fix_missing_locations(ast.Module([_renumbered(self._test)], []))
        try:
            with _bounded():
                scope = dict(self._namespace)
                exec(compile(module, _FILE, "exec"), scope)  # noqa: S102  in the copy
                scope[self._test.name]()
        except BaseException as error:  # noqa: BLE001  a test may raise whatever there is
            return error
        return None

    def _mend(self, error: BaseException) -> None:
        """Take what failed out of the test, or put right what was rounded."""
        steps, body = _steps(error), self._test.body
        if not steps:
            body.clear()
            return
        place = steps[0].tb_lineno - 1
        statement = body[place]
        scope = {**self._namespace, **steps[0].tb_frame.f_locals}
        if not isinstance(statement, ast.Assert):
            # What comes after may need it, or would be about an older value.
            del body[place:]
            return
        better = None
        is_inside = len(steps) > 1  # of what is tested
        if isinstance(error, AssertionError) and not is_inside:
            better = self._note(statement, scope, body[:place])
        elif is_inside and type(error).__name__ in self._raised:
            better = _expecting(statement, type(error).__name__, self._is_about, scope)
        elif is_inside and isinstance(error, AttributeError | TypeError):
            better = _with_arrays(statement, self._is_about, scope)
        elif isinstance(error, ValueError) and _is_equation(statement.test):
            better = _as_lists(statement.test, scope)
        body[place : place + 1] = [better] if better is not None else []

    def _note(
        self, statement: ast.Assert, scope: dict[str, Any], before: Sequence[ast.stmt]
    ) -> ast.stmt | None:
        """Note what an assertion expects and what comes instead; or give one that is right."""
        test = statement.test
        shown = _Inlined(before).visit(deepcopy(test))
        calls = (node for node in ast.walk(shown) if isinstance(node, ast.Call))
        told: ast.expr | None = next((one for one in calls if self._is_about(one.func)), None)
        better = None
        if told is None:
            return None
        with suppress(BaseException), _bounded():  # a value may do anything when it is shown
            expected = "something true" if told is shown else ""
            if _is_equation(test) and _is_equation(shown):
                told, right = shown.left, shown.comparators[0]
                better = _rounded(test, _value(told, scope), _value(right, scope))
                can_be = _can_be(_value(right, scope), _value(told, scope))
                expected = ast.unparse(right) if can_be else ""
            if better is None:
                value, call = _value(told, scope), ast.unparse(told)
                exact = self._lasting(_exact(call, value))
                self._findings.append(Finding(call, _shown(value), expected, exact))
        return better

    def _lasting(self, expression: str) -> str:
        """An expression that is true once more, without the variables of the test; "" if not."""
        with suppress(Exception):
            tree = ast.parse(expression, mode="eval").body
            return expression if _value(tree, dict(self._namespace)) is True else ""
        return ""


def _is_equation(test: ast.expr) -> TypeGuard[ast.Compare]:
    return isinstance(test, ast.Compare) and [*map(type, test.ops)] == [ast.Eq]


def _rounded(test: ast.Compare, left: object, right: object) -> ast.stmt | None:
    """The assertion with as many decimals as it expects, where it holds then."""
    if type(right) is not float or not isinstance(left, float) or not math.isfinite(right):
        return None
    decimals = len(f"{right!r}".partition(".")[2]) if "e" not in f"{right!r}" else _DECIMALS
    if round(float(left), decimals) != right:
        return None
    text = f"assert round({ast.unparse(test.left)}, {decimals}) == {right!r}"
    return ast.parse(text).body[0]


def _expecting(
    statement: ast.Assert, kind: str, is_about: Callable[[ast.AST], bool], scope: dict[str, Any]
) -> ast.stmt | None:
    """A statement that expects the error, by pytest if that is there."""
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call) and is_about(n)]
    if not calls or "pytest" not in scope:
        return None
    return ast.parse(f"with pytest.raises({kind}):\n    {ast.unparse(calls[0])}").body[0]


def _with_arrays(
    statement: ast.Assert, is_about: Callable[[ast.AST], bool], scope: dict[str, Any]
) -> ast.stmt | None:
    """The assertion with arrays where the calls have lists, which the tested code does not take."""
    if "np" not in scope:
        return None
    changed = deepcopy(statement)
    count = 0
    for call in (node for node in ast.walk(changed) if isinstance(node, ast.Call)):
        for place, argument in enumerate(call.args if is_about(call.func) else ()):
            if isinstance(argument, ast.List):
                call.args[place] = ast.Call(ast.Name("np.array", ast.Load()), [argument], [])
                count += 1
    return ast.parse(ast.unparse(changed)).body[0] if count else None


def _value(node: ast.expr, scope: dict[str, Any]) -> object:
    expression = ast.fix_missing_locations(ast.Expression(deepcopy(node)))
    return eval(compile(expression, _FILE, "eval"), scope)  # noqa: S307  in the copy


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _exact(call: str, value: Any) -> str:
    """An expression that compares a call with what it gives; "" where that is no plain Python."""
    call, value = _plain(call, value)
    if type(value) is float and round(value, _DECIMALS) != value:
        call, value = f"round({call}, {_DECIMALS})", round(value, _DECIMALS)
    elif type(value) is list and any(type(one) is float for one in value):
        value = [round(one, _DECIMALS) for one in value]
        call = f"[round(value, {_DECIMALS}) for value in {call}]"
    if isinstance(value, dict):
        value = dict(value)  # a Counter is as good
    text = pformat(value, width=_WIDTH, sort_dicts=False)
    with suppress(Exception):
        if ast.literal_eval(text) == value and len(text) <= _MAX_EXACT:
            return f"{call} is {text}" if value is None else f"{call} == {text}"
    return ""


def _can_be(expected: object, value: object) -> bool:
    """Whether an expectation is at least of the right kind: else the model knows nothing of it."""
    both = (expected, value)
    is_same = type(expected) is type(value) or any(one is None for one in both)
    return is_same or all(isinstance(one, Number) for one in both)


def _as_lists(test: ast.Compare, scope: dict[str, Any]) -> ast.stmt | None:
    """An assertion about arrays or tables, which `==` compares item by item, as one of lists."""
    with suppress(Exception):
        sides = (test.left, test.comparators[0])
        parts = [_plain(ast.unparse(node), _value(node, scope))[0] for node in sides]
        return ast.parse(f"assert {parts[0]} == {parts[1]}").body[0]
    return None


def _plain(text: str, value: Any) -> tuple[str, Any]:
    """An array or a table as lists, and the code that makes it that; others as they are."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return f"{text}.to_dict('list')", value.to_dict("list")
    if hasattr(value, "tolist"):  # of numpy or pandas
        is_number = getattr(value, "shape", None) == ()
        return text if is_number else f"{text}.tolist()", value.tolist()
    return text, value


def _renumbered(test: ast.FunctionDef) -> ast.FunctionDef:
    """A test whose statements say which they are: the line is the place in the body."""
    test = deepcopy(test)
    for number, statement in enumerate(test.body, 1):
        place = dict.fromkeys(("lineno", "end_lineno"), number)
        place |= dict.fromkeys(("col_offset", "end_col_offset"), 0)
        for node in ast.walk(statement):
            if "lineno" in vars(node):
                vars(node).update(place)
    return test


def _steps(error: BaseException) -> list[TracebackType]:
    """The steps of a traceback from the test's own on; none where it never came so far."""
    steps: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if steps or (code.co_filename == _FILE and code.co_name != "<module>"):
            steps.append(step)
        step = step.tb_next
    return steps


class _Inlined(ast.NodeTransformer):
    """Puts what was assigned in the place of names, so that a statement can be read alone."""

    def __init__(self, before: Sequence[ast.stmt]) -> None:
        self._values: dict[str, ast.expr] = {}
        for statement in before:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._values[name] = self.visit(deepcopy(value))

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The value of a name, if it is known."""
        return deepcopy(self._values.get(node.id, node))


@contextmanager
def _bounded() -> Iterator[None]:
    """End what takes too long."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _TIME_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
