"""What is new of a draft: what goes, and what has to stay."""

from __future__ import annotations

import ast

import pytest

from jupyter_llm.notebook.code.fresh import Fresh, only_new
from jupyter_llm.notebook.code.standing import FailedSource

RAN = (
    "import pandas as pd\nimport numpy as np",
    "df = pd.read_csv('sales.csv')\ndf.head()",
    "def clean(text):\n    return text.strip()",
    "cities = ['Rome', 'Oslo']\ntotal = 0",
)
KINDS = {
    "pd": "module pandas",
    "np": "module numpy",
    "df": "pandas.DataFrame",
    "clean": "function",
    "cities": "list",
    "total": "int",
    "data": "dict",
    "text": "str",
    "pair": "tuple",
    "price": "pandas.Series",
    "plt": "module matplotlib.pyplot",
    "values": "numpy.ndarray",
    "model": "sklearn.linear_model._base.LinearRegression",
    "fig": "matplotlib.figure.Figure",
}


def fresh(source: str, *more: str, prompt: str = "") -> Fresh:
    return only_new(source, (*RAN, *more), KINDS, prompt)


@pytest.mark.parametrize(
    "old",
    [
        "import pandas as pd",
        "import pandas as pd, numpy as np",
        "df = pd.read_csv(\n    'sales.csv'\n)",
        "def clean(text):\n    return text.strip()  # as before",
        "cities = [\"Rome\", 'Oslo']",
        "total = 0",
        "df.head()",
    ],
)
def test_what_stands_goes(old: str) -> None:
    new = "means = df.groupby('city').mean()\nprint(means)"
    assert fresh(f"{old}\n{new}") == Fresh(new, (old,))


@pytest.mark.parametrize("prompt", ["plot price against size", "sort the rows by updated_at"])
def test_words_that_only_begin_like_again_ask_for_nothing_anew(prompt: str) -> None:
    new = "means = df.groupby('city').mean()"
    old = "df = pd.read_csv('sales.csv')"
    assert fresh(f"{old}\n{new}", prompt=prompt) == Fresh(new, (old,))


def test_what_was_changed_by_another_name_has_to_stay() -> None:
    ran = ("total = [1]", "text = total", "if total:\n    text[0] = 2\n    text = [5]")
    assert fresh("total = [1]\nprint(total)", *ran).source == "total = [1]\nprint(total)"


def test_comments_go_with_what_is_below_and_the_rest_stays_byte_for_byte() -> None:
    new = "# The means\nmeans = df.mean( )   # of all\n\n\nprint( means )\n"
    draft = (
        f"# Libraries\n# we need\nimport pandas as pd\n\n# Data\ncities = ['Rome', 'Oslo']\n\n{new}"
    )
    found = fresh(draft)
    assert found.source == new
    assert found.dropped == ("import pandas as pd", "cities = ['Rome', 'Oslo']")


def test_the_body_of_a_magic_is_read_and_the_magic_stays() -> None:
    assert fresh("%%time\nimport numpy as np\nx = df.sum()").source == "%%time\nx = df.sum()"


