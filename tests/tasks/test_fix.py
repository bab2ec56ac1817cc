"""`/fix`, `/explain`, `/doc` and `/test`, with a model that answers from a script."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from benchmarks.useful_tasks import BrokenCell, broken_cells
from support.seal import needs_seal
from support.watch import Watch

from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.errors import JupyterLLMError, MagicUsageError, ModelNotFoundError
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.tasks.code_answer import CodeAnswer
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.fix import fix, fix_shown
from jupyter_llm.tasks.losses import lost_statement
from jupyter_llm.tasks.numpy_doc import document
from jupyter_llm.tasks.proposal import Former, Proposal
from jupyter_llm.tasks.review import review
from jupyter_llm.tasks.target import ShownCell
from jupyter_llm.tasks.task import Task
from jupyter_llm.tasks.tests import write_tests
from jupyter_llm.tasks.tries import Tries

SHAPES = "import numpy as np\na = np.ones((2, 3))\na @ a"


def test_fix_shows_a_diff_of_the_causing_cell(watch: Watch) -> None:
    for source in ("n = 0", "m = 1", "1 / n"):
        watch.run(source)
    proposal = fix(watch.task("n = 2", unknown=("k",)))
    assert proposal.cell == watch.cells[0]
    assert proposal.diff == "--- cell [1]\n+++ cell [1], changed\n@@ -1 +1 @@\n-n = 0\n+n = 2\n"
    assert proposal.to_markdown() == (
        "A change to cell [1], which last assigns `n`:\n\n"
        f"```diff\n{proposal.diff}```\n\nNot tried: that is switched off. Defined nowhere: `k`."
    )
    assert str(proposal.completion) == "n = 2"


def test_fix_of_another_cell_when_one_is_named(watch: Watch) -> None:
    watch.run("n = 0")
    watch.run("1 / n")
    proposal = fix(watch.task("1 / (n or 1)"), "2")
    assert proposal.cell == watch.cells[1]
    assert "Correct cell [2]" in watch.prompts[-1]
    assert "n = 0" in watch.prompts[-1]
    with pytest.raises(MagicUsageError, match=r"no cell \[9\] here\. The nearest is \[2\]"):
        fix(watch.task(), "9")


@pytest.mark.parametrize("task", [fix, write_tests])
def test_an_answer_without_code_changes_nothing(
    watch: Watch, task: Callable[[Task], Proposal]
) -> None:
    watch.run("def f(): pass\n1 / 0")
    with pytest.raises(MagicUsageError, match="wrote no code"):
        task(watch.task(" \n"))


def test_fix_without_an_error_says_so(watch: Watch) -> None:
    watch.run("x = 1")
    with pytest.raises(MagicUsageError, match="nothing to fix"):
        fix(replace(watch.task(), error=None))


def test_an_error_that_is_over_is_not_fixed_unless_a_cell_is_named(watch: Watch) -> None:
    watch.run("1 / 0", cell_id="a")
    watch.run("1 / 1", cell_id="a")
    with pytest.raises(MagicUsageError, match="ZeroDivisionError, is over"):
        fix(watch.task("pass"))
    assert fix(watch.task("pass"), "1").cell == watch.cells[0]


def test_fix_changes_the_cell_as_it_is_now(watch: Watch) -> None:
    watch.run("n = 0", cell_id="a")
    watch.run("1 / n", cell_id="b")
    watch.run("n = 0  # later", cell_id="a")
    proposal = fix(watch.task("n = 1"))
    assert proposal.cell == watch.cells[2]
    assert "-n = 0  # later" in proposal.diff
    assert watch.prompts[-1].count("n = 0") == 1


def test_what_has_no_source_cannot_be_reviewed(watch: Watch) -> None:
    watch.run("rows = []")
    for task in (review, write_tests, document):
        with pytest.raises(MagicUsageError, match="no source of `rows`"):
            task(watch.task(), "rows")


def test_a_proposal_is_no_way_out_of_its_fence(watch: Watch) -> None:
    watch.run("1 / 0")
    proposal = fix(watch.task("1 / 1\nx = '''\n```\n<img src=x onerror=alert(1)>\n'''"))
    shown = untrusted_markdown(str(proposal))
    assert "````diff" in shown
    assert shown.index("<img") < shown.rindex("````")


def tried(watch: Watch, answer: str = "") -> Task:
    """A task whose changes are tried in a sealed copy of this process."""
    return replace(watch.task(answer), tries=Tries(namespace=watch.shell.user_ns))


@needs_seal
def test_a_rule_mends_what_needs_no_model(watch: Watch) -> None:
    watch.run("prices = {'tea': 2.5}")
    watch.run("total = prices['Tea'] * 2")
    proposal = fix(tried(watch))
    assert watch.prompts == []
    assert (proposal.source, proposal.completion) == ("total = prices['tea'] * 2", None)
    assert proposal.mend == "`Tea` is no key; near it is `tea`"
    assert proposal.verdict == "With this change the cell ran in a sealed copy."
    assert "total" not in watch.shell.user_ns


@needs_seal
@pytest.mark.parametrize(
    ("failed", "mended"),
    [
        ("n = cuont\nprices['Tea'] * n", "n = count\nprices['tea'] * n"),
        ("prices['tae'].bit_lenght()", "prices['tea'].bit_length()"),
    ],
)
def test_one_error_behind_the_other_is_mended_too(watch: Watch, failed: str, mended: str) -> None:
    watch.run("count, prices = 2, {'tea': 2}")
    watch.run(failed)
    proposal = fix(tried(watch))
    assert proposal.source == mended
    assert proposal.mend.count("near it is") == 2


@needs_seal
def test_an_earlier_cell_is_tried_with_the_one_that_failed(watch: Watch) -> None:
    watch.run("def area(width):\n    return width * depths\ndepth = 3")
    watch.run("area(2)")
    proposal = fix(tried(watch))
    assert proposal.cell == watch.cells[0]
    assert "width * depth" in proposal.source
    assert proposal.verdict == "With this change the cell ran in a sealed copy."


# The cell that is the cause, the one that fails, what a model writes for the cause, the changes.
TWO_CELLS = [
    (
        "def area(width):\n    return width * depths\ndepth = 3",
        "x = area(2)\nprint(depths)",
        "",
        ["def area(width):\n    return width * depth\ndepth = 3", "x = area(2)\nprint(depth)"],
    ),
    ("n = 0", "k = 1 / n\nk.is_intger()", "n = 1", ["n = 1", "k = 1 / n\nk.is_integer()"]),
]


@needs_seal
@pytest.mark.parametrize(("cause", "failed", "answer", "changed"), TWO_CELLS)
def test_the_cause_and_the_cell_that_failed_are_mended_together(
    watch: Watch, cause: str, failed: str, answer: str, changed: list[str]
) -> None:
    watch.run(cause)
    watch.run(failed)
    proposal = fix(tried(watch, answer))
    (other,) = proposal.others
    assert [(one.cell, one.source) for one in (proposal, other)] == list(
        zip(watch.cells, changed, strict=True)
    )
    text = proposal.to_markdown()
    assert "A change to cell [2], which would fail once cell [1] is changed: `" in text
    assert text.count("```diff") == 2
    assert text.endswith("With both changes the cell ran in a sealed copy.")


@needs_seal
@pytest.mark.parametrize(
    ("cells", "named", "answer", "ran"),
    [
        (("n = 0", "1 / n"), "", "n = 1", "ab"),
        (("n = 0", "m = n * 2", "k = m", "1 / k"), "1", "n = 1", "abcd"),
        (("xs = [1]", "xs = xs.append(2)\nxs + []"), "2", "xs.append(2)\nxs + []", "ab"),
        (("n = 0", "1 / n"), "2", "1 / (n or 1)", ""),
    ],
)
def test_the_cells_to_run_with_a_change_are_told_in_order(
    watch: Watch, cells: tuple[str, ...], named: str, answer: str, ran: str
) -> None:
    for name, source in zip("abcd", cells, strict=False):
        watch.run(source, name)
    assert fix(tried(watch, answer), named).runs == tuple(ran)


@needs_seal
def test_what_only_gets_further_says_where_it_fails_then(watch: Watch) -> None:
    watch.run("count = 2\nn = 0")
    watch.run("m = cuont\n1 / n")
    proposal = fix(tried(watch), "2")
    assert proposal.source == "m = count\n1 / n"
    said = "With this change the error is gone; then line 2 raises ZeroDivisionError: "
    assert proposal.verdict == f"{said}division by zero."


def test_what_cannot_be_tried_is_proposed_if_it_is_sure(watch: Watch) -> None:
    watch.run("count = 2")
    watch.run("cuont + 1")
    proposal = fix(watch.task())
    assert (proposal.source, proposal.completion) == ("count + 1", None)
    assert proposal.verdict == "Not tried: that is switched off."


def test_a_model_is_told_what_rules_found(watch: Watch) -> None:
    watch.run(SHAPES)
    fix(watch.task("a * a"))
    assert watch.prompts[-1].endswith("It may be that the shapes fit when one is transposed.")


def test_the_mark_of_a_generated_cell_is_sent_nowhere(watch: Watch) -> None:
    watch.run("def f(v): return v.nothing")
    watch.run(mark("y = f([1])", "a model", "0123456789ab"))
    with suppress(JupyterLLMError):
        fix(watch.task("y = 1"))
    assert "y = f([1])" in watch.prompts[-1]
    assert "Generated by" not in watch.prompts[-1]


CLASS = "class A:\n  def go(s, n): return n[0]\na = A()"
KEY = "{}[api_key]"


@needs_seal
def test_a_mend_that_still_raises_the_same_is_none(watch: Watch) -> None:
    for source in ("n = 0", "1 / n"):
        watch.run(source)
    proposal = fix(tried(watch, "1 / n + 0"), "2")
    assert proposal.diff == ""
    assert proposal.verdict == (
        "What the model wrote still raises ZeroDivisionError: division by zero."
    )


@needs_seal
@pytest.mark.parametrize(
    ("before", "failed", "answer", "lost"),
    [
        ("def f(v): return v[9]", "y = f([1])", "y = [1][0]", "y = f([1])"),
        ("def f(v): return v[9]", "y = f([1])", "f([1]*10)", "y = f([1])"),
        ("def f(v): return v[9]", "x, y = f([1]), 1", "x = f([1]*10)", "x, y = f([1]), 1"),
        ("d = {}", "d['a'] = [][0]", "e = {'a': 1}", "d['a'] = [][0]"),
        (CLASS, "a.n = [][0]", "n = 1", "a.n = [][0]"),
        ("n = [1]", "n[0] += [][0]", "m = 2", "n[0] += [][0]"),
        (CLASS, "a.go([])", "1", "a.go([])"),
        ("class A:\n  def __init__(s): [][0]", "print(A())", "print()", "print(A())"),
        ("n = -1", "if n < 0:\n  raise ValueError(n)", "n = 1", "if n < 0:"),
        ("api_key = 'k'", KEY, "api_key", KEY),
        ("api_key = 'k'", KEY, "pass", KEY),
        ("api_key = 'k'", KEY, f"# {KEY}\nprint(api_key)", KEY),
        ("api_key = 'k'", KEY, "api_key = {'k': 1}", KEY),
        ("api_key = 'k'", KEY, f"try:\n    {KEY}\nexcept KeyError:\n    pass", KEY),
        ("api_key = 'k'", KEY, f"try:\n    {KEY}\nexcept KeyError:\n    print('no')", KEY),
        ("api_key = 'k'", KEY, f"def look():\n    {KEY}", KEY),
        ("n = 1", "n += 1\nn / 0", "n / 1", "n += 1"),
        ("n = 1", "total = n *\nprint(total)", "print(n)", "total = n *"),
    ],
)
def test_a_mend_keeps_each_statement_of_the_cell(
    watch: Watch, before: str, failed: str, answer: str, lost: str
) -> None:
    for source in (before, failed):
        watch.run(source)
    proposal = fix(tried(watch, answer), "2")
    assert proposal.diff == ""
    assert proposal.verdict == f"What the model wrote loses the statement `{lost}`."


@needs_seal
@pytest.mark.parametrize(
    ("failed", "answer"),
    [
        (KEY, "{}.get(api_key)"),
        (KEY, "{'k': 1}[api_key]"),
        (KEY, f"if api_key in {{}}:\n    {KEY}"),
        ("n = int(api_key)", "try:\n    n = int(api_key)\nexcept ValueError:\n    n = 0"),
        ("with open('gone') as file:\n    n = 1", "with open('/dev/null') as file:\n    n = 1"),
        ("for n in range(3) print(n)", "for n in range(3):\n    print(n)"),
    ],
)
def test_a_mend_may_change_and_wrap_statements(watch: Watch, failed: str, answer: str) -> None:
    watch.run("api_key = 'k'")
    watch.run(failed)
    assert fix(tried(watch, answer), "2").source == answer


def test_a_statement_of_any_depth_is_missed() -> None:
    deep = f"n = {'+'.join(900 * '1')}"
    assert lost_statement(f"{deep}\nm = 2", "m = 3", {}) == deep
    assert lost_statement(f"{deep}\nm = 2", f"{deep}\nm = 3", {}) == ""


def test_a_mend_may_lose_a_statement_that_somebody_wishes_away(watch: Watch) -> None:
    watch.run("n = 1\n1 / 0")
    former = Former(source="n = 2", wish="without the division")
    wished = replace(watch.task("n = 1"), former=former)
    assert fix(wished).source == "n = 1"


@needs_seal
@pytest.mark.parametrize(
    ("failed", "answer"),
    [
        ("y = kount(xs)", "y = len(xs)"),
        ("y = xs.add_one(2)", "y = [*xs, 2]"),
        ("text.sort()", "sorted(text)"),
        ("raise 'neg'", "raise ValueError('neg')"),
        ("raise NotImplemented('x')", "raise NotImplementedError('x')"),
        ("for one in xs:\n    raise NotImplementedError", "for one in xs:\n    print(one)"),
        ("with open('gone') as file:\n    y = file.read()", "y = open('/dev/null').read()"),
    ],
)
def test_what_never_came_to_anything_may_go(watch: Watch, failed: str, answer: str) -> None:
    watch.run("xs, text = [1], 'ba'")
    watch.run(failed)
    assert fix(tried(watch, answer), "2").source == answer


def test_no_variable_is_told_where_none_are_to_be(watch: Watch) -> None:
    watch.run("price = 4700 + 11")
    for source in ("price + 1", "price / 0"):
        watch.run(source)
        for choice in ("auto", "none"):
            task = replace(watch.task("price / 1"), vars=choice)
            explain(task)
            if source == "price / 0":
                explain(task, "error")
                fix(task, "3")
            assert {"4711" in prompt for prompt in watch.prompts} == {choice == "auto"}
            watch.prompts.clear()


@needs_seal
@pytest.mark.parametrize(
    ("failed", "written", "verdict"),
    [
        ("own = [1, 2, 3]\nown.appendd(n)", "", ""),
        ("n = 2\nprint(rwos, n)", "", ""),
        ("n = 1\n1 / (n - 1)", "n = 2\n1 / (n - 1)", ""),
        ("rows = [4, 5\nprint(rows)", "rows = [4, 5]\nprint(rows)", ""),
        ("int('x')", "rows = [4, 5]\nint('7')", "; replaces `rows`: 1 value → 2"),
    ],
)
def test_a_verdict_says_what_a_mend_replaces_of_other_cells_data_and_nothing_else(
    watch: Watch, failed: str, written: str, verdict: str
) -> None:
    watch.run("rows, n = [1], 3")
    watch.run(failed)
    said = f"With this change the cell ran in a sealed copy{verdict}."
    assert fix(tried(watch, written)).verdict == said


@needs_seal
def test_a_verdict_reports_a_table_that_the_mended_cell_empties(watch: Watch) -> None:
    watch.run("import pandas as pd\nrows = pd.DataFrame({'cost': [3, 5]})")
    watch.run("rows = rows[rows.costt > 9]")
    verdict = fix(tried(watch, "rows = rows[rows.cost > 9]")).verdict
    assert "replaces `rows`: 2 rows \N{MULTIPLICATION SIGN} 1 → 0" in verdict


@needs_seal
def test_what_a_model_wrote_is_tried_too(watch: Watch) -> None:
    watch.run("n = 0")
    watch.run("1 / n")
    assert fix(tried(watch, "n = 1")).verdict == "With this change the cell ran in a sealed copy."
    again = fix(tried(watch, "n = 0.0"))
    assert again.verdict.startswith("With this change it raises ZeroDivisionError")


@needs_seal
@pytest.mark.parametrize(
    ("cells", "answer", "changed", "again"),
    [
        (("xs = [1]", "xs = xs.append(2)\nxs + []"), "xs.append(2)\nxs + []", "2", "cell [1] had"),
        (("n = 0", "m = n * 2", "k = m", "1 / k"), "n = 1", "1", "cell [2] and cell [3] had"),
    ],
)
def test_the_cells_that_have_to_run_again_are_named(
    watch: Watch, cells: tuple[str, ...], answer: str, changed: str, again: str
) -> None:
    for source in cells:
        watch.run(source)
    said = f"With this change the cell ran in a sealed copy once {again} run again"
    assert fix(tried(watch, answer), changed).verdict.startswith(said)


def test_a_likely_mend_is_proposed_where_the_model_has_none(watch: Watch) -> None:
    def write(_prompt: str, **_how: object) -> CodeAnswer:
        raise ModelNotFoundError("No model.")

    watch.run(SHAPES)
    assert fix(watch.task(SHAPES)).source == f"{SHAPES}.T"
    assert fix(replace(watch.task(), on_write=write)).source == f"{SHAPES}.T"
    watch.run("raise RuntimeError")
    with pytest.raises(ModelNotFoundError):
        fix(replace(watch.task(), on_write=write))


def test_only_the_cell_that_is_wrong_changes(watch: Watch) -> None:
    watch.run("import math\nm = 2")
    watch.run("n = 0  # none\n1 / n")
    answer = "import math\nm = 2\nn = 1  # none\n1 / n"
    assert fix(watch.task(answer), "2").source == "n = 1  # none\n1 / n"


@pytest.mark.parametrize(
    ("ran", "failed", "answer"),
    [
        (["import math"], "math.sqrt(1 / 0)", "import math; x = 1\nmath.sqrt(x)"),
        (["total = 0", "total = ()"], "total = 1 / len(total)", "total = 0\ntotal = total + 1"),
        (["k = 2\n1 / 0"], "k % 0", "k = 2\nk % 2"),
    ],
)
def test_what_the_changed_cell_needs_stays_though_another_cell_has_it(
    watch: Watch, ran: list[str], failed: str, answer: str
) -> None:
    for source in (*ran, failed):
        watch.run(source)
    assert fix(watch.task(answer), str(len(ran) + 1)).source == answer


def test_what_the_failed_cell_itself_has_changed_is_made_where_it_was(watch: Watch) -> None:
    watch.run("rows = [1]")
    watch.run("rows.append(2)\n1 / 0")
    answer = "rows.append(2)\n1 / 1"
    assert fix(watch.task(f"rows = [1]\n{answer}")).source == answer


def test_what_runs_behind_the_changed_cell_is_not_put_into_it(watch: Watch) -> None:
    watch.run("n = 0")
    watch.run("1 / n")
    assert fix(watch.task("n = 1\n1 / n"), "1").source == "n = 1"


def test_a_traceback_as_text_is_enough_for_a_rule(watch: Watch) -> None:
    watch.run("prices = {'tea': 2.5}")
    error = "KeyError  Traceback\n----> 1 prices['Tea']\n\nKeyError: 'Tea'"
    cell = ShownCell(cell_id="x", source="prices['Tea']", error=error)
    proposal = fix_shown(watch.task(), cell)
    assert proposal.source == "prices['tea']"
    assert proposal.reason == "failed with `KeyError: 'Tea'`"


def shown(watch: Watch, source: str, cell_id: str) -> ShownCell:
    """A cell that fails, as a page shows it then."""
    event = watch.run(source, cell_id)
    return ShownCell(cell_id=cell_id, source=event.source, error=watch.failure().headline)


GROWTH = """
def growth(values):
    found = []
    for i in range(len(values)):
        found.append(values[i + 1] / values[i])
    return found
