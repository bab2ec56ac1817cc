"""What can be a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.programs import PIECES, compile_as_ipython

from jupyter_llm.notebook.code.syntax import syntax_error


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x = 1",
        "%matplotlib inline\nimport pandas",
        "!pip install pandas\nfiles = !ls\nbig = %timeit -o 1",
        "!!ls\n? print\nprint??\n%time?",
        "await f()\nasync for x in y:\n    pass",
        "%%bash\necho 'it is",
        "\n\n%%html\n<p>",
        "%%time\nx = 1",
        "'an invalid \\d escape'\n1 is 1",
        ">>> x = 1\n>>> x",
        "# =%?\n# is it so?",
    ],
)
def test_what_a_cell_may_hold(source: str) -> None:
    assert syntax_error(source) is None
    compile_as_ipython(source)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = (", 1),
        ("x = 1\ny = = 2", 2),
        ("\n\nx = 1\ny = = 2", 4),
        ("\n\n%time x\ny = = 2", 4),
        ("return 1", 1),
        ("for x in y:\n    pass\nbreak", 3),
        ("%%time\nx = 1\ny = = 2", 3),
        ("x = 1\n%%bash\nls", 2),
    ],
)
def test_an_error_names_its_line(source: str, line: int) -> None:
    error = syntax_error(source)
    assert error is not None
    assert error.lineno == line


@pytest.mark.parametrize(
    "prose",
    [
        "Does this work?",
        "!Important: read this",
        "![image](http://example.org/x.png)",
        "/this way",
        ",more of it",
        ";that is it",
        "% of people",
    ],
)
def test_prose_that_ipython_would_run_is_no_code(prose: str) -> None:
    compile_as_ipython(prose)
    assert syntax_error(prose) is not None


@pytest.mark.parametrize(
    "source",
    ["x = '\0'", "x = '\ud800'", "(" * 5000, "-" * 100_000 + "1", "a." * 20_000 + "b", "[" * 150],
    ids=["null byte", "surrogate", "brackets", "signs", "attributes", "lists"],
)
def test_what_the_compiler_cannot_take_is_an_error_and_no_exception(source: str) -> None:
    assert isinstance(syntax_error(source), SyntaxError)


@pytest.mark.parametrize("source", ["  %time x\n  y = 1", "x\n...: y", "x = 'a\u2028b'", "\x0b0"])
def test_what_a_comment_above_would_change_is_an_error(source: str) -> None:
    compile_as_ipython(source)
    assert syntax_error(source) is not None


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=80))
def test_what_passes_is_accepted_by_ipython(source: str) -> None:
    if syntax_error(source) is None:
        compile_as_ipython(source)