@pytest.mark.parametrize(
    ("ran", "statement"),
    [
        ("df = df.dropna()", "df = df.dropna()"),
        ("total += 1", "total += 1"),
        ("df['a'] = 1", "df['a'] = 1"),
        ("df['a'] = 1", "df = pd.read_csv('sales.csv').dropna()"),
        ("cities.append('Bonn')", "cities = ['Rome', 'Oslo']"),
        ("for x in df.a: total += x", "total = 0"),
        ("others = cities\nothers.append('Bonn')", "cities = ['Rome', 'Oslo']"),
        ("last = cities.pop()", "cities = ['Rome', 'Oslo']"),
        ("last = heapq.heappop(cities)", "cities = ['Rome', 'Oslo']"),
        ("while cities: print(cities.pop(0))", "cities = ['Rome', 'Oslo']"),
        ("if cities.pop(): total = 1", "cities = ['Rome', 'Oslo']"),
        ("def take():\n    return cities.pop()\nx = take()", "cities = ['Rome', 'Oslo']"),
        ("take = lambda: cities.pop()", "cities = ['Rome', 'Oslo']"),
        ("def take(x):\n    return x.pop()\ny = take(cities)", "cities = ['Rome', 'Oslo']"),
        ("price = df.pop('price')", "df = pd.read_csv('sales.csv')"),
        ("np.sqrt(values, out=cities)", "cities = ['Rome', 'Oslo']"),
        ("np.random.shuffle(cities)", "cities = ['Rome', 'Oslo']"),
        ("def add(x):\n    cities.append(x)", "cities = ['Rome', 'Oslo']"),
        ("def add(to):\n    to.append(1)\nx = add(cities)", "cities = ['Rome', 'Oslo']"),
        ("def step():\n    global total\n    total += 1", "total = 0"),
        ("exec(text)", "total = 0"),
        ("%run other.py", "total = 0"),
        ("clean = str.strip", "def clean(text):\n    return text.strip()"),
        ("def clean(text):\n    return text", "def clean(text):\n    return text.strip()"),
        ("values = df.a * 2\ndf['a'] = 3", "values = df.a * 2"),
        ("fig = plt.figure()", "fig = plt.figure()"),
        ("model = LinearRegression()", "model = LinearRegression()"),
        ("for row in cities: row['a'] = 0", "cities = ['Rome', 'Oslo']"),
        ("for n, row in enumerate(cities): row['a'] = 0", "cities = ['Rome', 'Oslo']"),
        ("if df:\n    for a, b in zip(values, cities): b.add(a)", "cities = ['Rome', 'Oslo']"),
        ("plt.show()", "plt.show()"),
        ("df.plot()", "df.plot()"),
        ("df.to_csv('a.csv')", "df.to_csv('a.csv')"),
        ("lost = 3", "lost = 3"),
        ("import os", "import os"),
        ("from os import path", "from posixpath import path"),
        ("from math import *", "from math import *"),
        ("from math import sin", "from math import sin, cos"),
    ],
)
def test_what_may_do_something_stays(ran: str, statement: str) -> None:
    draft = f"{statement}\nprint('done')"
    assert fresh(draft, ran) == Fresh(draft)


COSTS = "rate = 2\ndef price(x):\n    return x * rate"


@pytest.mark.parametrize(
    ("ran", "statement"),
    [
        (f"{COSTS}\ntotal = price(3)\nrate = 4", "total = price(3)"),
        (
            f"{COSTS}\ndef cost(x):\n    return price(x)\ntotal = cost(3)\nrate = 4",
            "total = cost(3)",
        ),
        (f"{COSTS}\ncost = lambda: price(1)\ntotal = cost()\ndef price(x): 0", "total = cost()"),
        ("def rows():\n    return pd.read_csv('a')\ndf = rows()\ndf.to_csv('a')", "df = rows()"),
        ("def clean(x=total):\n    return x\ntotal = 4", "def clean(x=total):\n    return x"),
        ("class clean(Base):\n    x = total\ntotal = 4", "class clean(Base):\n    x = total"),
        ("@mark\ndef clean(): 0\ndef mark(f): 0", "@mark\ndef clean(): 0"),
    ],
)
def test_what_a_function_would_now_do_otherwise_stays(ran: str, statement: str) -> None:
    draft = f"{statement}\nprint('done')"
    assert fresh(draft, ran) == Fresh(draft)


def test_a_call_goes_where_nothing_behind_its_function_has_changed() -> None:
    call = "total = price(3)"
    for ran in (f"{COSTS}\n{call}\nother = 4", f"rate = 1\n{COSTS}\n{call}"):
        assert fresh(f"{call}\nprint(total)", ran) == Fresh("print(total)", (call,))


def test_a_value_that_the_draft_itself_has_changed_before_is_made_again() -> None:
    draft = "cities.append('Bonn')\nprint(cities)\ncities = ['Rome', 'Oslo']\nx = len(cities)"
    assert fresh(draft).source == draft


