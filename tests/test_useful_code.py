"""What the benchmark of useful code counts, with answers from a script."""

from __future__ import annotations

import time

import pytest
from benchmarks.checking import Checker, Job
from benchmarks.docstring_check import docstring_faults
from benchmarks.judge import near
from benchmarks.useful_commands import findings_of, names_bug, new_words, own_tests
from benchmarks.useful_outcomes import Draft, Outcome
from benchmarks.useful_report import draft_table, ratio_text, tables, wilson
from benchmarks.useful_session import Witness
from benchmarks.useful_tasks import BrokenCell, Function, Named, Task, half, in_part
from benchmarks.useful_writing import first_block, source_of, usual_prompt
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
FUNCTION = Function(
    name="mean",
    cells=(),
    source=BARE,
    good=BARE,
    bug="fails for an empty list",
    bug_line=2,
    bug_words=("empty",),
    calls=(),
)


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


def test_a_ratio_pairs_what_both_were_asked() -> None:
    ours = [outcome("a", "ours", draft(1), is_right=True)]
    usual = [outcome(name, "usual", draft(1), is_right=True) for name in "ab"]
    assert "over 1 tasks: right 1.00" in ratio_text(ours, usual)


def test_an_interval_stays_between_nothing_and_all() -> None:
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-9)
    assert wilson(10, 10)[1] == pytest.approx(1)
    low, high = wilson(5, 10)
    assert (round(low, 2), round(high, 2)) == (0.24, 0.76)


def test_every_part_that_was_asked_has_a_table() -> None:
    text = "\n".join(tables([outcome("a", "ours", draft(1), is_right=True)]))
    assert "### write" in text
    assert "### fix" not in text


def test_an_outcome_is_read_again_as_it_was_written() -> None:
    from dataclasses import asdict

    one = outcome("a", "ours", draft(3), is_right=True)
    assert Outcome.of(asdict(one)) == one


def test_the_halves_are_two_and_all_is_both() -> None:
    named: list[Named] = [FUNCTION, *[outcome(str(n), "ours", is_right=True) for n in range(20)]]
    looked, reported = in_part(named, "look"), in_part(named, "report")
    assert len(looked) + len(reported) == len(in_part(named, "all")) == 21
    assert {half(one.name) for one in looked} == {"look"}


def test_the_usual_prompt_has_every_cell_and_the_instruction() -> None:
    task = Task(
        name="t", cells=("a = 1", "b = 2"), ask="add", answer="", wrong="", check="", library="x"
    )
    prompt = usual_prompt(task)
    assert prompt.index("a = 1") < prompt.index("b = 2") < prompt.index("add")


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("Sure:\n```python\na = 1\n```\n```\nb\n```", "a = 1"),
        ("```\na = 1", "a = 1"),
        ("a = 1\n", "a = 1"),
    ],
)
def test_of_the_usual_answer_the_first_block_counts(answer: str, source: str) -> None:
    assert first_block(answer) == source


def test_a_draft_is_judged_as_the_code_that_would_land() -> None:
    text = "```python\na = 1\n```\nThat is all."
    assert source_of(Draft(text=text, num_tokens=1, ended_s=0)) == "a = 1"


def test_a_numpy_docstring_has_no_fault() -> None:
    assert docstring_faults(GOOD, "mean", before=BARE) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (BARE, "there is no docstring"),
        (GOOD.replace("digits : int", "places : int"), "parameters are values, places"),
        (GOOD.replace("Returns\n    -------", "Notes\n    -----"), "Returns does not fit"),
        (GOOD.replace("return round", "return abs"), "the code has changed"),
        (GOOD.replace("Compute the rounded mean.", "Parameters"), "there is no summary"),
    ],
)
def test_a_docstring_that_does_not_fit_is_told(source: str, fault: str) -> None:
    assert any(each.startswith(fault) for each in docstring_faults(source, "mean", before=BARE))


def test_tests_that_repeat_the_function_are_none() -> None:
    assert own_tests(f"{BARE}\n\ndef test_mean():\n    assert mean([1]) == 1", "mean") == ""


def test_tests_are_not_called_by_the_cell_that_defines_them() -> None:
    tests = own_tests("def test_mean():\n    assert mean([1]) == 1\n\ntest_mean()", "mean")
    assert tests.count("test_mean()") == 1


def test_a_finding_is_a_call_and_what_is_expected_of_it() -> None:
    verdict = "1 test passes.\n\nThis may be a bug:\n\n- `f(2)` gives `3`, a test expects `4`"
    assert findings_of(verdict) == [("f(2)", "4")]


def test_a_review_names_a_bug_by_its_line_or_a_word_for_it() -> None:
    assert names_bug("Line 2: divides by zero.", FUNCTION)
    assert names_bug("An Empty list is not handled.", FUNCTION)
    assert not names_bug("Line 20 is long.", FUNCTION)


def test_the_words_that_an_explanation_should_have_are_those_that_mend() -> None:
    case = BrokenCell(
        name="c", cells=(), broken="df['citi']", mended="df['city']", check="", needs_model=False
    )
    assert new_words(case) == {"city"}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        ([1, 2], (1.0, 2.0)),
        ({"a": 1}, {"a": 1.0}),
        (float("nan"), None),
        ({1, 2}, {2, 1}),
    ],
)
def test_values_that_hold_the_same_are_near(left: object, right: object) -> None:
    assert near(left, right)


@pytest.mark.parametrize(("left", "right"), [(1, 2), ([1, 2], [2, 1]), ("1", 1), ([1], [1, 1])])
def test_values_that_hold_something_else_are_not_near(left: object, right: object) -> None:
    assert not near(left, right)


def test_the_order_of_rows_may_mean_nothing() -> None:
    assert near([1, 2], [2, 1], any_order=True)


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
