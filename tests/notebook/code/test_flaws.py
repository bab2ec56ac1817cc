"""What rules find wrong with code, and what they leave alone."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.code.flaws import flaws_in

FLAWED = {
    "a power that is none": "def f(x):\n    return x ^ 2",
    "a mean that is cut off": "def f(xs):\n    return sum(xs) // len(xs)",
    "or with a text": "def f(x):\n    return x == 'a' or 'b'",
    "None of sort": "def f(xs):\n    return xs.sort()",
    "None of inplace": "df = df.dropna(inplace=True)",
    "a result that is dropped": "df.dropna()\nprint(df)",
    "a text that stays": "def f(s):\n    s.strip()\n    return s",
    "compared for assigned": "x = 1\nx == 2\nprint(x)",
    "never reached": "def f():\n    return 1\n    print(2)",
    "a default that is shared": "def f(x, items=[]):\n    items.append(x)\n    return items",
    "a default that is kept": "class A:\n    def __init__(self, d={}):\n        self.d = d",
    "a default that is added to": "def f(x, xs=[]):\n    xs += [x]\n    print(xs)",
    "changed while read": "for k in d:\n    if k:\n        del d[k]",
    "the last left out": "for i in range(len(xs) - 1):\n    print(xs[i])",
    "the last part left out": "for i in range(len(xs) - n):\n    print(xs[i:i + n])",
    "added up for nothing": "def f(xs):\n    n = 0\n    for x in xs:\n        n += x",
    "is with a literal": "def f(x):\n    return x is 'a'",  # of pyflakes, as all that it finds
}

SOUND = {
    "a default that is only read": "def f(x, items=()):\n    return x in items",
    "a search": "def f(xs):\n    for x in xs:\n        if x:\n            return x",
    "neighbours": "for i in range(len(xs) - 1):\n    print(xs[i], xs[i + 1])",
    "what a cell shows": "df.dropna()",
    "the middle of a bar": "def f(x, width):\n    return x + width / 2",
    "an index of pandas": "def f(index):\n    index = index.insert(0, 'a')\n    return index",
    "a copy changed": "for k in list(d):\n    del d[k]",
    "one that is dropped, and the end": "for x in xs:\n    xs.remove(x)\n    break",
    "a default value": "def f(x):\n    return x or 'a'",
    "a numpy append": "import numpy as np\nxs = np.append(xs, 1)",
    "an import for later": "import numpy as np",
    "a magic": "%timeit f(1)\nx = 1",
    "a file that is replaced": "import os\nos.replace('a', 'b')\nprint(1)",
    "a default that is copied": "def f(n, xs=[]):\n    xs = [*xs, n]\n    xs.sort()\n    return xs",
    "an await": "await f()\nx = 1",
}
DEFINED = {*("d", "df", "f", "n", "print", "xs", "x")}


@pytest.mark.parametrize(
    ("source", "count"),
    [(s, 1) for s in FLAWED.values()] + [(s, 0) for s in SOUND.values()],
    ids=[*FLAWED, *SOUND],
)
def test_a_flaw_is_found_and_sound_code_left_alone(source: str, count: int) -> None:
    assert len(flaws_in(source, DEFINED)) == count


def test_a_flaw_names_its_line_and_says_how_sure_it_is() -> None:
    (flaw,) = flaws_in("%%time\n\ndef f(x):\n    return x == 1 or 'a'")
    assert (flaw.line, flaw.source, flaw.sureness) == (4, "return x == 1 or 'a'", "certain")
    assert flaw.problem == "`or 'a'` is always true; compare with it too"


def test_names_of_the_namespace_are_defined() -> None:
    (flaw,) = flaws_in("prices.mean()")
    assert flaw.problem == "undefined name `prices`"
    assert flaws_in("prices.mean()", {"prices"}) == ()


def test_code_that_cannot_be_read_has_its_place_as_its_only_flaw() -> None:
    (flaw,) = flaws_in("x = 1\nprint(x")
    assert (flaw.line, flaw.sureness) == (2, "certain")
    assert "never closed" in flaw.problem


def test_another_language_has_no_flaws() -> None:
    assert flaws_in("%%bash\nls") == ()
