"""The tasks of the benchmark: an author's answer passes each check, and a wrong one does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.checking import Checker, Job, Verdict
from benchmarks.useful_tasks import LIBRARIES, Named, broken_cells, functions, tasks

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker() as checker:
        yield checker


def told(name: str, verdict: Verdict) -> str:
    return f"{name}: {verdict.error or 'accepted'}"


def of(kind: str) -> Iterator[tuple[Named, Job]]:
    """What is checked, a row each."""
    for task in tasks():
        if "answer" in kind:
            code = task.answer if kind == "an author's answer" else task.wrong
            yield task, Job(task.cells, code, task.check)
    for case in broken_cells():
        if "cell" in kind:
            yield (
                case,
                Job(case.cells, case.mended if "mended" in kind else case.broken, case.check),
            )


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "is_right"),
    [
        ("an author's answer", True),
        ("a wrong answer", False),
        ("a mended cell", True),
        ("a broken cell", False),
    ],
)
def test_the_check_of_a_task_accepts_what_is_right_and_nothing_else(
    checker: Checker, kind: str, *, is_right: bool
) -> None:
    verdicts = {one.name: checker.check(job) for one, job in of(kind)}
    assert [told(name, each) for name, each in verdicts.items() if each.is_right != is_right] == []


@pytest.mark.slow
@pytest.mark.soak
def test_functions_can_be_called_as_they_are_and_as_they_should_be(checker: Checker) -> None:
    verdicts = {
        function.name: checker.check(Job((*function.cells, source), call))
        for function in functions()
        for source in (function.source, function.good)
        for call in function.calls[:1]
    }
    assert [told(name, each) for name, each in verdicts.items() if "a cell" in each.error] == []


def test_a_planted_bug_is_a_change(checker: Checker) -> None:
    for function in functions():
        assert function.has_bug == (function.source != function.good), function.name
        assert function.has_bug == bool(function.bug_words), function.name
        num_lines = function.source.count("\n") + 1
        assert not function.has_bug or 1 <= function.bug_line <= num_lines, function.name


def test_there_are_150_tasks_60_broken_cells_and_20_functions() -> None:
    assert len(tasks()) >= 150
    assert len(broken_cells()) >= 60
    assert len(functions()) >= 20
    assert {task.library for task in tasks()} == set(LIBRARIES)
