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
from jupyter_llm.notebook.values import seen_secrets
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
    assert "ran in a sealed copy; " in lossy.note
    assert case["says"] in lossy.note
    assert right.note.startswith("ran in a sealed copy")
    assert not right.num_lost
    best = written(judge, case["ask"], case["loses"], case["right"])
    assert (best.source == right.source) is case.get("counts", True)


@pytest.mark.parametrize("fair", DATA["fair"], ids=["pandas", "polars", "numpy", "gaps"])
def test_a_right_draft_is_taken_although_it_loses_something(
    shell: InteractiveShell, fair: dict[str, Any]
) -> None:
    judge = judge_of(shell, fair["cell"])
    for ask, draft, *losses in fair["drafts"]:
        answer = written(judge, ask, draft, "1 + 1")
        assert answer.note.startswith("ran in a sealed copy")
        assert (answer.completion.text, answer.num_lost, answer.num_drafts) == (draft, 0, 1)
        assert all(loss in answer.note for loss in losses)


def test_what_is_not_used_is_said_but_no_reason_for_more_drafts(shell: InteractiveShell) -> None:
    judge = judge_of(shell, "xs, weights = [3, 1, 2], [1, 1, 2]")
    ask = "sum of xs times weights"
    answer = written(judge, ask, "sum(xs)", "sum(x * w for x, w in zip(xs, weights))")
    assert (answer.source, answer.num_drafts) == ("sum(xs)", 1)
    assert answer.note == "ran in a sealed copy; gives 6; does not use `weights`"
    assert (
        written(judge, ask, "[one for one in xs]").note
        == "ran in a sealed copy; gives a list of 3 values"
    )


@pytest.mark.parametrize(
    ("cell", "draft", "note"),
    [
        (
            "import pandas as pd\nclean = pd.DataFrame({c: range(5000) for c in 'abc'})",
            "clean = clean.groupby('a')[['b']].sum().head(24)",
            "replaces `clean`: 5000 rows × 3 → 24 × 1",  # noqa: RUF001
        ),
        ("xs = [7]", "xs = [7, 8]", "replaces `xs`: 1 value → 2"),
        ("xs = {1: 2, 3: 4}", "xs = [7]", "replaces `xs`: dict of 2 values → list of 1 value"),
        (
            "import numpy as np\na = np.ones((3, 4))",
            "a = a[1:]",
            "replaces `a`: 3 rows × 4 → 2 × 4",  # noqa: RUF001
        ),
        ("xs = [7, 8]", "xs.pop()\nxs.append(1)", "changes `xs`"),
        ("xs = [7, 8]", "del xs[0]", "changes `xs`: 2 values → 1"),
        ("xs = [7, 8]", "xs = sorted(xs, reverse=True)", "replaces `xs`"),
        ("def total(): ...", "def total():\n    return 3", "replaces `total`"),
        (
            "import matplotlib.pyplot as plt\nxs = [7, 8]",
            "xs = xs[:1]\nplt.plot([1, 2])\nplt.show()",
            "replaces `xs`: 2 values → 1; draws 1 line",
        ),
    ],
)
def test_the_line_begins_with_the_variables_that_a_draft_replaces_or_changes(
    shell: InteractiveShell, cell: str, draft: str, note: str
) -> None:
    judge = judge_of(shell, cell)
    assert written(judge, "do it", draft).note == f"ran in a sealed copy; {note}"


@pytest.mark.parametrize(
    ("draft", "line"),
    [
        ("y = x.shift(9)\ny", "`x`: 5 of 5 values are missing; ran in a sealed copy; gives"),
        ("[*x.shift(9)]", "its result: 5 of 5 values are missing; ran in a sealed copy; gives"),
        ("y = [None] * 5\ny", "ran in a sealed copy; `y`: 5 of 5 values are missing; gives"),
    ],
)
def test_values_that_are_all_missing_are_said_once_and_first_unless_the_code_writes_none(
    shell: InteractiveShell, draft: str, line: str
) -> None:
    judge = judge_of(shell, "import pandas as pd\nx = pd.Series(range(5), name='x')")
    answer = written(judge, "the change of x", draft)
    assert answer.note.startswith(line)
    assert answer.note.count("missing") == 1
    better = written(judge, "the change of x", draft, "x.diff()")
    assert (better.source == "x.diff()") is (not line.startswith("ran"))


@pytest.mark.parametrize(
    ("draft", "line"),
    [
        ("len(xs)", "gives 2"),
        ("max(xs) == 8", "gives True"),
        ("sum(xs) / 7", "gives 2.14286"),
        ("float('nan')", "gives a missing value"),
        ("pd.date_range('2024', periods=120)", "gives a DatetimeIndex of 120 values"),
    ],
)
def test_the_line_describes_the_result(shell: InteractiveShell, draft: str, line: str) -> None:
    judge = judge_of(shell, "import pandas as pd\nxs = [7, 8]")
    assert written(judge, "show it", draft).note == f"ran in a sealed copy; {line}"


def test_labels_that_only_the_data_know_are_not_told(shell: InteractiveShell) -> None:
    judge = judge_of(shell, "import pandas as pd\nrows = [{'hunter 77': None, 'Xk29dk': 2}]")
    answer = written(judge, "a table of rows", "df = pd.DataFrame(rows)")
    assert (
        answer.note
        == "ran in a sealed copy; 1 column: 1 of 1 value are missing; gives a table of 1 row"
    )


def test_only_what_is_new_in_a_picture_is_counted(shell: InteractiveShell) -> None:
    old = "fig, ax = plt.subplots()\nax.plot([1, 2])\nplt.close(fig)"
    judge = judge_of(shell, f"import matplotlib.pyplot as plt\n{old}")
    draft = "ax.plot([2, 1])\nfig"
    assert "draws 1 line" in written(judge, "add a falling line", draft).note


def test_a_secret_that_is_known_is_hidden_in_what_was_seen(shell: InteractiveShell) -> None:
    judge = judge_of(shell, "held = ['Xk29dkwl3Q']")
    seen_secrets.note("password", "Xk29dkwl3Q")
    answer = written(judge, "look it up", "{}[held[0]]")
    assert "KeyError" in answer.note
    assert "Xk29" not in answer.note