@pytest.mark.parametrize("magic", ["%llm Why?", "%matplotlib inline", "!ls", "%time x = 1"])
def test_a_magic_that_defines_nothing_lets_stand_what_stood(magic: str) -> None:
    assert fresh("import math as m\ntotal = 0\nprint(m)", magic).dropped == ("total = 0",)


@pytest.mark.parametrize(
    ("failed", "statement"),
    [
        ("df = df[df.x > 5]\nprnt(df)", "df = pd.read_csv('sales.csv')"),
        ("cities.pop()\nprnt(df)", "cities = ['Rome', 'Oslo']"),
        ("clean = None\n1 / 0", "def clean(text):\n    return text.strip()"),
        ("values = np.array([1])\n1 / 0", "values = np.array([1])"),
    ],
)
def test_what_a_failed_cell_may_have_changed_is_made_again(failed: str, statement: str) -> None:
    draft = f"{statement}\nprint('done')"
    assert fresh(draft, FailedSource(failed)) == Fresh(draft)


def test_what_a_loop_fills_begins_anew_so_that_the_cell_may_run_twice() -> None:
    draft = "total = 0\nfor price in df.price:\n    total += price"
    assert fresh(draft).source == draft


def test_a_definition_that_ran_is_no_repetition_of_what_came_later() -> None:
    later = "def clean(text):\n    return text.lower()"
    assert fresh(f"{later}\nx = clean('A')", later).source == "x = clean('A')"


def test_a_statement_beside_another_on_its_line_stays() -> None:
    draft = "total = 0; x = 1\nprint(x)"
    assert fresh(draft) == Fresh(draft)


def test_a_display_stays_where_it_is_the_result() -> None:
    assert fresh("x = df.sum()\ndf.head()").source == "x = df.sum()\ndf.head()"


@pytest.mark.parametrize(
    "made_up",
    [
        "df = pd.DataFrame({'city': ['A', 'B'], 'price': [1, 2]})",
        "df = pd.read_csv('no such file.csv')",
        "df = pd.read_csv('https://example.com/data.csv')",
        "cities = ['Berlin', 'Paris', 'Rome', 'Wien', 'Bern']",
        "values = np.array([1, 2, 3, 4, 5])",
        "data = {'a': [1, 2]}\ndf = pd.DataFrame(data)",
        "frame_data = {'a': [1, 2]}\ndf = pd.DataFrame(frame_data)",
    ],
)
def test_made_up_data_for_what_exists_goes(made_up: str) -> None:
    new = "df['x'] = 1\nprint(df, cities, values)"
    prompt = "Add a column x to df and create a chart of it"
    found = fresh(f"{made_up}\n{new}", prompt=prompt)
    assert found == Fresh(new, made_up=tuple(made_up.split("\n")))


@pytest.mark.parametrize(
    ("draft", "prompt"),
    [
        ("values = np.linspace(0, 6.28, 100)\nplt.plot(values)", "plot sin from 0 to 2 pi"),
        ("values = np.arange(12).reshape(3, 4)\nprint(values)", "sum the rows of values"),
        ("values = np.random.rand(5)\nprint(values)", "the mean"),
        ("text = 'Costs'\nplt.title(text)", "give the plot a title"),
        ("pair = (1, 2, 3, 4, 5)\nprint(pair)", "the sum"),
        ("total = 12\nprint(total)", "print total"),
        ("cities = ['price', 'city']\nprint(df[cities])", "show some columns"),
        ("cities = ['A', 'B', 'C', 'D', 'E']\nprint(cities)", "print A and what follows"),
        ("df = pd.DataFrame({'a': [1]})\ndf.sum()", "show sum on a toy example"),
    ],
)
def test_a_value_that_may_be_meant_stays(draft: str, prompt: str) -> None:
    assert fresh(draft, prompt=prompt) == Fresh(draft)


