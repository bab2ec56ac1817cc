"""Mends: what rules make of a cell that failed, in a real shell."""

from __future__ import annotations

import pytest
from support.watch import Watch

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.failures.broken_cell import Mend
from jupyter_llm.notebook.failures.mends import mends

LINES = "import io\nimport pandas as pd\ntabs = io.StringIO('a\\tb\\n1,1\\t2\\n1\\t2,3,4\\n')"
FRAME = (
    "import pandas as pd\n"
    "df = pd.DataFrame({'city': ['Oslo', 'Rome'], 'unit price': [1.5, 2.5], 'sold': ['3', '4']})"
)
ARRAYS = "import numpy as np\na = np.arange(6.0)\nM = a.reshape(2, 3)"
DATA = (
    "rows = [{'name': 'a', 'n': 1}, {'name': 'b', 'n': 2}]\n"
    "prices = {'tea': 2.5, 'milk': 1.0}\n"
    "rate, count, words = 0.5, 3, ['x', 'y']\n"
    "def area(width, height=1):\n    return width * height"
)


def mended(watch: Watch, source: str, files: tuple[str, ...] = ()) -> list[Mend]:
    """The mends of a cell that fails."""
    watch.run(source)
    failure = watch.failure()
    return list(mends(failure, watch.cells[-1].source, watch.shell.user_ns, files))


@pytest.mark.parametrize(
    ("before", "source", "expected"),
    [
        # Names
        (DATA, "cuont + 1", "count + 1"),
        (DATA, "area(widthh=2)", "area(width=2)"),
        ("", "Counter('aab')", "from collections import Counter\nCounter('aab')"),
        ("", "%%time\nmath.pi", "%%time\nimport math\nmath.pi"),
        (DATA, "ok = true", "ok = True"),
        (FRAME, "df[city]", 'df["city"]'),
        # Columns and keys
        (LINES, "pd.read_csv(tabs)", 'pd.read_csv(tabs, sep=None, engine="python")'),
        (FRAME, "df['citi'].unique()", "df['city'].unique()"),
        (FRAME, "df.groupby('city')['unit_price'].sum()", "df.groupby('city')['unit price'].sum()"),
        (FRAME, "df.query('Sold == \"3\"')", "df.query('sold == \"3\"')"),
        (FRAME, "df['city', 'sold']", "df[['city', 'sold']]"),
        (DATA, "prices['Milk']", "prices['milk']"),
        # Attributes
        (FRAME, "df.ctiy", "df.city"),
        (FRAME, "df.unit_price", 'df["unit price"]'),
        (FRAME, "df.groupby('city').sole.count()", "df.groupby('city').sold.count()"),
        (FRAME, "df.append(df, ignore_index=True)", "pd.concat([df, df], ignore_index=True)"),
        (FRAME, "df.city.upper()", "df.city.str.upper()"),
        (FRAME, "for k, v in df.iteritems(): pass", "for k, v in df.items(): pass"),
        (ARRAYS, "np.product(a)", "np.prod(a)"),
        (DATA, "rows[0].name", 'rows[0]["name"]'),
        ("import datetime", "datetime.now()", "datetime.datetime.now()"),
        # Calls
        (
            FRAME,
            "df.sort_values('city', ascendng=False)",
            "df.sort_values('city', ascending=False)",
        ),
        (
            "import numpy as np\nrng = np.random.default_rng(1)",
            "rng.normal(scal=8)",
            "rng.normal(scale=8)",
        ),
        (DATA, "prices('tea')", "prices['tea']"),
        (FRAME, "df.shape()", "df.shape"),
        (ARRAYS, "np.zeros(2, 3)", "np.zeros((2, 3))"),
        # Values
        (DATA, "'n: ' + count", "'n: ' + str(count)"),
        (FRAME, "df[df['sold'] > 3]", "df[df['sold'].astype(float) > 3]"),
        (FRAME, "df.groupby('city').mean()", "df.groupby('city').mean(numeric_only=True)"),
        (
            FRAME,
            "df[df['unit price'] > 1 and df['city'] == 'Oslo']",
            "df[(df['unit price'] > 1) & (df['city'] == 'Oslo')]",
        ),
        (DATA, "for i in count: pass", "for i in range(count): pass"),
        (DATA, "for name, price in prices: pass", "for name, price in prices.items(): pass"),
        (DATA, "range(rows)", "range(len(rows))"),
        (DATA, "words[len(words)]", "words[-1]"),
        ("xs = [2, 1]", "ys = xs.sort()\nys[0]", "xs.sort()\nys = xs\nys[0]"),
        ("xs = [2, 1]", "xs = xs.append(3)\nxs[0]", "xs.append(3)\nxs[0]"),
        (
            "",
            "class A:\n    def f():\n        return 1\nA().f()",
            "class A:\n    def f(self):\n        return 1\nA().f()",
        ),
        (DATA, "', '.join([1, 2])", "', '.join(map(str, [1, 2]))"),
        # Syntax
        ("", "for i in range(3)\n    print(i)", "for i in range(3):\n    print(i)"),
        ("", "print('a'", "print('a')"),
        ("", "if 1 = 2:\n    pass", "if 1 == 2:\n    pass"),
        ("", "print('hello)", "print('hello')"),
        ("", "whlle True:\n    pass", "while True:\n    pass"),
        ("", "def f():\nreturn 1", "def f():\n    return 1"),
    ],
)
def test_the_likeliest_mend_is_what_was_meant(
    watch: Watch, before: str, source: str, expected: str
) -> None:
    watch.run(before)
    found = mended(watch, source)
    assert [mend.source for mend in found[:1]] == [expected], found


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("print(1", "a `)` is missing"),
        ("print(len('ab'", "two closing brackets `))` are missing"),
        ("print(sum([1, 2", "three closing brackets `]))` are missing"),
        ("a = [[[[[[1", "6 closing brackets `]]]]]]` are missing"),
    ],
)
def test_a_mend_counts_the_closing_brackets_that_are_missing(
    watch: Watch, source: str, reason: str
) -> None:
    assert [mend.reason for mend in mended(watch, source)] == [reason]


