"""`/test`: what passes lands as tests, and what fails is told as a finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.scripted_tries import UNTRIED, OpenTries, ScriptedTries
from support.seal import needs_seal
from support.watch import Watch

from jupyter_llm.engine.completion import Completion, PromptInterrupted, Usage
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.tasks.drafted_tests import DraftedTests
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.shown_cell import ShownCell
from jupyter_llm.tasks.tries import Tries
from jupyter_llm.tasks.written_tests import write_tests

HALF = """
def half(x):
    if x < 0:
        raise ValueError("x is below zero")
    return x // 2
""".strip()
ONE = "def test_a():\n    assert half(2) == 1"


def written(watch: Watch, *drafts: str, source: str = HALF, subject: str = "half") -> Proposal:
    """What is proposed where these drafts go on from `def test_half_with_`."""
    watch.run(source)
    task = watch.task("", drafts=drafts, tries=OpenTries(namespace=watch.shell.user_ns))
    return write_tests(task, subject)


def names_of(*drafts: str) -> list[str]:
    """The tests that are taken out of some drafts, by name."""
    drafted = DraftedTests(("half",))
    return [test.name for draft in drafts for test in drafted.add(draft)]


def test_tests_that_pass_become_a_new_cell_that_runs_them(watch: Watch) -> None:
    proposal = written(
        watch,
        "usual():\n    assert half(4) == 2",
        "zero():\n    assert half(0) == 0",
        "three():\n    assert half(3) == 1",
    )
    assert (proposal.cell, proposal.diff) == (None, "")
    assert proposal.source == (
        "def test_half_with_usual():\n    assert half(4) == 2\n\n\n"
        "def test_half_with_zero():\n    assert half(0) == 0\n\n\n"
        "def test_half_with_three():\n    assert half(3) == 1\n\n\n"
        "test_half_with_usual()\ntest_half_with_zero()\ntest_half_with_three()"
    )
    assert proposal.verdict == "3 tests pass."
    assert "The function `half` is already defined" in watch.prompts[-1]
    watch.run(proposal.source)
    assert not watch.cells[-1].outputs


def test_an_interrupt_keeps_the_tests_that_passed_by_then(watch: Watch) -> None:
    watch.run(HALF)
    tries = OpenTries(namespace=watch.shell.user_ns)
    task = watch.task("", drafts=["usual():\n    assert half(4) == 2"], tries=tries)

    def draft(prompt: str, **how: Any) -> list[Completion]:
        if watch.prompts:
            raise KeyboardInterrupt
        return task.draft(prompt, **how)

    with pytest.raises(PromptInterrupted) as caught:
        write_tests(replace(task, draft=draft), "half")
    best = caught.value.best
    assert isinstance(best, Proposal)
    assert best.source.endswith("assert half(4) == 2\n\n\ntest_half_with_usual()")
    assert best.verdict == "1 test passes."
    assert caught.value.completion == best.completion


def test_what_fails_is_a_finding_and_no_test(watch: Watch) -> None:
    proposal = written(
        watch,
        "usual():\n    assert half(4) == 2\n    assert half(5) == 2.5",
        "zero():\n    assert half(0) == 0",
        "three():\n    assert half(3) == 1",
    )
    assert "2.5" not in proposal.source
    assert proposal.verdict == (
        "3 tests pass.\n\nThis may be a bug, or the model expects something wrong:\n\n"
        "- `half(5)` gives `2`, a test expects `2.5`"
    )


def test_no_more_than_three_findings_are_told(watch: Watch) -> None:
    wrong = "".join(f"    assert half({n}) == 99\n" for n in range(9))
    proposal = written(watch, f"usual():\n    assert half(4) == 2\n{wrong}")
    assert proposal.verdict.count("a test expects `99`") == 3
    assert "so it is likely wrong itself" in proposal.verdict


def test_a_number_that_was_cut_off_is_no_expectation(watch: Watch) -> None:
    watch.run(HALF)
    text = "a():\n    assert half(8) == 4\n    assert half(48) == 2"
    told = Completion(text=text, finish_reason="length", usage=Usage(), model="script")
    tries = OpenTries(namespace=watch.shell.user_ns)
    task = replace(watch.task(tries=tries), draft=lambda *_args, **_how: [told])
    assert write_tests(task, "half").verdict == "1 test passes."


def test_what_the_drafts_do_not_agree_about_is_no_finding(watch: Watch) -> None:
    passes = "    assert half(4) == 2\n    assert half(6) == 3\n"
    drafts = (
        f"a():\n{passes}    assert half(5) == 2.5\n    assert half(7) == [3]\n",
        "b():\n    assert half(5) == 3\n    assert half(9) == 5",
    )
    verdict = written(watch, *drafts).verdict
    assert [line for line in verdict.split("\n") if line.startswith("-")] == [
        "- `half(9)` gives `4`, a test expects `5`"
    ]


def test_where_few_pass_tests_hold_what_comes_out_now(watch: Watch) -> None:
    proposal = written(watch, "usual():\n    assert half(9) == 4.5\n    assert half(7) == 3.5")
    assert proposal.source.startswith(
        "def test_half_as_it_is_1():\n    assert half(9) == 4  # as it is now\n\n\n"
        "def test_half_as_it_is_2():\n    assert half(7) == 3  # as it is now"
    )
    assert proposal.verdict.startswith("2 tests pass; 2 of them hold what comes out now.\n\n")


@pytest.mark.parametrize(
    "wrong",
    [
        "assert hlaf(4) == 2",
        "assert half(4, 5) == 2",
        "assert half('a') == 2",
        "assert half(4).there == 2",
        "x = half(4)\n    y = nothing\n    assert half(x) == y",
        "assert half(2) ==",
    ],
)
def test_what_raises_another_error_is_dropped(watch: Watch, wrong: str) -> None:
    proposal = written(
        watch, f"usual():\n    assert half(8) == 4\n\n\ndef test_other():\n    {wrong}"
    )
    assert (
        proposal.source
        == "def test_half_with_usual():\n    assert half(8) == 4\n\n\ntest_half_with_usual()"
    )
    assert proposal.verdict == "1 test passes."


def test_an_error_that_is_raised_on_purpose_is_expected(watch: Watch) -> None:
    proposal = written(watch, "below():\n    assert half(-1) == 0")
    assert proposal.source == (
        "import pytest\n\n\ndef test_half_with_below():\n    with pytest.raises(ValueError):\n"
        "        half(-1)\n\n\ntest_half_with_below()"
    )


def test_a_rounded_number_is_right(watch: Watch) -> None:
    source = "def third(x): return x / 3"
    proposal = written(watch, "a():\n    assert third(1) == 0.33", source=source, subject="third")
    assert "assert round(third(1), 2) == 0.33" in proposal.source
    assert proposal.verdict == "1 test passes."


def test_a_list_is_made_an_array_where_one_is_needed(watch: Watch) -> None:
    source = "import numpy as np\ndef low(x): return x.min()"
    proposal = written(watch, "a():\n    assert low([2, 1]) == 1", source=source, subject="low")
    assert "assert low(np.array([2, 1])) == 1" in proposal.source


def test_arrays_are_compared_as_lists(watch: Watch) -> None:
    source = "import numpy as np\ndef twice(x): return 2 * np.array(x)"
    proposal = written(
        watch, "a():\n    assert twice([2, 1]) == [4, 2]", source=source, subject="twice"
    )
    assert "assert twice([2, 1]).tolist() == [4, 2]" in proposal.source


def test_values_that_have_names_are_told_in_full(watch: Watch) -> None:
    proposal = written(watch, "a():\n    x = 5\n    found = half(x)\n    assert found == 3")
    assert "- `half(5)` gives `2`, a test expects `3`" in proposal.verdict


def test_what_the_notebook_has_is_given_where_few_pass(watch: Watch) -> None:
    watch.run("text = 'to be or not to be'")
    source = "from collections import Counter\ndef count(text): return Counter(text.split())"
    proposal = written(watch, "a():\n    assert count(1) == 1", source=source, subject="count")
    value = "{'to': 2, 'be': 2, 'or': 1, 'not': 1}"
    assert f"    assert count(text) == {value}  # as it is now" in proposal.source
    assert proposal.verdict == "1 test passes; 1 of them holds what comes out now."


def test_what_comes_out_by_chance_is_not_held(watch: Watch) -> None:
    source = "import random\ndef draw(n): return random.random() * n"
    with pytest.raises(MagicUsageError, match="wrote no test that holds"):
        written(watch, "a():\n    assert draw(2) == 1.5", source=source, subject="draw")


def test_what_is_drafted_does_not_run_here(watch: Watch) -> None:
    watch.run(HALF)
    tries = ScriptedTries(outcomes={}, tried=[])
    task = watch.task("a():\n    half.touched = 1\n    assert half(4) == 2", tries=tries)
    write_tests(task, "half")
    assert not hasattr(watch.shell.user_ns["half"], "touched")
    assert any("half.touched" in source for source in tries.tried)


def test_what_cannot_be_tried_says_so_and_lacks_no_name(watch: Watch) -> None:
    watch.run(HALF)
    draft = "a():\n    assert half(4) == 2\n\n\ndef test_b():\n    assert half(five) == 2"
    task = watch.task(drafts=[draft])
    proposal = write_tests(task, "half")
    assert (
        proposal.source
        == "def test_half_with_a():\n    assert half(4) == 2\n\n\ntest_half_with_a()"
    )
    assert proposal.verdict == "Not tried: that is switched off."
    assert UNTRIED.text.startswith("not tried: ")


@needs_seal
def test_what_the_seal_refuses_is_no_finding(watch: Watch) -> None:
    save = "    try: open(path, 'w')\n    except OSError: return False\n    return True"
    watch.run(f"def save(path):\n{save}")
    tries = Tries(namespace=watch.shell.user_ns, shell=watch.shell)
    task = watch.task(drafts=["a():\n    assert save('a.txt') == True"], tries=tries)
    proposal = write_tests(task, "save")
    assert "assert save('a.txt') == True" in proposal.source
    assert proposal.verdict == "Not tried: it would write a file (a.txt)."


def test_a_cell_that_has_not_run_is_defined_in_the_copy(watch: Watch) -> None:
    watch.run(HALF)
    watch.shell.user_ns.pop("half")
    tries = OpenTries(namespace=watch.shell.user_ns)
    task = watch.task(drafts=["a():\n    assert half(4) == 2"], tries=tries)
    assert write_tests(task, "1").verdict == "1 test passes."
    assert "half" not in watch.shell.user_ns


def test_a_cell_that_was_edited_since_it_ran_is_tested_as_it_stands(watch: Watch) -> None:
    watch.run("def half(x): return x * 2", cell_id="one")
    tries = OpenTries(namespace=watch.shell.user_ns)
    task = watch.task(drafts=["a():\n    assert half(4) == 2"], tries=tries)
    shown = ShownCell(cell_id="one", source=HALF)
    assert write_tests(task, shown.subject(task.cells)).verdict == "1 test passes."


def test_methods_are_tested_by_their_class(watch: Watch) -> None:
    source = "class Shop:\n    def __init__(self): self.n = 1\n    def count(self): return self.n"
    draft = "a():\n    shop = Shop()\n    assert shop.count() == 1"
    for subject in ("Shop", "Shop.count"):
        proposal = written(watch, draft, source=source, subject=subject)
        assert proposal.verdict == "1 test passes."


def test_the_variables_there_are_show_what_is_given(watch: Watch) -> None:
    watch.run("prices = [1, 2, 3]")
    written(watch, "a():\n    assert half(4) == 2")
    assert "prices: list" in watch.prompts[0]


def test_without_a_test_there_is_no_code(watch: Watch) -> None:
    with pytest.raises(MagicUsageError, match="wrote no code"):
        written(watch, "a():\n    pass")


@pytest.mark.parametrize(
    ("draft", "names"),
    [
        ("def half(x):\n    return x\n\ndef test_a():\n    assert half(2) == 1", ["test_a"]),
        ("def test_a(tmp_path):\n    assert half(2) == 1", []),
        ("def test_a(10):\n    assert half(2) == 1", ["test_a"]),
        ("def test_a():\n    assert half\n    assert half(2)", ["test_a"]),
        ("def test_a():\n    assert half", []),
        (f"def test_b(:\n    no\n{ONE}", ["test_a"]),
        ("def test_a():\n    assert True", []),
        ("def test_a():\n    half(2)", []),
        (f"{ONE}\n\ntest_a()", ["test_a"]),
        (f"{ONE}\ndef test_b():\n    assert hal", ["test_a"]),
        (
            "def test_a():\n    assert half(2) == 1\ndef test_b():\n    assert half(2) == 1",
            ["test_a"],
        ),
        (
            "def test_a():\n" + "".join(f"    assert half({n}) == 1\n" for n in range(5)),
            ["test_a", "test_a_2"],
        ),
    ],
)
def test_the_tests_of_a_draft_can_be_called_and_check_what_is_tested(
    draft: str, names: list[str]
) -> None:
    assert names_of(draft) == names


def test_tests_of_the_same_name_are_told_apart() -> None:
    first, second = (f"def test_a():\n    assert half({n}) == 1" for n in (1, 2))
    assert names_of(first, second, first) == ["test_a", "test_a_2"]


def test_imports_stay_where_they_are_needed_and_not_of_what_is_tested() -> None:
    drafted = DraftedTests(("half",))
    source = "import math, os, nowhere_x\nfrom mine import half\ndef test_a():\n    "
    tests = drafted.add(source + "assert half(math.pi) == 1")
    assert drafted.imports_of(tests) == ["import math"]
    assert drafted.imports_of(tests, ["math"]) == []
