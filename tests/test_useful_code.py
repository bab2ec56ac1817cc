"""What the benchmark of useful code counts, with answers from a script."""

from __future__ import annotations

import time

import pytest
from benchmarks.checking import Checker, Job
from benchmarks.docstring_check import docstring_faults
from benchmarks.judge import near
from benchmarks.useful_outcomes import Draft, Outcome
from benchmarks.useful_report import draft_table, ratio_text, wilson
from benchmarks.useful_session import Witness
from support.scripted import ScriptedEngine

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


def outcome(name: str, contestant: str, *drafts: Draft, is_right: bool) -> Outcome:
    return Outcome(
        part="write",
        name=name,
        group="python",
        contestant=contestant,
        text="",
        took_s=1.0,
        drafts=drafts,
        runs=True,
        is_right=is_right,
    )


def draft(num_tokens: int, *, is_right: bool = False) -> Draft:
    return Draft(text="", num_tokens=num_tokens, ended_s=1.0, is_right=is_right)


def request() -> Request:
    return Request(prompt=(Message("user", "count"),), params=SamplingParams(max_tokens=20))


def test_a_draft_that_was_stopped_counts_as_far_as_it_was_written() -> None:
    witness = Witness(ScriptedEngine(["one two", "three"], holds=False))
    began_s = time.perf_counter()
    witness.submit(request()).result()
    witness.submit(request()).cancel()
    whole, stopped = witness.drafts_since(began_s)
    assert whole.num_tokens == len("one two")
    assert stopped.num_tokens <= len("three")
    assert witness.drafts_since(began_s) == ()


def test_tokens_are_those_of_all_drafts() -> None:
    outcomes = [
        outcome("a", "ours", draft(10), draft(20, is_right=True), is_right=True),
        outcome("a", "usual", draft(60), is_right=False),
    ]
    assert "tokens 0.50" in ratio_text(outcomes[:1], outcomes[1:])


def test_the_curve_counts_tasks_with_a_right_draft_among_the_first() -> None:
    outcomes = [
        outcome("a", "ours", draft(1, is_right=True), is_right=True),
        outcome("b", "ours", draft(1), draft(1, is_right=True), is_right=True),
        outcome("c", "ours", draft(1), draft(1), is_right=False),
    ]
    rows = draft_table(outcomes).split("\n")
    assert "| 1 | 3 | 1 (33%" in rows[2]
    assert "| 2 | 2 | 2 (67%" in rows[3]
    assert "| what landed |  | 2 (67%" in rows[4]


def test_an_interval_stays_between_nothing_and_all() -> None:
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-9)
    assert wilson(10, 10)[1] == pytest.approx(1)
    low, high = wilson(5, 10)
    assert (round(low, 2), round(high, 2)) == (0.24, 0.76)


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


@pytest.mark.parametrize(
    ("left", "right", "is_near"),
    [
        (1, 1.0, True),
        ([1, 2], (1.0, 2.0), True),
        ({"a": 1}, {"a": 1.0}, True),
        (float("nan"), None, True),
        ({1, 2}, {2, 1}, True),
        (1, 2, False),
        ([1, 2], [2, 1], False),
        ("1", 1, False),
        ([1], [1, 1], False),
    ],
)
def test_values_that_hold_the_same_are_near(left: object, right: object, *, is_near: bool) -> None:
    assert near(left, right) is is_near


def test_a_frame_is_near_the_series_it_holds() -> None:
    import pandas as pd  # type: ignore[import-untyped]

    series = pd.Series([2.5, 2.0], index=["a", "b"], name="price")
    frame = series.rename_axis("city").reset_index(name="mean")
    assert near(frame, series)
    assert near(series.to_frame(), series)
    assert near(series.to_dict(), series)
    assert not near(series[::-1], series)
    assert near(series[::-1], series, any_order=True)


def test_code_that_ends_the_process_or_asks_for_input_does_not_run() -> None:
    with Checker(limit_s=5) as checker:
        for source in ("import os; os._exit(3)", "input()", "import os; os.system('ls')"):
            assert not checker.check(Job([], source)).runs
        assert checker.check(Job(["a = 1"], "a + 1", "assert value() == 2")).is_right
