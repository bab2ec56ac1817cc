"""Where completions end, and that they never break a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.tasks.completing.ending import Ending, language_of, score

LOOP = "range(3):\n    print(i)\n    print(i + 1)\n\nprint('done')\n"


@pytest.mark.parametrize(
    ("prefix", "written", "suffix", "kept"),
    [
        ("x = ", "1\ny = 2\n", "", "1"),
        ("x = 1", "\ny = 2\nz = 3\n", "", "\ny = 2"),
        ("for i in ", LOOP, "", "range(3):\n    print(i)\n    print(i + 1)"),
        ("if x:\n    a()\n", "else:\n    b()\n\nc()\n", "", "else:\n    b()"),
        ("", "try:\n    a()\nexcept E:\n    b()\nc()\n", "", "try:\n    a()\nexcept E:\n    b()"),
        ("x = f(a,\n      ", "b=2,\n      c=3)\ny = 3\n", "", "b=2,\n      c=3)"),
        ("x = f(a,\n      ", "b=2,\n      c=3)\ny = 3\n", "\n)", "b=2,\n      c=3"),
        ('s = """', 'hello\nworld"""\nx = 1\n', "", 'hello\nworld"""'),
        ("@cached\n", "def f(x):\n    return 1\n\nx = 1\n", "", "def f(x):\n    return 1"),
        ("# the mean", " of it\nm = x.mean()\ny = 1\n", "", " of it\nm = x.mean()"),
        ("class A:\n    def f(self):\n        ", "return 1\n\n    def g(self):\n", "", "return 1"),
        ("def f(x):\n    ", "\n    return x\n", "", "return x"),
        ("%%time\nx = ", "f()\ny = 1\n", "", "f()"),
        ("%matplotlib ", "inline\nx\n", "", "inline"),
        ("!ls ", "-l\nx\n", "", "-l"),
        ("%%ti", "me\n# %%capture\n", "", "me"),
        ('df["', 'price"].mean()\n', '"]', "price"),
        ("print(", "f(x))\n", ")", "f(x)"),
        ("y = [", "2 * x for x in xs]\n", " for x in xs]", "2 * x"),
        ("y = ", "f(1)\nz = 2\n", "\nz = 2", "f(1)"),
        ("y = ", "f(x)", "  # a note", "f(x)"),
        ('print("', 'it is", x)\n', '", x)', "it is"),
        ('print("', 'a \\" b", x)\n', '")', 'a \\" b'),
        ('print("', "\\" * 200, '")', ""),
        ("x = ", "1\u202e + \u200b2\n", "", "1 + 2"),
    ],
)
def test_a_completion_ends_with_its_statement_and_repeats_nothing_that_follows(
    prefix: str, written: str, suffix: str, kept: str
) -> None:
    ending = Ending(prefix, suffix)
    assert ending.final(ending.normal(written)).rstrip() == kept


@pytest.mark.parametrize("max_lines", [1, 8, 20])
def test_there_are_as_many_lines_as_are_wanted(max_lines: int) -> None:
    lines = [f"    x{n} = {n}" for n in range(30)]
    wanted = "\n".join(["", *lines[:max_lines]])
    assert Ending("def f():", "", max_lines=max_lines).final("\n".join(["", *lines])) == wanted
    prose = [f"Line {n}." for n in range(30)]
    ending = Ending("# Title\n", "", "text", max_lines=max_lines)
    assert ending.final("\n".join(prose)) == "\n".join(prose[:max_lines])


def test_what_is_said_over_and_over_ends() -> None:
    assert Ending("print(x)\n", "").final("print(x)\nprint(x)\n") == ""
    assert Ending("", "").end_of("x = [" + "0, " * 12) is not None
    assert Ending("", "").end_of("x = [" + "0, " * 4) is None
    assert Ending("", "").end_of("x = [" + "len(word), " * 4) is not None
    assert Ending("", "").final("# a\n# b\n# c\n# d\n") == ""


def test_the_torn_end_of_a_text_is_left_out() -> None:
    assert Ending("x = ", "").final("12", is_torn=True) == ""
    assert Ending("", "").final("if y:\n    x = 1\n    z = 12", is_torn=True) == "if y:\n    x = 1"


def test_an_end_is_only_told_when_it_is_certain() -> None:
    ending = Ending("if x:\n    a()\n", "")
    assert ending.end_of("else:\n    b()\nel") is None  # it may become `elif`
    assert ending.end_of("else:\n    b()\nprint(") is not None


def test_cells_of_other_languages_end_with_a_paragraph() -> None:
    assert language_of("%%bash\nls") == "text"
    assert language_of("%%time\nls") == "python"
    assert Ending("# Title\n", "", "text").final("Some words.\n\nMore\n") == "Some words."


CODE = """\
import math

def area(radius):
    if radius < 0:
        raise ValueError(f"{radius} is too small")
    return math.pi * radius ** 2

sizes = {"small": 1, "large": 10}
for name, radius in sizes.items():
    print(name, area(radius), sep=": ")
total = sum([area(r) for r in sizes.values()])
"""
PIECES = st.sampled_from(
    [
        *("x = 1\n", "x", " = ", "1", "\n", "    ", "(", ")", "[", "]", '"', "'", "f(", "\\"),
        *("if ", ":", "else:", "for i in x", "# c", ",", "def f():\n", "return ", "%time "),
    ]
)


@given(st.integers(0, len(CODE)), st.integers(0, 30), st.lists(PIECES, max_size=15).map("".join))
def test_a_completion_never_breaks_a_cell(place: int, gap: int, written: str) -> None:
    prefix, suffix = CODE[:place], CODE[place + gap :]
    before = score(prefix + suffix)
    ending = Ending(prefix, suffix)
    text = ending.normal(written)
    assert score(prefix + ending.final(text) + suffix) >= before
    assert score(prefix + ending.final(text, is_torn=True) + suffix) >= before
    if before == 2:
        for length in range(len(text) + 1):
            shown = ending.shown(text[:length])
            assert syntax_error(prefix + shown + suffix) is None


@given(st.integers(0, len(CODE)), st.text("ab\n )(]:\"'#", max_size=30))
def test_a_completion_is_the_start_of_what_was_written(place: int, written: str) -> None:
    ending = Ending(CODE[:place], CODE[place:])
    assert ending.normal(written).startswith(ending.final(ending.normal(written)))
