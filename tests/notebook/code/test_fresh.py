"""What is new of a draft: what goes, and what has to stay."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.code.fresh import Fresh, only_new

RAN = (
    "import pandas as pd\nimport numpy as np",
    "df = pd.read_csv('sales.csv')\ndf.head()",
    "def clean(text):\n    return text.strip()",
    "cities = ['Rome', 'Oslo']\ntotal = 0",
)
NAMES = frozenset({"pd", "np", "df", "clean", "cities", "total", "values", "price", "m"})


def fresh(source: str, *more: str, prompt: str = "", failed: str = "") -> Fresh:
    ran = [*((one, True) for one in (*RAN, *more)), (failed, False)]
    return only_new(source, ran, NAMES, prompt)


@pytest.mark.parametrize(
    "old",
    [
        "import pandas as pd",
        "import pandas as pd, numpy as np",
        "df = pd.read_csv(\n    'sales.csv'\n)",
        "def clean(text):\n    return text.strip()  # as before",
        "cities = [\"Rome\", 'Oslo']",
        "total = 0",
    ],
)
@pytest.mark.parametrize("prompt", ["", "plot price against size", "sort by updated_at"])
def test_what_stands_goes(old: str, prompt: str) -> None:
    new = "means = df.groupby('city').mean()\nprint(means)"
    assert fresh(f"{old}\n{new}", prompt=prompt) == Fresh(new, (old,))


@pytest.mark.parametrize("prompt", ["read sales.csv again", "reload it", "recompute total"])
def test_what_is_asked_for_again_stays(prompt: str) -> None:
    draft = "df = pd.read_csv('sales.csv')\ntotal = 0\nprint(df, total)"
    assert fresh(draft, prompt=prompt) == Fresh(draft)


def test_a_change_that_was_made_last_is_not_made_twice() -> None:
    change = "df['price'] = df['price'] * 2"
    assert fresh(f"{change}\ndf.mean()", change) == Fresh("df.mean()", (change,))


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
        ("df['a'] = 1", "df = pd.read_csv('sales.csv')"),
        ("cities.append('Bonn')", "cities = ['Rome', 'Oslo']"),
        ("last = cities.pop()", "cities = ['Rome', 'Oslo']"),
        ("last = heapq.heappop(cities)", "cities = ['Rome', 'Oslo']"),
        ("while cities: print(cities.pop(0))", "cities = ['Rome', 'Oslo']"),
        ("np.random.shuffle(cities)", "cities = ['Rome', 'Oslo']"),
        ("for x in df.a: total += x", "total = 0"),
        ("clean = str.strip", "def clean(text):\n    return text.strip()"),
        ("def clean(text):\n    return text", "def clean(text):\n    return text.strip()"),
        ("values = df.a * 2\ndf['a'] = 3", "values = df.a * 2"),
        ("total += 1", "total += 1"),
        ("df.plot()", "df.plot()"),
        ("df.to_csv('a.csv')", "df.to_csv('a.csv')"),
        ("lost = 3", "lost = 3"),
        ("other = cities\nother.append('Bonn')", "cities = ['Rome', 'Oslo']"),
        ("tidy(cities)", "cities = ['Rome', 'Oslo']"),
        ("grid = [cities]\nfor row in grid: row.pop()", "cities = ['Rome', 'Oslo']"),
        ("def more(): cities.append('Bonn')\nmore()", "cities = ['Rome', 'Oslo']"),
        ("%run setup.py", "total = 0"),
        ("exec('total = 1')", "total = 0"),
        ("from setup import *", "total = 0"),
        ("values = np.random.rand(3)", "values = np.random.rand(3)"),
        ("m = time.time()", "m = time.time()"),
        ("m = clean('a')\ndef clean(text): return text", "m = clean('a')"),
        ("n = 3\ndef f(): return n\nm = f()\nn = 4", "m = f()"),
        ("n = 3\ndef price(x=n): return x\nn = 4", "def price(x=n): return x"),
        ("from math import sin", "from math import sin, cos"),
    ],
)
def test_what_may_do_something_stays(ran: str, statement: str) -> None:
    draft = f"{statement}\nprint('done')"
    assert fresh(draft, ran) == Fresh(draft)


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
    assert fresh(draft, failed=failed) == Fresh(draft)


@pytest.mark.parametrize(
    "draft",
    [
        "total = 0\nfor price in df.price:\n    total += price",  # so that the cell may run twice
        "cities.append('Bonn')\nprint(cities)\ncities = ['Rome', 'Oslo']\nx = len(cities)",
        "total = 0; x = 1\nprint(x)",
        "import json\ntotal = 1",
        "",
        "# nothing",
        "x = = 1",
        "%%bash\nls",
    ],
)
def test_in_doubt_all_of_it_stays(draft: str) -> None:
    assert fresh(draft) == Fresh(draft)


@pytest.mark.parametrize(
    "draft",
    ["import pandas as pd", "import numpy as np\ntotal = 0", "import json\ntotal = 0"],
)
def test_where_nothing_would_be_left_the_draft_is_whole_and_says_so(draft: str) -> None:
    assert fresh(draft) == Fresh(draft, is_all_old=True)


ELIFS = "if x:\n    y = 0\n" + "\n".join(f"elif x == {n}:\n    y = {n}" for n in range(900))


@pytest.mark.parametrize("deep", ["x = " + " + ".join(f"v{n}" for n in range(3000)), ELIFS])
def test_deep_code_is_left_alone(deep: str) -> None:
    assert fresh(deep).source == deep
    assert fresh("import pandas as pd\nx = df.sum()", deep).source == "x = df.sum()"