@pytest.mark.parametrize(
    ("ran", "statement", "prompt"),
    [
        ("", "df = pd.read_csv('sales.csv')", "read sales.csv again and describe it"),
        ("", "df = pd.read_csv('sales.csv')", "reload the sales"),
        ("", "total = 0", "recompute total"),
        ("", "total = 0", "Recalculate the sum"),
        ("", "total = 0", "set total to 0 and print it"),
        ("values = np.array([1])", "values = np.array([1])", "make a new array values"),
        ("values = np.random.rand(5)", "values = np.random.rand(5)", "draw values"),
        ("def draw():\n    return np.random.rand(5)\nvalues = draw()", "values = draw()", ""),
        ("df.to_csv('sales.csv')", "df = pd.read_csv('sales.csv')", "describe it"),
        ("%%bash\nrm sales.csv", "df = pd.read_csv('sales.csv')", "describe it"),
        ("df = pd.read_csv('http://x/y')", "df = pd.read_csv('http://x/y')", "describe it"),
    ],
)
def test_what_is_to_be_done_again_or_may_come_out_otherwise_stays(
    ran: str, statement: str, prompt: str
) -> None:
    draft = f"{statement}\nprint(df, total, values)"
    assert fresh(draft, ran, prompt=prompt) == Fresh(draft)


@pytest.mark.parametrize(
    ("draft", "prompt"),
    [
        ("df = pd.DataFrame({'a': [1]})\ndf.sum()", "Create a new DataFrame df and sum it"),
        ("df = pd.DataFrame({'a': [1]})\ndf.sum()", "make a small data frame"),
        ("df = pd.read_csv('b.csv')\ndf.sum()", "load b.csv into df"),
        ("cities = ['A']\nlen(cities)", "store the names in cities"),
        ("cities = ['A']\nlen(cities)", "a list of names called `cities`"),
        ("cities = ['Rome', 'Bonn']\nprint(cities)", "print Rome and Bonn"),
        ("cities = []\nfor x in df.city: cities.append(x)", "all cities"),
        ("total = 0\nfor x in df.price: total += x\nprint(total)", "the sum"),
        ("total = 7\nprint(total)", "the top seven"),
        ("df = [1, 2]\nprint(df)", "sum"),
        ("df = pd.DataFrame({'a': cities})\ndf.sum()", "sum"),
        ("df = pd.DataFrame({'a': [1]})", "sum"),
        ("prices = [1, 2]\nsum(prices)", "sum"),
        ("cities += ['A']\nprint(cities)", "sum"),
    ],
)
def test_what_was_asked_for_or_is_of_another_kind_stays(draft: str, prompt: str) -> None:
    assert fresh(draft, prompt=prompt).source == draft


def test_a_file_that_exists_is_read_again(tmp_path: object) -> None:
    draft = f"df = pd.read_csv({__file__!r})\nprint(df)"
    assert fresh(draft) == Fresh(draft)


@pytest.mark.parametrize(
    "draft",
    ["import pandas as pd", "import numpy as np\ntotal = 0", "df = pd.read_csv('sales.csv')"],
)
def test_a_draft_that_is_all_old_stays_whole_and_says_so(draft: str) -> None:
    assert fresh(draft) == Fresh(draft, is_all_old=True)


def test_a_repeated_cell_is_all_old_though_it_shows_something() -> None:
    found = fresh(RAN[1])
    assert found.is_all_old
    assert found.source == "df.head()"


def test_a_new_import_alone_is_not_what_is_left() -> None:
    draft = "import json\ntotal = 0"
    assert fresh(draft) == Fresh(draft)


@pytest.mark.parametrize("draft", ["", "# nothing", "x = = 1", "%%bash\nls"])
def test_what_is_no_python_stays(draft: str) -> None:
    assert fresh(draft) == Fresh(draft)


ELIFS = "if x:\n    y = 0\n" + "\n".join(f"elif x == {n}:\n    y = {n}" for n in range(900))


@pytest.mark.parametrize("deep", ["x = " + " + ".join(f"v{n}" for n in range(3000)), ELIFS])
def test_deep_code_is_left_alone(deep: str) -> None:
    assert fresh(deep).source == deep
    assert fresh("import pandas as pd\nx = df.sum()", deep).source == "x = df.sum()"


@pytest.mark.parametrize("draft", [cell + "\nprint(df, cities)" for cell in RAN])
def test_what_is_left_is_python(draft: str) -> None:
    ast.parse(fresh(draft).source)