def test_a_mend_says_what_is_near(watch: Watch) -> None:
    watch.run(FRAME)
    (first, *_) = mended(watch, "df['citi']")
    assert first == Mend("df['city']", "`citi` is no column; near it is `city`", is_sure=True)


@pytest.mark.parametrize(
    ("word", "other"),
    [
        *(("revenue_2024", "revenue_2023"), ("max_price", "min_price"), ("mean_x", "mean_y")),
        *(("dt", "dot"), ("sm", "sum"), ("id", "ids_of")),
    ],
)
def test_what_is_short_or_is_named_alike_and_is_not_the_same_is_not_near(
    word: str, other: str
) -> None:
    assert near(word, [other]) == []


def test_a_file_of_a_near_name_is_taken(watch: Watch) -> None:
    found = mended(watch, "open('data/slaes.csv')", ("notes.txt", "data/sales.csv"))
    assert found[0].source == "open('data/sales.csv')"


def test_a_mend_changes_nothing_but_its_place(watch: Watch) -> None:
    source = "# äöü: naïve   spacing\n%precision 3\nx = 'é' ; cuont = 1\ny =  {'b':cuonnt}  # end\n"
    watch.run("count = 3")
    (first, *_) = mended(watch, source)
    assert first.source in (source.replace("cuonnt", "count"), source.replace("cuonnt", "cuont"))


def test_what_the_user_made_is_not_asked(watch: Watch) -> None:
    watch.run(
        "class Loud:\n"
        "    def __getattr__(self, name): raise SystemExit(name)\n"
        "    def __eq__(self, other): raise SystemExit\n"
        "    def __getitem__(self, key): raise KeyError('citi')\n"
        "    __hash__ = None\n"
        "loud = Loud()"
    )
    assert mended(watch, "loud['citi']") == []


def test_an_error_of_nothing_known_has_no_mend(watch: Watch) -> None:
    assert mended(watch, "raise RuntimeError('citi')") == []