""".strip()


@needs_seal
def test_the_button_mends_what_caused_an_error_though_another_came_since(watch: Watch) -> None:
    watch.run(GROWTH, "a")
    page = shown(watch, "growth([100, 110, 121])", "b")
    command, now = fix(tried(watch)), fix_shown(tried(watch), page)
    watch.run("nowhere", "c")
    later = fix_shown(tried(watch), page)
    assert (command.cell, command.completion) == (watch.cells[0], None)
    why = f"{command.reason}; cell [2] failed with `IndexError: list index out of range`"
    assert now == later == replace(command, reason=why)


def said(way: Callable[[], Proposal]) -> tuple[CellEvent | None, str, str]:
    """The cell that a way to a mend changes, how, and what is said of it."""
    try:
        found = way()
    except MagicUsageError as error:  # a page has no place for a change that is none
        return None, "", str(error).partition(" Try again")[0]
    return (found.cell, found.source, found.verdict) if found.diff else (None, "", found.verdict)


# One that rules mend, and one that needs a model, of each library.
CASES = {(case.name.partition("-")[0], case.needs_model): case for case in broken_cells()}


@needs_seal
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_the_button_and_the_command_go_one_way(watch: Watch, case: BrokenCell) -> None:
    for number, source in enumerate(case.cells):
        watch.run(source, f"c{number}")
    page, mended = shown(watch, case.broken, "broken"), case.mended
    command = said(lambda: fix(tried(watch, mended)))
    assert said(lambda: fix_shown(tried(watch, mended), page)) == command
