"""Which cell an error came from."""

from __future__ import annotations

import pytest
from support.watch import Watch

from jupyter_llm.notebook.failures.causes import Cause, causing_cells

FRAME = "import pandas as pd\ndf = pd.DataFrame({'price': [1, 2], 'kind': ['a', 'b']})"


def causes_of(watch: Watch, *sources: str) -> tuple[Cause, ...]:
    """Run cells, of which the last fails, and return the causes."""
    for source in sources:
        watch.run(source)
    assert watch.cells[-1].has_failed
    return causing_cells(watch.failure(), watch.cells)


def reason_of(causes: tuple[Cause, ...], number: int) -> str:
    return next(cause.reason for cause in causes if cause.cell.number == number)


@pytest.mark.parametrize(
    ("sources", "number"),
    [
        (["total = 1", "print(totl)"], 2),
        (["x = 1", "if x\n    y = 1"], 2),
        (["import math", "math.sqr(2)"], 2),
        (["x = 1", "import nosuchmodule"], 2),
        (["def f(a): return a", "f(1, 2)"], 2),
        (["rows = [1, 2]", "rows[2]"], 2),
        (["d = {'a': 1}", "d['b']"], 2),
        (["n = 1", "raise ValueError(n)"], 2),
        (["n = 1", "assert n == 2"], 2),
        (["n = 3", "n = 0\n1 / n"], 2),
    ],
)
def test_a_cell_that_is_wrong_by_itself_is_the_cause(
    watch: Watch, sources: list[str], number: int
) -> None:
    causes = causes_of(watch, *sources)
    assert causes[0].cell.number == number
    assert causes[0].reason.startswith(("raised the error", "last assigns"))


@pytest.mark.parametrize(
    ("sources", "number", "reason"),
    [
        (["n = 0", "m = 1", "1 / n"], 1, "last assigns `n`"),
        (["n = 0", "n = 0", "1 / n"], 2, "last assigns `n`"),
        (["n = 5", "n -= 5", "m = 1", "1 / n"], 2, "last assigns `n`"),
        (["a = {'k': 0}", "a['k'] = ''", "1 / a['k']"], 2, "changes `a` and mentions 'k'"),
        ([FRAME, "df = df.rename(columns={'price': 'cost'})", "n = 1", "df['price']"], 2, "last"),
        ([FRAME, "df['price'] = df['price'].astype(str)", "1 / df['price'].mean()"], 2, "changes"),
        (
            [FRAME, "df = df.drop(columns='price')", "top = df.head(1)", "top['price']"],
            2,
            "assigns `df`, which `top` was made from and mentions 'price'",
        ),
        (["xs = [3, 1]", "xs = xs.sort()", "xs.count(1)"], 2, "last assigns `xs`"),
        (["list = [1]", "x = 2", "list((1, 2))"], 1, "last assigns `list`"),
        (["x = 1\n1 / 0\ntotal = 2", "total + 1"], 1, "would have defined `total`, but failed"),
        (["total = 1", "del total", "total + 1"], 2, "deletes `total`"),
        (["%%time\nn = 0", "1 / n"], 1, "last assigns `n`"),
    ],
)
def test_the_cell_that_made_a_value_is_the_cause_where_a_line_merely_uses_it(
    watch: Watch, sources: list[str], number: int, reason: str
) -> None:
    causes = causes_of(watch, *sources)
    assert causes[0].cell.number == number
    assert causes[0].reason.startswith(reason)
    assert "raised the error" in reason_of(causes, len(sources))


def test_a_function_that_fails_in_its_body_is_the_cause(watch: Watch) -> None:
    causes = causes_of(watch, "def mean(v):\n    return sum(v) / 0", "data = [1]", "mean(data)")
    assert [cause.cell.number for cause in causes] == [1, 3, 2]
    assert reason_of(causes, 1) == "raised the error; defines `mean`"
    assert reason_of(causes, 3) == "was running"
    assert reason_of(causes, 2) == "last assigns `data`"


def test_a_function_that_uses_a_value_of_the_notebook_is_not(watch: Watch) -> None:
    causes = causes_of(watch, "def f():\n    return 1 / rate", "rate = 0", "f()")
    assert causes[0].cell.number == 2


def test_a_function_that_raises_on_purpose_blames_its_caller(watch: Watch) -> None:
    check = "def area(w, h):\n    if h is None:\n        raise ValueError('no h')\n    return w * h"
    causes = causes_of(watch, check, "h = None", "x = 1", "area(2, h)")
    assert causes[0].cell.number == 2
    assert reason_of(causes, 4) == "raised the error"
    assert reason_of(causes, 1) == "defines `area`"


def test_an_error_that_was_raised_from_another_is_led_back_to_that(watch: Watch) -> None:
    causes = causes_of(
        watch,
        "n = 0",
        "try:\n    1 / n\nexcept ZeroDivisionError as e:\n    raise ValueError('bad') from e",
    )
    assert causes[0].cell.number == 1


def test_only_what_ran_before_the_failing_run_counts(watch: Watch) -> None:
    watch.run("n = 0")
    watch.run("1 / n")
    watch.run("n = 5")
    causes = causing_cells(watch.failure(), watch.cells)
    assert [cause.cell.number for cause in causes] == [1, 2]
