"""`/test`: what passes lands as tests, and what fails is told as a finding."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from support.scripted import ScriptedEngine
from support.scripted_tries import OpenTries
from support.seal import needs_seal
from support.watch import Watch

from jupyter_llm.ask.log import AnswerLog
from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.engine.completion import Completion, PromptInterrupted, Usage
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.sealed.seen import Seen
from jupyter_llm.tasks import tests
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import ShownCell, Subject
from jupyter_llm.tasks.task import Task
from jupyter_llm.tasks.tests import write_tests
from jupyter_llm.tasks.tries import Tries

HALF = """
def half(x):
    if x < 0:
        raise ValueError("x is below zero")
    return x // 2
""".strip()


def written(
    watch: Watch, *drafts: str, source: str = HALF, subject: str | Subject = "half"
) -> Proposal:
    """What is proposed where these drafts go on from `def test_half_with_`."""
    watch.run(source, cell_id="one")
    task = watch.task("", drafts=drafts, tries=OpenTries(namespace=watch.shell.user_ns))
    return write_tests(task, subject)


def test_tests_that_pass_become_a_new_cell_that_runs_them(watch: Watch) -> None:
    proposal = written(
        watch,
        "usual():\n    assert half(4) == 2",
        "zero():\n    assert half(0) == 0",
        "zero():\n    assert half(3) == 1",
    )
    assert (proposal.cell, proposal.diff) == (None, "")
    assert proposal.source == (
        "def test_half_with_usual():\n    assert half(4) == 2\n\n\n"
        "def test_half_with_zero():\n    assert half(0) == 0\n\n\n"
        "def test_half_with_zero_3():\n    assert half(3) == 1\n\n\n"
        "test_half_with_usual()\ntest_half_with_zero()\ntest_half_with_zero_3()"
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
        write_tests(replace(task, on_draft=draft), "half")
    best = caught.value.best
    assert isinstance(best, Proposal)
    assert best.source.endswith("assert half(4) == 2\n\n\ntest_half_with_usual()")
    assert best.verdict == "1 test passes."
    assert caught.value.completion == best.completion


def test_of_what_fails_is_told_what_comes_instead(watch: Watch) -> None:
    wrong = "".join(f"    assert half({n}) == 99\n" for n in range(9, 19, 2))
    draft = f"a():\n    x = 5\n    found = half(x)\n    assert found == 7\n{wrong}"
    proposal = written(watch, draft, "b():\n    assert half(4) == 2")
    assert proposal.source.startswith(
        "def test_half_with_a():\n    x = 5\n    found = half(x)\n"
        "    assert found == 2, 'as it is now'\n"
    )
    assert proposal.verdict == (
        "2 tests pass.\n\nThis may be a bug, or the model expects something wrong:\n\n"
        "- `half(5)` gives `2`, a test expects `7`\n"
        "- `half(9)` gives `4`, a test expects `99`\n"
        "- `half(11)` gives `5`, a test expects `99`"
    )


def test_a_number_that_was_cut_off_is_no_expectation(watch: Watch) -> None:
    watch.run(HALF)
    text = "a():\n    assert half(8) == 4\n    assert half(48) == 2"
    told = Completion(text=text, finish_reason="length", usage=Usage(), model="script")
    tries = OpenTries(namespace=watch.shell.user_ns)
    task = replace(watch.task(tries=tries), on_draft=lambda *_args, **_how: [told])
    assert write_tests(task, "half").verdict == "1 test passes."


GOOD = "usual():\n    assert half(8) == 4\n\n\n"


@pytest.mark.parametrize(
    "other",
    [
        "def test_b():\n    assert hlaf(4) == 2",
        "def test_b():\n    assert half('a') == 2",
        "def test_b():\n    x = half(4)\n    y = nothing\n    assert half(x) == y",
        "def test_b():\n    assert half(2) ==",
        "def test_b():\n    assert half(-1) == 0",
        "def test_b(tmp_path):\n    assert half(2) == 1",
        "def test_b():\n    assert half",
        "def test_b():\n    half(2)",
        "def test_b(:\n    no",
        "def test_b():\n    assert half(8) == 4",
        "def half(x):\n    return x",
        "test_half_with_usual()",
    ],
)
def test_what_is_no_test_or_does_not_hold_is_dropped(watch: Watch, other: str) -> None:
    proposal = written(watch, GOOD + other)
    assert (
        proposal.source
        == "def test_half_with_usual():\n    assert half(8) == 4\n\n\ntest_half_with_usual()"
    )
    assert proposal.verdict == "1 test passes."


def test_imports_stay_where_they_are_needed_and_not_of_what_is_tested(watch: Watch) -> None:
    names = "import math\n    import os\n    from mine import half\n    import nowhere_x\n"
    source = written(watch, f"a():\n    {names}    assert half(math.ceil(7.5)) == 4").source
    assert source.startswith("import math\n\n\ndef test_")


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        ("assert half(2) == 1.5", "no test that holds: none of 1 test in 6 drafts passes"),
        ("pass", "no code"),
    ],
)
def test_it_says_so_where_there_is_no_test_that_holds(watch: Watch, draft: str, why: str) -> None:
    by_chance = "import random\ndef half(n): return random.random() * n"
    with pytest.raises(MagicUsageError, match=f"The model wrote {why}"):
        written(watch, f"a():\n    {draft}", source=by_chance)


def test_it_says_that_it_asks_again_and_gives_up_in_time(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.run(HALF)
    shown: list[str] = []
    task = watch.task("pass", tries=OpenTries(namespace=watch.shell.user_ns))
    began: list[float] = []  # when the model was there

    def draft(prompt: str, *, end_s: float, **how: Any) -> list[Completion]:
        assert end_s - tests.MAX_S >= began[-1]
        return task.draft(prompt, **how)

    def load() -> ScriptedEngine:
        began.append(time.monotonic())
        return ScriptedEngine()

    ask: dict[str, Any] = {"on_draft": draft, "engine": load}
    waiting = replace(task, show_progress=lambda step: shown.append(step.text), **ask)
    for most_s, num_rounds in ((60.0, 2), (-1.0, 1)):
        monkeypatch.setattr(tests, "MAX_S", most_s)
        watch.prompts.clear()
        with pytest.raises(MagicUsageError):
            write_tests(waiting, "half")
        assert len(watch.prompts) == num_rounds
    assert shown == ["Asking again: 0 tests so far"]


def test_a_model_that_is_slow_keeps_nobody_waiting_for_more_drafts() -> None:
    engine = ScriptedEngine(holds=True)
    answers = AnswerLog(PromptStore())
    task = Task(engine=lambda: engine, answers=answers)
    assert task.draft("x", begin="", count=2, first=4, end_s=time.monotonic()) == []


ELSE = "def test_half_with_a():\n    assert half(4) == 2"
UNREAD = "Not tried: what came out could not be read."


@pytest.mark.parametrize("looked", [7, "ab", [["x"]], [["x", 1]], {"a": []}])
def test_what_a_draft_has_forged_is_no_test(watch: Watch, looked: object) -> None:
    assert forged(watch, looked).verdict == UNREAD


@pytest.mark.parametrize(
    "source", ["(", f"{ELSE}\nx = 1", "@f\n" + ELSE, ELSE.replace("_a", "_b"), "import os", "x = 1"]
)
def test_only_a_drafted_test_is_kept_of_what_may_be_forged(watch: Watch, source: str) -> None:
    with pytest.raises(MagicUsageError, match="no test that holds"):
        forged(watch, [[source, []]])
    proposal = forged(watch, [[ELSE, ["x" * 1000]], [ELSE, []]])
    assert proposal.source.count("def ") == 1
    assert len(proposal.verdict) < 500


def forged(watch: Watch, looked: object) -> Proposal:
    """What is proposed where a draft makes up what comes out of its copy."""

    class Forged(Tries):
        def seen(self, *_sources: str, **_how: Any) -> Seen:
            return Seen(outcome="runs", text="ran in a sealed copy", looked=looked)

    watch.run(HALF)
    task = watch.task(drafts=["a():\n    assert half(4) == 2"], tries=Forged())
    return write_tests(task, "half")


def test_what_cannot_be_tried_says_so_and_lacks_no_name(watch: Watch) -> None:
    watch.run(HALF)
    draft = "a():\n    assert half(4) == 2\n\n\ndef test_b():\n    assert half(five) == 2"
    task = watch.task(drafts=[draft])
    proposal = write_tests(task, "half")
    assert "test_b" not in proposal.source
    assert proposal.verdict == "Not tried: that is switched off."
    with pytest.raises(MagicUsageError, match=r"^Not tried: that is switched off\. Try again"):
        write_tests(watch.task(drafts=["a():\n    assert half(five) == 2"]), "half")


@needs_seal
def test_what_the_seal_refuses_is_no_finding(watch: Watch) -> None:
    save = "    try: open(path, 'w')\n    except OSError: return False\n    return True"
    watch.run(f"def save(path):\n{save}")
    tries = Tries(namespace=watch.shell.user_ns, shell=watch.shell)
    task = watch.task(drafts=["a():\n    assert save('a.txt') == True"], tries=tries)
    proposal = write_tests(task, "save")
    assert "assert save('a.txt') == True" in proposal.source
    assert proposal.verdict == "Not tried: it would write a file (a.txt)."


def test_a_cell_that_was_edited_since_it_ran_is_tested_as_it_stands(watch: Watch) -> None:
    shown = ShownCell(cell_id="one", source=HALF).subject(watch.cells)
    old = "def half(x): return x * 2"
    proposal = written(watch, "a():\n    assert half(4) == 2", source=old, subject=shown)
    assert proposal.verdict == "1 test passes."


def test_methods_are_tested_by_their_class(watch: Watch) -> None:
    source = "class Shop:\n    def __init__(self): self.n = 1\n    def count(self): return self.n"
    draft = "a():\n    shop = Shop()\n    assert shop.count() == 1"
    for subject in ("Shop", "Shop.count"):
        proposal = written(watch, draft, source=source, subject=subject)
        assert proposal.verdict == "1 test passes."
