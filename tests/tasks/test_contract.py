"""The demands of a request are read, and a draft that does not meet them is doubted or mended."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd  # type: ignore[import-untyped]
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.seal import needs_seal
from tasks.test_facts import judge_of, written

from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import OptionError
from jupyter_llm.tasks.code_answer import CodeAnswer, code_cells
from jupyter_llm.tasks.contract import Contract, with_names
from jupyter_llm.tasks.tries import Tries

SALES = """
import pandas as pd
clean = pd.DataFrame({
    "region": ["north", "south", "north", "west"], "returned": ["yes", "no", "no", "yes"],
    "cost": [3, 5, 4, 8],
})
"""
HEAD = "def largest_orders(orders: pd.DataFrame) -> pd.DataFrame"
FUNCTION = f"""Write a function `{HEAD}`.

`orders` has the columns number and customer. Find the customer with the most orders.

Example input:
orders:
+--------+----------+
| number | customer |
+--------+----------+
| 1      | 7        |
| 2      | 3        |
| 3      | 3        |
+--------+----------+

Example output:
+----------+
| customer |
+----------+
| 3        |
+----------+
"""
COPY = "result = clean.copy()"
MEAN = 'clean["cost"].mean()'
ORDERED = 'clean["cost"].sort_values()'
ROWS = 'clean.groupby("region").head()'
LINES = 'print("\\n".join(clean["region"]))'
MODE = 'orders["customer"].mode()'


def contract(asked: str) -> Contract:
    clean = pd.DataFrame({"region": ["north", "south"], "cost": [3, 5]})
    return Contract(asked, {"clean": clean, "pd": pd})


@pytest.mark.parametrize(
    ("asked", "draft", "lands"),
    [
        (
            "Sum of the cost by region",
            'clean = clean.groupby("region")["cost"].sum()',
            'result = clean.groupby("region")["cost"].sum()\nresult',
        ),
        (
            "Sum of `cost` in `clean` by `region`",
            'clean = clean.groupby("region")["cost"].sum()',
            'result = clean.groupby("region")["cost"].sum()\nresult',
        ),
        (
            "How many rows of `clean` have a `cost` above 4?",
            'clean["cost"] = clean["cost"].astype(float)\n(clean["cost"] > 4).sum()',
            f'{COPY}\nresult["cost"] = result["cost"].astype(float)\n(result["cost"] > 4).sum()',
        ),
        (
            "Show the rows of the north",
            'for _ in "a":\n    clean = clean[clean["cost"] > 4]\nclean',
            f'{COPY}\nfor _ in "a":\n    result = result[result["cost"] > 4]\nresult',
        ),
        (
            "Print each cost of it",
            'for clean in clean["cost"]:\n    print(clean)',
            f'{COPY}\nfor result in result["cost"]:\n    print(result)',
        ),
        (
            "cost per cent",
            'clean["cents"] = clean["cost"] * 100\nclean["cents"]',
            f'{COPY}\nresult["cents"] = result["cost"] * 100\nresult["cents"]',
        ),
        (
            "Show the regions of it",
            'clean.replace("north", "n", inplace=True)',
            f'{COPY}\nresult.replace("north", "n", inplace=True)\nresult',
        ),
        (
            "The cost in cents",
            'clean["cost"] *= 100\nclean["cost"] = clean["cost"].round()',
            f'{COPY}\nresult["cost"] *= 100\nresult["cost"] = result["cost"].round()\nresult',
        ),
    ],
)
@needs_seal
def test_a_table_that_nobody_asked_to_change_stays_as_it_is(
    shell: InteractiveShell, asked: str, draft: str, lands: str
) -> None:
    answer = written(judge_of(shell, SALES), asked, draft)
    assert answer.source == lands
    assert "mended: `clean` stays as it is" in answer.note
    assert answer.num_drafts == 1


@pytest.mark.parametrize(
    ("asked", "draft"),
    [
        ("Remove the rows of the north", 'clean = clean[clean["region"] != "north"]'),
        ("Add the cost in cents as cents", 'clean["cents"] = clean["cost"] * 100'),
        ("Assign the columns as a, b", 'clean.columns = ["a", "b"]'),
        ("Save the rows of the north to `clean`", 'clean = clean[clean["region"] == "north"]'),
        ("A copy of it with a column called `cents`", 'clean["cents"] = clean["cost"] * 100'),
    ],
)
@needs_seal
def test_a_table_changes_if_the_request_asks_for_it(
    shell: InteractiveShell, asked: str, draft: str
) -> None:
    assert written(judge_of(shell, SALES), asked, draft).source == draft


@needs_seal
@pytest.mark.filterwarnings("ignore:A value is")  # that it does nothing
def test_a_column_that_is_changed_in_place_is_assigned(shell: InteractiveShell) -> None:
    judge = judge_of(shell, SALES)
    draft = 'clean["cost"].replace(3, 0, inplace=True)'
    answer = written(judge, "Replace 3 by 0 in the costs", draft)
    assert answer.source == 'clean["cost"] = clean["cost"].replace(3, 0)'
    gaps = 'clean["cost"].drop(0, inplace=True)'
    assert written(judge, "Drop the first cost", gaps).source == gaps
    answer = written(judge, "The sum of the costs", f'{draft}\nclean["cost"].sum()')
    assert answer.source.startswith(f'{COPY}\nresult["cost"] = result["cost"].replace(3, 0)')


@needs_seal
def test_whole_numbers_that_are_years_are_read_as_years(shell: InteractiveShell) -> None:
    judge = judge_of(shell, "import pandas as pd\ntable = pd.DataFrame({'year': [1990, 2024]})")
    draft = "pd.to_datetime({0}) - pd.to_datetime({0})"
    answer = written(judge, "The years as dates", draft.format("table.year"))
    assert answer.source == draft.format('table.year.astype(str), format="%Y"')
    assert "mended: whole numbers are read as years" in answer.note


@needs_seal
@pytest.mark.parametrize(
    "end", ['f"{clean}"', "(lambda clean: len(clean))(clean)", "def f():\n    global clean\nclean"]
)
def test_where_no_rule_can_spare_a_table_the_change_is_the_first_remark(
    shell: InteractiveShell, end: str
) -> None:
    draft = f"clean = clean.head(1)\n{end}"
    note = written(judge_of(shell, SALES), "Show one row of it to me", draft).note
    assert note.startswith("changes `clean`, which the request does not ask for; ran in")
    assert "replaces `clean`: 4 rows" in note


@pytest.mark.parametrize(
    ("asked", "draft", "lands"),
    [
        ("The mean of the cost", f"mean = {MEAN}", f"mean = {MEAN}\nmean"),
        ("The mean of the cost", f"print({MEAN})", MEAN),
        ("Print the mean of the cost", f"print({MEAN})", f"print({MEAN})"),
        ("Save the mean to `mean`", f"mean = {MEAN}", f"mean = {MEAN}"),
        ("The costs in order", f"{ORDERED}.head(2)", ORDERED),
        ("A row of all regions", ROWS, ROWS),
        ("The regions in lines", LINES, LINES),
        ("The 2 lowest costs in order", f"{ORDERED}.head(2)", f"{ORDERED}.head(2)"),
        (
            "The rows in order",
            f"rows = {ORDERED}.to_frame()\nrows['cents'] = 1",
            f"rows = {ORDERED}.to_frame()\nrows['cents'] = 1\nrows",
        ),
    ],
)
@needs_seal
def test_a_value_is_shown_unless_a_name_or_print_was_asked_for(
    shell: InteractiveShell, asked: str, draft: str, lands: str
) -> None:
    assert written(judge_of(shell, SALES), asked, draft).source == lands


@pytest.mark.parametrize(
    ("asked", "draft", "doubt"),
    [
        ("Top 2 of the costs", 'clean.sort_values("cost")', "gives 4 rows, not 2"),
        (
            "Top 2 costs in each region",
            'clean.nlargest(2, "cost")',
            "2 rows in all, not 2 for each",
        ),
        ("Is the cost above 9 in the north?", 'clean["cost"].max()', "a number, not yes or no"),
        (
            "How many were returned?",
            'clean[clean["returned"] == "yes"]',
            "gives 2 rows, not a number",
        ),
        ("Which region costs most?", 'clean.groupby("region").sum()', "gives 3 rows, not one"),
        ("Is it true for all of them?", 'clean["cost"] > 4', "gives 4 values, not yes or no"),
        ("The mean cost of each region", 'clean["cost"].mean()', "one number, not one for each"),
        ("Add another column called place", "place = {'north': 1}", "adds no column"),
        (
            "Create a data frame called it",
            'it = clean["cost"]',
            "`it` is a Series, not a DataFrame",
        ),
        ("Return a list of the costs", 'clean["cost"]', "its value is a Series, not a list"),
        ("Group it by region", 'clean.groupby("region")', "a DataFrameGroupBy, which shows no"),
        ("The rows that were returned", 'clean[clean["returned"] == "Y"]', "has no value 'Y'"),
        (
            "Assign the mean to a variable called average",
            'clean["cost"].mean()',
            "`average` of the",
        ),
        ("The mean as 'mean cost'", 'clean[["cost"]].mean()', "`mean cost` of the request is not"),
        ("Is clean of one region?", "[1, 2, 3, 4]", "invents data and does not use `clean`"),
        (
            "Fit a line to clean",
            "from decimal import Decimal\nclean.cost",
            "imports `Decimal` and does not use it",
        ),
        ("What is the frequency of clean?", "clean.index.name", "shows nothing"),
        (
            FUNCTION,
            f"{HEAD}:\n    return {MODE}",
            "returns a Series and not the columns customer",
        ),
        (
            FUNCTION,
            f"{HEAD}:\n    return orders.head(1)",
            "the columns number, customer and not the columns customer",
        ),
        (
            FUNCTION,
            f"{HEAD}:\n    return orders.head(1)[['customer']]",
            "`largest_orders(orders)` has the row 7 and lacks 3 in the example",
        ),
        (
            "cost by region",
            "import matplotlib\nmatplotlib.use('agg')\nclean.groupby('region').cost.sum().plot()",
            "draws a figure that nobody asked for",
        ),
        ("area(2) → 4. Write `area`.", "def area(x):\n    return x", "`area(2)` gives 2, not 4"),
        ("Write it.\n>>> area(2)\n4", "def area(x):\n    return 1 / 0", "raises ZeroDivisionError"),
        (
            "area(2) → 4. Write `area`.",
            "import sys\ndef area(x):\n    sys.exit()",
            "raises SystemExit",
        ),
        (
            "area(2) → 4. Write `area`.",
            "import numpy as np\ndef area(x):\n    return np.array([x, x])",
            "gives array([2, 2]), not 4",
        ),
    ],
)
@needs_seal
def test_what_a_draft_does_not_meet_is_its_first_remark(
    shell: InteractiveShell, asked: str, draft: str, doubt: str
) -> None:
    answer = written(judge_of(shell, SALES), asked, draft)
    assert doubt in answer.note.partition("; ")[0]


@pytest.mark.parametrize(
    ("asked", "draft"),
    [
        ("Top 2 of the costs of each region", 'clean.sort_values("cost")'),
        ("Top 3 costs of each region", 'clean.groupby("region")["cost"].max()'),
        ("Top 1 cost per region", 'clean.pivot_table("cost", columns="region", aggfunc="max")'),
        ("The first 2 columns of it", "clean.iloc[:, :2]"),
        ("Is the cost above 9?", '(clean["cost"] > 9).any()'),
        ("Create a Series called it", 'it = clean["cost"]'),
        ("Which regions cost most?", 'clean.groupby("region").sum()'),
        ("Which row costs most?", 'clean.loc[clean["cost"].idxmax()]'),
        ("The mean cost per region and row", 'clean["cost"].mean()'),
        ("How many regions and costs are there?", 'clean["region"].value_counts()'),
        ("Make a list of the costs and sum them", 'costs = [*clean["cost"]]\nsum(costs)'),
        ("Add up the cost column", 'print(clean["cost"].sum())'),
        ("Which regions cost much?", 'clean.groupby("region").sum()'),
        ("How many were returned by region?", 'clean.groupby("region").count()'),
        (
            "The mean as 'mean cost'",
            'clean.rename(columns={"cost": "mean cost"}).mean(numeric_only=True)',
        ),
        (FUNCTION, f"{HEAD}:\n    return {MODE}.to_frame()"),
        ("area(2) → 4. Write `area`.", "def area(x):\n    return x * 2.0"),
        ("area(2) → 12.57. Write `area`.", "def area(x):\n    return 3.14159265 * x * x"),
        ("Write `add`: add(0.1, 0.2) → 0.3", "def add(x, y):\n    return x + y"),
    ],
)
@needs_seal
def test_a_draft_that_meets_its_request_is_not_doubted(
    shell: InteractiveShell, asked: str, draft: str
) -> None:
    answer = written(judge_of(shell, SALES), asked, draft, "1 + 1")
    assert answer.doubts == ()
    assert answer.num_drafts == 1


@pytest.mark.parametrize(
    ("draft", "note"),
    [
        ("it['x'] = {}", "changes 2 values of `x` beside the missing ones; ran in"),
        ("it['x'] = it['x'].fillna({})", "ran in a sealed copy; changes `it`"),
        ("it = it.sort_values('x').fillna(0)", "ran in a sealed copy; replaces `it`"),
        ("it = it.dropna()", "ran in a sealed copy; replaces `it`"),
    ],
)
@needs_seal
def test_values_that_a_draft_changes_beside_gaps_that_it_is_to_fill_are_its_first_remark(
    shell: InteractiveShell, draft: str, note: str
) -> None:
    cell = "import pandas as pd\nit = pd.DataFrame({'shop': [*'aaab'], 'x': [1, 2, None, 9]})"
    draft = draft.format("it.groupby('shop')['x'].transform('median')")
    answer = written(judge_of(shell, cell), "Fill the missing x with the median of the shop", draft)
    assert answer.note.startswith(note)


@needs_seal
def test_the_draft_that_satisfies_the_example_is_used(shell: InteractiveShell) -> None:
    right = f"{HEAD}:\n    return {MODE}.to_frame()"
    answer = written(judge_of(shell, SALES), FUNCTION, f"{HEAD}:\n    return {MODE}", right)
    assert answer.source == right


@pytest.mark.parametrize("draft", ["clean = clean[:1]", 'clean["cost"] *= 2\nwhile True: pass'])
def test_a_draft_that_did_not_run_to_its_end_says_what_it_changes(
    shell: InteractiveShell, draft: str
) -> None:
    judge = replace(judge_of(shell, SALES), tries=Tries(namespace=shell.user_ns, is_allowed=False))
    answer = written(judge, "Show the costs", draft)
    assert answer.note.startswith("changes `clean`, which the request does not ask for; ")
    assert written(judge, "Drop a row", draft).doubts == ()
    assert written(judge, "Show the costs", "show(clean)\nclean.copy()").doubts == ()


@needs_seal
def test_names_that_the_user_gives_with_types_are_bound_checked_and_read(
    shell: InteractiveShell,
) -> None:
    asked = with_names("The mean cost, and how many rows", "mean float, n int, rows DataFrame")
    texts = 'mean, n = "5.0", clean["cost"].count()'
    right = 'mean, n = clean["cost"].mean(), len(clean)\nrows = clean.query("cost > 3")'
    answer = written(judge_of(shell, SALES), asked, texts, right)
    assert answer.source == right
    assert answer.values == {"mean": 5.0, "n": 4}  # noqa: PD011
    assert answer.note.startswith("`mean` = 5, `n` = 4; ")
    unbound = f"{texts}\nsum(len(rows) for rows in clean)"
    assert written(judge_of(shell, SALES), asked, unbound).doubts == (
        "`mean` is a str, not a float",
        "does not bind `rows`",
    )


@needs_seal
def test_a_name_that_is_not_a_number_has_no_value(shell: InteractiveShell) -> None:
    asked = with_names("The mean", "mean float")
    answer = written(judge_of(shell, SALES), asked, 'mean = clean["cost"][:0].mean()')
    assert answer.values == {}  # noqa: PD011


@needs_seal
def test_an_example_that_does_not_end_or_is_explained_is_a_doubt_too(
    shell: InteractiveShell,
) -> None:
    judge = replace(judge_of(shell, SALES), asked="area(2) → 4\nWrite `area`.")
    for source, doubt in (
        ("def area(x):\n    while True: pass", "an example of the request does not end"),
        ("def area(x):\n    return x", "`area(2)` gives 2, not 4"),
    ):
        cells = code_cells(f"```python\n{source}\n```")
        written = Completion(text=source, finish_reason="stop", usage=Usage(), model="")
        answer = CodeAnswer(completion=written, cells=cells, request=Request(prompt=()))
        (found,) = judge.each(answer)
        assert found.doubts == (doubt,)


def test_a_list_of_names_without_types_is_refused() -> None:
    for into in ("n", "n int,", "n int float", "1 int", "for int"):
        with pytest.raises(OptionError) as caught:
            with_names("Count", into)
        assert str(caught.value) == (
            f'{into!r} is not a list of typed names. Write one such as "mean_fare float, n int".'
        )


def test_the_head_of_a_function_is_read_from_a_request() -> None:
    assert contract(FUNCTION).signature == f"{HEAD}:"
    assert contract("Write the def of a mean").signature == ""
    assert contract("`def f(x)` and `def g(y)`").signature == "def f(x):"


def test_a_secret_is_not_shown_and_two_columns_of_one_label_are_not_read() -> None:
    assert contract("Read the key").shown("api_key = read()") == "api_key = read()"
    twice = pd.DataFrame([[1990, 1991]], columns=["year", "year"])
    source = "pd.to_datetime(twice['year'])"
    assert Contract("The years", {"twice": twice}).dated(source) == source
