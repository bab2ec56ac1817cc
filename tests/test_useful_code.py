"""What the benchmark of useful code counts, with answers from a script."""

from __future__ import annotations

import pytest
from benchmarks.checking import Checker, Job
from benchmarks.docstring_check import docstring_faults

from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request

GOOD = '''def mean(values, digits=2):
    """Compute the rounded mean.

    Parameters
    ----------
    values : list of float
        What to average.
    digits : int
        How many digits to keep.

    Returns
    -------
    float
        The mean.
    """
    return round(sum(values) / len(values), digits)'''
BARE = "def mean(values, digits=2):\n    return round(sum(values) / len(values), digits)"


def request() -> Request:
    return Request(prompt=(Message("user", "count"),), params=SamplingParams(max_tokens=20))


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (GOOD, None),
        (BARE, "there is no docstring"),
        (GOOD.replace("digits : int", "places : int"), "parameters are values, places"),
        (GOOD.replace("Returns\n    -------", "Notes\n    -----"), "Returns does not fit"),
        (GOOD.replace("return round", "return abs"), "the code has changed"),
        (GOOD.replace("Compute the rounded mean.", "Parameters"), "there is no summary"),
    ],
)
def test_a_docstring_that_does_not_fit_is_told(source: str, fault: str | None) -> None:
    told = docstring_faults(source, "mean", before=BARE)
    assert any(each.startswith(fault) for each in told) if fault else told == []


def test_code_that_ends_the_process_or_asks_for_input_does_not_run() -> None:
    with Checker(limit_s=5) as checker:
        for source in ("import os; os._exit(3)", "input()", "import os; os.system('ls')"):
            assert not checker.check(Job([], source)).runs
        assert checker.check(Job(["a = 1"], "a + 1", "assert value() == 2")).is_right
