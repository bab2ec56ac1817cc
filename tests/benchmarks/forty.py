"""Forty requests for code as a new user types them, on three tables with gaps and duplicates.

Run as: python tests/benchmarks/forty.py [--model FILE.gguf|NAME] [--only N,N]

Each request is asked in a notebook of its own that holds the three tables. An answer is right if
the value that it shows, or the tables that it leaves, hold what the reference code gives; figures
and what is only nearly right have to be read. Counts the user's tables that were changed unasked,
and how often the line below the code begins with a doubt.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from IPython.utils.capture import capture_output

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.report import table
from benchmarks.side_by_side import default_model, describe, parser_for, show
from benchmarks.useful_session import Session

SETUP = """
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt

rng = np.random.default_rng(7)
days = pd.date_range("2025-01-01", periods=360, freq="D")
sales = pd.DataFrame({
    "date": rng.choice(days, 600), "region": rng.choice(["north", "south", "east", "west"], 600),
    "product": rng.choice(["lamp", "chair", "desk"], 600), "units": rng.integers(1, 20, 600),
    "price": rng.choice([19.5, 49.0, 120.0], 600),
    "returned": rng.choice(["yes", "no"], 600, p=[0.2, 0.8]),
})
sales.loc[rng.choice(600, 40, replace=False), "price"] = np.nan
sales = pd.concat([sales, sales.iloc[:15]], ignore_index=True)
people = pd.DataFrame({
    "name": [f"P{number:03}" for number in range(120)], "age": rng.integers(18, 80, 120),
    "city": rng.choice(["Oslo", "Rome", "Lyon"], 120),
    "income": rng.normal(40000, 9000, 120).round(),
    "joined": rng.integers(1995, 2025, 120), "smoker": rng.choice(["Y", "N", None], 120),
})
stations = pd.DataFrame({
    "station": np.repeat(["a", "b", "c"], 30), "day": list(range(1, 31)) * 3,
    "temp": rng.normal(12, 6, 90).round(1), "rain": rng.exponential(3, 90).round(1),
})
stations.loc[[4, 40, 77], "temp"] = np.nan
"""
OF = "sales.units * sales.price"
REQUESTS = (
    # request, reference ("" for a figure), whether a table may change
    ("how many rows are in sales?", "len(sales)", False),
    ("total units sold by region", 'sales.groupby("region").units.sum()', False),
    ("which product sold the most units?", 'sales.groupby("product").units.sum().idxmax()', False),
    ("what share of the orders was returned?", '(sales.returned == "yes").mean()', False),
    (
        "return rate by product",
        'sales.assign(r=sales.returned == "yes").groupby("product").r.mean()',
        False,
    ),
    ("are there duplicated rows in sales?", "bool(sales.duplicated().any())", False),
    ("how many prices are missing?", "sales.price.isna().sum()", False),
    ("drop the duplicate rows from sales", "sales.drop_duplicates()", True),
    (
        "fill the missing prices with the median price",
        "sales.assign(price=sales.price.fillna(sales.price.median()))",
        True,
    ),
    ("add a column revenue to sales, units times price", f"sales.assign(revenue={OF})", True),
    ("revenue per month", f"({OF}).groupby(sales.date.dt.month).sum()", False),
    ("top 5 days by revenue", f"({OF}).groupby(sales.date).sum().nlargest(5)", False),
    (
        "average price of each product, highest first",
        'sales.groupby("product").price.mean().sort_values(ascending=False)',
        False,
    ),
    ("plot the monthly units as a line", "", False),
    ("bar chart of the units by region", "", False),
    (
        "the orders of the north with more than 15 units",
        'sales[(sales.region == "north") & (sales.units > 15)]',
        False,
    ),
    (
        "pivot: regions as rows, products as columns, sum of units",
        'sales.pivot_table(index="region", columns="product", values="units", aggfunc="sum")',
        False,
    ),
    ("the first and the last date in sales", "[sales.date.min(), sales.date.max()]", False),
    (
        "median units of returned and of kept orders",
        'sales.groupby("returned").units.median()',
        False,
    ),
    ("correlation between units and price", "sales.units.corr(sales.price)", False),
    ("average age by city", 'people.groupby("city").age.mean()', False),
    ("who earns the most?", "people.loc[people.income.idxmax(), 'name']", False),
    ("the 3 oldest people", 'people.nlargest(3, "age")', False),
    (
        "how many smokers are there in each city?",
        'people[people.smoker == "Y"].groupby("city").size()',
        False,
    ),
    ("histogram of the ages", "", False),
    ("share of smokers among those who answered", '(people.smoker.dropna() == "Y").mean()', False),
    ("people who joined before 2000", "people[people.joined < 2000]", False),
    (
        "is the average income in Oslo above the one in Rome?",
        'bool((mean := people.groupby("city").income.mean()).Oslo > mean.Rome)',
        False,
    ),
    (
        "make age groups of ten years and count the people in each",
        "pd.cut(people.age, range(10, 91, 10), right=False).value_counts(sort=False)",
        False,
    ),
    ("rename income to salary in people", 'people.rename(columns={"income": "salary"})', True),
    ("number of people per year of joining", 'people.groupby("joined").size()', False),
    (
        "the standard deviation of income for every city",
        'people.groupby("city").income.std()',
        False,
    ),
    ("Save the mean income to a variable called mean_income", "people.income.mean()", False),
    (
        "warmest day of each station",
        'stations.loc[stations.groupby("station").temp.idxmax()]',
        False,
    ),
    ("mean temperature per station", 'stations.groupby("station").temp.mean()', False),
    ("how many days had more than 5 mm of rain?", "(stations.rain > 5).sum()", False),
    ("scatter plot of temp against rain", "", False),
    (
        "7 day rolling mean of temp for station a",
        'stations[stations.station == "a"].temp.rolling(7).mean()',
        False,
    ),
    (
        "which station has missing temperatures?",
        "stations[stations.temp.isna()].station.unique()",
        False,
    ),
    (
        "Write a function f_to_c that converts Fahrenheit to Celsius. f_to_c(212) → 100",
        "100",
        False,
    ),
)
TABLES = ("sales", "people", "stations")


def values_of(value: Any) -> list[str]:
    """The values of a result, in any order, to two digits."""
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped]

    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_numpy().ravel()
    if isinstance(value, (np.ndarray, list, tuple, pd.Index)):
        return sorted(one for item in value for one in values_of(item))
    try:
        return [f"{float(value):.2f}"]
    except (TypeError, ValueError):
        return [str(value)]


def asked(session: Session, request: str, reference: str, may_change: bool) -> list[str]:  # noqa: FBT001
    """Ask for the code of a request, and run it; return a row of the table."""
    session.begin([])
    session.run(SETUP)
    shell = session.shell
    expected = eval(reference, shell.user_ns) if reference else None  # noqa: S307
    before = {name: shell.user_ns[name].copy() for name in TABLES}
    with capture_output() as shown:
        session.run(f"%%llm --new --no-save -f code -n 300 -o answer_\n{request}")
    answer = shell.user_ns.pop("answer_", None)
    source = answer.text if answer is not None else ""
    texts = [shown.stdout, *(str(one.data.get("text/plain", "")) for one in shown.outputs)]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        result = shell.run_cell(source)
        if "f_to_c" in request:
            result = shell.run_cell("f_to_c(212)")
    changed = [name for name in TABLES if not before[name].equals(shell.user_ns[name])]
    names = ("mean_income", "result", *changed)
    given = [result.result, *(shell.user_ns.pop(name, None) for name in names)]
    wanted = values_of(expected)
    is_right = bool(reference) and any(values_of(one) == wanted for one in given if one is not None)
    note = lines[-1] if lines else ""
    print(
        f"--- {request}\n{source}\n    = {str(result.result)[:300]}\n    {note}",
        file=sys.stderr,
        flush=True,
    )
    verdict = "right" if is_right else "read" if result.success else "raises"
    return [request, verdict, ", ".join(changed) if changed and not may_change else "", note[:80]]


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--only", type=lambda text: [int(one) for one in text.split(",")])
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    model = model.resolve() if model.exists() else model
    os.environ["MPLBACKEND"] = "agg"
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),
    ):
        os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
        session = Session.of_model(str(model))
        chosen = [REQUESTS[one - 1] for one in arguments.only] if arguments.only else REQUESTS
        rows = [asked(session, *request) for request in chosen]
    show(describe(model, 1), table(["request", "verdict", "changed unasked", "line"], rows))


if __name__ == "__main__":
    main()
