"""What is seen of drafts: what they lose is said, and counts where it was not asked for."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.seal import needs_seal
from support.shell import run

from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.tasks.code_answer import CodeAnswer
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.tries import Tries
from jupyter_llm.tasks.write import write_code

pytestmark = [needs_seal, pytest.mark.slow]

DATA = tomllib.loads((Path(__file__).parents[1] / "data" / "losses.toml").read_text("utf-8"))
CASES: list[dict[str, Any]] = DATA["case"]


def judge_of(shell: InteractiveShell, cell: str) -> Judge:
    """A judge in a notebook in which a cell ran."""
    run(shell, cell)
    return Judge(names=shell.user_ns, tries=Tries(namespace=shell.user_ns, shell=shell))


def written(judge: Judge, asked: str, *drafts: str) -> CodeAnswer:
    """What is taken of drafts, the first of which is written first."""
    request = Request(prompt=(Message("user", asked),), params=SamplingParams(seed=7))
    judge = replace(judge, asked=asked)
    return write_code(ScriptedEngine(drafts), request, judge, num_drafts=len(drafts))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_a_draft_loses_is_said_and_counts(
    shell: InteractiveShell, case: dict[str, Any]
) -> None:
    judge = judge_of(shell, case["cell"])
    lossy, right = (written(judge, case["ask"], case[one]) for one in ("loses", "right"))
    assert lossy.note.startswith("runs; ")
    assert case["says"] in lossy.note
    assert right.note.startswith("runs")
    assert not right.num_lost
    best = written(judge, case["ask"], case["loses"], case["right"])
    assert (best.source == right.source) is case.get("counts", True)


@pytest.mark.parametrize("fair", DATA["fair"], ids=["pandas", "polars", "numpy"])
def test_nothing_counts_against_what_was_asked_for(
    shell: InteractiveShell, fair: dict[str, Any]
) -> None:
    judge = judge_of(shell, fair["cell"])
    for ask, draft, *losses in fair["drafts"]:
        answer = written(judge, ask, draft)
        assert answer.note.startswith("runs")
        assert answer.num_lost == len(losses)
        assert all(loss in answer.note for loss in losses)


def test_what_is_not_used_is_said_but_no_reason_for_more_drafts(shell: InteractiveShell) -> None:
    judge = judge_of(shell, "xs, weights = [3, 1, 2], [1, 1, 2]")
    ask = "sum of xs times weights"
    answer = written(judge, ask, "sum(xs)", "sum(x * w for x, w in zip(xs, weights))")
    assert (answer.source, answer.num_drafts) == ("sum(xs)", 1)
    assert answer.note == "runs; does not use `weights`"
    both = "xs = xs[1:]", "xs = [x * w for x, w in zip(xs[1:], weights)]"
    answer = written(judge, ask, *both)  # both lose a value that nobody asked to lose
    assert (answer.source, answer.num_drafts, answer.num_lost) == (both[1], 2, 1)
