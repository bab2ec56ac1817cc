"""Tests as a model drafts them: what of them can be tried, and kept."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

from jupyter_llm.notebook.code.bindings import DEFINITIONS, names_in
from jupyter_llm.notebook.code.names import missing_modules
from jupyter_llm.notebook.code.syntax import parse_python

_MAX_CHARS = 10_000  # of a draft
_BEGINS = re.compile(r"(?m)^(?=def test)")
_ODD_ARGUMENTS = re.compile(r"(?m)(?<=\w)\(\d+\):$")  # `def test_after_10_years(10):`
_MAX_CHECKS = 3  # in a test that only lists them: one that fails is found sooner
_TEST = "test"


@dataclass(slots=True)
class DraftedTests:
    """The tests out of some drafts, no check twice, for the names in `tested`.

    `imports` are the statements that give them the names they need, by name. With nothing in
    `tested`, every test counts.
    """

    tested: Collection[str] = ()
    tests: list[ast.FunctionDef] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def add(self, source: str) -> list[ast.FunctionDef]:
        """Take in a draft, and give the tests in it that are new."""
        before = len(self.tests)
        for node in _statements(source):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node)
            elif isinstance(node, ast.FunctionDef) and _is_plain_test(node):
                self._add(node)
        return self.tests[before:]

    def imports_of(self, tests: Iterable[ast.AST], known: Collection[str] = ()) -> list[str]:
        """The imports that some tests need, besides the names that are known."""
        names = {name for test in tests for name in names_in(test)} - {*known}
        return [text for name, text in self.imports.items() if name in names]

    def is_about(self, node: ast.AST) -> bool:
        """Whether a piece of code uses what is tested."""
        return not self.tested or not set(self.tested).isdisjoint(_mentioned(node))

    def calls_it(self, node: ast.AST) -> bool:
        """Whether a piece of code calls what is tested."""
        calls = (one for one in ast.walk(node) if isinstance(one, ast.Call))
        return not self.tested or any(self.is_about(call.func) for call in calls)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Note what an import is good for, unless it is of what is there to be tested."""
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            single = copy(node)
            single.names = [alias]
            text = ast.unparse(single)
            if name not in self.tested and name != "*" and not missing_modules(text):
                self.imports.setdefault(name, text)

    def _add(self, test: ast.FunctionDef) -> None:
        body = []
        for statement in test.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement)
            elif not _is_idle(statement) and self._is_new(statement, test):
                body.append(statement)
        for part in _parts(body):
            if self.calls_it(ast.Module(part, [])) and any(map(is_check, part)):
                taken = {one.name for one in self.tests}
                self.tests.append(_function(_free_name(test.name, taken), part))

    def _is_new(self, statement: ast.stmt, test: ast.FunctionDef) -> bool:
        """Whether a check was not drafted before; one that needs what stands above it counts so."""
        if isinstance(statement, ast.Assert):
            statement.msg = None  # "Test case 1 failed"
        local = {name for one in test.body for name in _bound(one)}
        if not is_check(statement) or not local.isdisjoint(_mentioned(statement)):
            return True
        told = ast.dump(statement)
        is_new = told not in self._seen
        self._seen.add(told)
        return is_new


def is_check(statement: ast.AST) -> bool:
    """Whether a statement is there to fail, as `assert` is."""
    return isinstance(statement, ast.Assert | ast.With | ast.For)


def _statements(source: str) -> Iterator[ast.stmt]:
    """Yield the statements of a draft; of what is no Python, those before it in each test."""
    text = _ODD_ARGUMENTS.sub("():", source[:_MAX_CHARS])
    for part in _BEGINS.split(text):
        lines = part.split("\n")
        trees = (parse_python("\n".join(lines[:end])) for end in range(len(lines), 0, -1))
        tree = next((tree for tree in trees if tree is not None), None)
        yield from tree.body if tree is not None else ()


def _is_plain_test(node: ast.FunctionDef) -> bool:
    """Whether a function is a test that can be called as it is."""
    is_odd = any(isinstance(one, (*DEFINITIONS, ast.Return)) for one in node.body)
    return node.name.startswith(_TEST) and not (
        node.decorator_list or ast.unparse(node.args) or is_odd
    )


def _parts(body: Sequence[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """Yield a test, or several where it only lists many assertions."""
    is_list = all(isinstance(one, ast.Assert) for one in body)
    size = _MAX_CHECKS if is_list else len(body)
    for start in range(0, len(body), max(size, 1)):
        yield list(body[start : start + size])


def _function(name: str, body: list[ast.stmt]) -> ast.FunctionDef:
    (node,) = ast.parse(f"def {name}():\n    pass").body
    assert isinstance(node, ast.FunctionDef)
    node.body = body
    return node


def _free_name(name: str, taken: Collection[str]) -> str:
    name = name.strip("_")
    number = 2
    free = name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _is_idle(statement: ast.stmt) -> bool:
    """Whether a statement does nothing: a text, or an assertion that something is there."""
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.Assert(test=ast.Constant() | ast.Name()):
            return True
    return False


def _mentioned(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr


def _bound(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            yield one.id
