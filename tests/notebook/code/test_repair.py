"""What lands always parses."""

# ruff: noqa: RUF001  the ambiguous characters are the point

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.programs import PIECES, PROGRAMS, compile_as_ipython, mutated_programs

from jupyter_llm.notebook.code.repair import repair
from jupyter_llm.notebook.code.syntax import syntax_error

TEXTS = st.text() | st.lists(PIECES, max_size=40).map("".join)


@settings(max_examples=200)
@given(source=TEXTS | mutated_programs(), is_cut_off=st.booleans())
@example(source="x = '\0'", is_cut_off=False)
@example(source="\ud800", is_cut_off=False)
@example(source="# -*- coding: utf-7 -*-\n+AGEAYgA-", is_cut_off=False)
@example(source="%%time\n%%time\nx = (", is_cut_off=False)
@example(source="x    temperature: float\n    top_k: int", is_cut_off=False)
@example(source="if x:\\\n\\", is_cut_off=True)
@example(source="def A()->0\n0\n \\\n0", is_cut_off=False)
def test_any_text_becomes_a_cell_that_parses(source: str, *, is_cut_off: bool) -> None:
    repaired = repair(source, is_cut_off=is_cut_off)
    assert syntax_error(repaired.source) is None
    compile_as_ipython(repaired.source)


@pytest.mark.parametrize("source", [*PROGRAMS[:3], "%%bash\necho 'it is", "", "x = 1\n"])
def test_code_that_parses_is_left_alone(source: str) -> None:
    assert repair(source).source == source
    assert repair(source).changes == ()


REPAIRS = {
    "took off the indentation of all lines": [("    x = 1\n    y = 2", "x = 1\ny = 2")],
    "took off the prompts": [(">>> x = (6 *\n...      7)\n>>> x\n42", "x = (6 *\n     7)\nx")],
    "replaced typographic characters": [("print(“It’s”, 3 × 4)", 'print("It\'s", 3 * 4)')],
    "replaced tabs by spaces": [("if x:\n\ty = 1\n    z = 2", "if x:\n    y = 1\n    z = 2")],
    "added a missing colon": [("with open(name)\n    x = 1", "with open(name):\n    x = 1")],
    "closed what was left open": [
        (
            "df = frame({'a': [1],\n            'b': [2]}\nprint(df)",
            "df = frame({'a': [1],\n            'b': [2]})\nprint(df)",
        ),
        ("x = [\n    1,  # one\ny = 2", "x = [\n    1,  # one\n]\ny = 2"),
        ("if f(x:\n    y = 1", "if f(x):\n    y = 1"),
        ("print('hello)", "print('hello)')"),
    ],
    "left out closing brackets that nothing opens": [("print(f(x)))\ny = 1", "print(f(x))\ny = 1")],
    "put what is printed into brackets": [("print 'a', x\ny = 1", "print('a', x)\ny = 1")],
    "closed a text": [
        (
            'def f():\n    """Do it.\n    return 1\n\nf()',
            'def f():\n    """Do it."""\n    return 1\n\nf()',
        )
    ],
    "indented the body of a block": [
        ("if x <= 0:\nreturn_value = 1\nprint(x)", "if x <= 0:\n    return_value = 1\nprint(x)")
    ],
    "added a `pass`": [
        (
            "def f():\n    # later\n\ndef g():\n    return 1",
            "def f():\n    pass\n    # later\n\ndef g():\n    return 1",
        )
    ],
    "made `if True` of a `try` without an end": [
        ("try:\n    x = 1\ny = 2", "if True:\n    x = 1\ny = 2")
    ],
    "aligned the indentation": [
        ("def f():\n    x = 1\nreturn x", "def f():\n    x = 1\n    return x"),
        ("x = 1\n  y = 2\n  if y:\n    z = 3\nw = 4", "x = 1\ny = 2\nif y:\n  z = 3\nw = 4"),
    ],
    "made a comment of 1 line that is no Python": [
        ("x = 1\ny = = 2\nz = 3", "x = 1\n# y = = 2\nz = 3"),
        ("x = [\n    1,\n    2 3 4,\n    5,\n]", "x = [\n    1,\n    # 2 3 4,\n    5,\n]"),
    ],
    "made comments of 3 lines that are no Python": [
        (
            "for for x in y:\n    print(x)\n\n    print(y)\nz = 3",
            "# for for x in y:\n    # print(x)\n\n    # print(y)\nz = 3",
        )
    ],
    "made comments of 2 lines that are no Python": [
        (
            "Here's the code:\n\nx = 1\n\nThis sets it.",
            "# Here's the code:\n\nx = 1\n\n# This sets it.",
        ),
        ("x = 1\nelse:\n    y = 2", "x = 1\n# else:\n    # y = 2"),
    ],
}


@pytest.mark.parametrize(
    ("change", "source", "repaired"),
    [(change, *case) for change, cases in REPAIRS.items() for case in cases],
)
def test_repairs(change: str, source: str, repaired: str) -> None:
    result = repair(source)
    assert result.source == repaired
    assert result.changes == (change,)
    assert result.has_code


def test_what_stands_in_strings_stays() -> None:
    text = 'text = """\n>>> “x”\n\t```\n"""'
    assert repair(f"{text}\ny = = 1").source == f"{text}\n# y = = 1"


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("x = 1\nprint('The dist", "x = 1"),
        ("x = 1\nrows = [\n    1,\n    2", "x = 1"),
        ("x = 1\n@cache\ndef f(a,", "x = 1"),
        ("def f(x):\n    return f(x -", "def f(x):\n    pass"),
        ('def f(x):\n    """Do it', "def f(x):\n    pass"),
        ("try:\n    x = f()\n    y = (", "if True:\n    x = f()"),
        ("x = 1\nfor y in x:", "x = 1\nfor y in x:\n    pass"),
        ("# all there is\nrows = [1, 2", "# all there is\nrows = [1, 2]"),
    ],
)
def test_an_unfinished_end_is_left_out(source: str, kept: str) -> None:
    assert repair(source, is_cut_off=True).source == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I am sorry, I cannot write that code.",
        "Sure! Here you go: read the manual.\n\n1. Open the file.\n2. Close the file.",
        "# only a comment",
        "Note: important",
        "42",
        "a is good",
    ],
)
def test_an_answer_without_code_says_so(text: str) -> None:
    repaired = repair(text)
    assert not repaired.has_code
    assert syntax_error(repaired.source) is None


@pytest.mark.parametrize(
    "source",
    [
        "this is no code at all, my friend\n" * 3000,
        "x = (\n" * 3000,
        '"""a\n' * 3001,
        "        for\n    while\nif\n" * 2000,
    ],
    ids=lambda source: repr(source[:12]),
)
@pytest.mark.timeout(60)
def test_long_nonsense_takes_seconds_at_most(source: str) -> None:
    repaired = repair(source)
    assert syntax_error(repaired.source) is None
