"""What rules find wrong with code, and what they leave alone."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.code.flaws import flaws_in

FLAWED = {
    "a default that is shared": "def f(x, items=[]):\n    items.append(x)\n    return items",
    "is with a literal": "def f(x):\n    return x is 'a'",
    "an exception that is hidden": "try:\n    f()\nexcept:\n    pass",
    "compared to itself": "def f(x):\n    return x == x",
    "never reached": "def f():\n    return 1\n    print(2)",
    "left in finally": "def f():\n    try:\n        g()\n    finally:\n        return 1",
    "a name of two loops": "for i in a:\n    for i in b:\n        print(i)",
    "a loop without its name": "n = 0\nfor row in rows:\n    n += len(rows)",
    "changed while read": "for k in d:\n    if k:\n        del d[k]",
    "one way without return": "def f(x):\n    if x:\n        return 1",
    "a builtin in the way": "def f(xs):\n    sum = 0\n    return sum(xs)",
    "equal floats": "def f(x):\n    return x == 0.1",
    "a result that is dropped": "df.dropna()\nprint(df)",
    "a text that stays": "def f(s):\n    s.strip()\n    return s",
    "the last left out": "for i in range(len(xs) - 1):\n    print(xs[i])",
    "one behind the end": "for i in range(len(xs)):\n    print(xs[i + 1])",
    "the end itself": "def f(xs):\n    return xs[len(xs)]",
    "or with a text": "def f(x):\n    return x == 'a' or 'b'",
    "a power that is none": "def f(x):\n    return x ^ 2",
    "a mean without brackets": "def f(a, b):\n    return a + b / 2",
    "a mean that is cut off": "def f(xs):\n    return sum(xs) // len(xs)",
    "None of sort": "def f(xs):\n    return xs.sort()",
    "None of inplace": "df = df.dropna(inplace=True)",
    "a copy written to": "df[df.x > 1]['y'] = 0",
    "masks without brackets": "df[df.x > 1 & df.y < 2]",
    "returned too early": "def f(xs):\n    for x in xs:\n        print(x)\n        return x",
    "begun anew": "def f(xs):\n    for x in xs:\n        n = 0\n        n += x\n    return n",
    "never ends": "def f(n):\n    i = s = 0\n    while i < n:\n        s += n\n    return s",
    "smallest from zero": "m = 0\nfor x in xs:\n    if x < m:\n        m = x",
    "a parameter without use": "def f(a, b):\n    return a * 2",
    "a call of itself in vain": "def f(n):\n    if n:\n        f(n - 1)\n    return 1",
    "no f before braces": "def f(name):\n    return 'Hello {name}' if name else ''",
    "the same test again": "if n > 1:\n    print(1)\nelif n > 1:\n    print(2)",
    "caught before": "try:\n    f()\nexcept Exception:\n    g()\nexcept KeyError:\n    h()",
    "assigned to itself": "class A:\n    def __init__(self, x):\n        x = x",
    "always empty": "def f(xs):\n    seen = set()\n    return [x for x in xs if x not in seen]",
    "compared for assigned": "x = 1\nx == 2\nprint(x)",
}

SOUND = {
    "a default that is only read": "def f(x, items=()):\n    return x in items",
    "a search": "def f(xs):\n    for x in xs:\n        if x:\n            return x",
    "neighbours": "for i in range(len(xs) - 1):\n    print(xs[i], xs[i + 1])",
    "differences": "for i in range(1, len(xs)):\n    print(xs[i] - xs[i - 1])",
    "a not a number": "def f(x):\n    return x != x",
    "what a cell shows": "df.dropna()",
    "a copy changed": "for k in list(d):\n    del d[k]",
    "a repetition": "for i in range(3):\n    roll()",
    "a default value": "def f(x):\n    return x or 'a'",
    "a numpy append": "import numpy as np\nxs = np.append(xs, 1)",
    "an import for later": "import numpy as np",
    "a magic": "%timeit f(1)\nx = 1",
    "a row's own sum": "for r in rows:\n    n = 0\n    n += r\n    print(n)",
    "a file that is replaced": "import os\nos.replace('a', 'b')\nprint(1)",
    "a template": "def f(name):\n    return 'Hello {name}'.format(name=name)",
    "an await": "await f()\nx = 1",
    "the end of a chart": "plt.title('a')\nplt.show()",
    "all ways return": "def f(x):\n    if x:\n        return 1\n    else:\n        return 2",
    "a generator": "def f(x):\n    if x:\n        yield 1",
}
DEFINED = {
    *("a", "b", "d", "df", "f", "g", "h", "m", "n", "plt", "print", "roll", "rows", "xs", "x"),
}


@pytest.mark.parametrize("source", FLAWED.values(), ids=FLAWED.keys())
def test_a_flaw_is_found(source: str) -> None:
    assert len(flaws_in(source, DEFINED)) == 1


@pytest.mark.parametrize("source", SOUND.values(), ids=SOUND.keys())
def test_sound_code_is_left_alone(source: str) -> None:
    assert flaws_in(source, DEFINED) == ()


def test_a_flaw_names_its_line_and_says_how_sure_it_is() -> None:
    (flaw,) = flaws_in("x = 1\n\ndef f(xs):\n    return xs[len(xs)]")
    assert (flaw.line, flaw.sureness) == (4, "certain")
    assert flaw.what.startswith("`xs[len(xs)]` is one behind the end")


def test_names_of_the_namespace_are_defined() -> None:
    (flaw,) = flaws_in("prices.mean()")
    assert flaw.what == "undefined name `prices`"
    assert flaws_in("prices.mean()", {"prices"}) == ()


def test_lines_count_from_the_cells_first() -> None:
    (flaw,) = flaws_in("%%time\n\nx = nowhere")
    assert flaw.line == 3


def test_code_that_cannot_be_read_has_its_place_as_its_only_flaw() -> None:
    (flaw,) = flaws_in("x = 1\nprint(x")
    assert (flaw.line, flaw.sureness) == (2, "certain")
    assert "never closed" in flaw.what


def test_another_language_has_no_flaws() -> None:
    assert flaws_in("%%bash\nls") == ()
