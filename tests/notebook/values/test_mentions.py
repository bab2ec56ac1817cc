"""Which variables a prompt or a cell means."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.values.variables import chosen, mentioned, used, without_at

NAMES = "df data the a x In Out _ _private exit get_ipython größe sales_2024"
NAMESPACE: dict[str, object] = {
    **dict.fromkeys(NAMES.split(), 1),
    "print": print,
    "helper": len,
    "random": random,
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Plot the data of df.", ["data", "df"]),
        ("Why is df.price wrong? And df?", ["df"]),
        ("What about sales_2024 and sales?", ["sales_2024"]),
        ("database dfs xdf", []),
        ("Data", []),
        ("use `a` and `_private`", ["a", "_private"]),
        ("run\n```python\nthe = a + x\n```\nplease", ["the", "a", "x"]),
        ("data, then @df", ["df", "data"]),
        ("It said:\n    rows[1] + 1\n    ~~~~~~~^^^\nLook at @df", ["df"]),
        ("@the and @_private and @In", ["the", "_private", "In"]),
        ("a random number from `random`", ["random"]),
        ("a random number", []),  # a module is no word of prose
        ("", []),
    ],
)
def test_names_in_a_prompt_are_found_in_their_order(text: str, names: list[str]) -> None:
    assert mentioned(text, NAMESPACE) == names


@pytest.mark.parametrize(
    "text",
    [
        "write to me@example.com or df@data.org",
        "install @jupyterlab/services",
        "`@cached` and ``@other`` are decorators",
        "```\n@missing\ndef f(): ...\n```",
        "```python\n@missing never closed",
        "@app.route('/', x)\n@cached\nasync def f():\n    ...",
        "  @cached\n  class A: ...",
        "w@v and (w)@v and w @ v",
        "3 @ 2 and @2x and @ alone",
    ],
)
def test_an_at_of_something_else_is_left_alone(text: str) -> None:
    assert without_at(text, NAMESPACE) == text
    assert mentioned(text, {}) == []


def test_an_at_is_taken_off_variables_only() -> None:
    text = "Compare @df.price with @data, not @nobody; ask df@data.org about `@df`.\n@x"
    assert without_at(text, NAMESPACE) == (
        "Compare df.price with data, not @nobody; ask df@data.org about `@df`.\nx"
    )


def test_a_name_with_an_at_that_is_near_a_variable_is_an_error() -> None:
    with pytest.raises(OptionError, match="no variable 'dta' for @dta") as caught:
        mentioned("look at @dta", NAMESPACE)
    assert str(caught.value).endswith("Did you mean data?")
    with pytest.raises(OptionError, match=r"^There is no variable 'dta'\. Did you mean data\?$"):
        chosen("dta", NAMESPACE)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("df['y'] = data + x", ["df", "data", "x"]),
        ("y = 'df data'  # x", []),
        ("def f(x, data):\n    return x + data + df", ["df"]),
        ("[x for x in df]", ["df"]),
        ("df.x.data", ["df"]),
        ("import pandas as df", ["df"]),
        ("%matplotlib inline\ndf", ["df"]),
        ("files = !ls\nx = %who\ndf", ["x", "df"]),
        ("%%time\n%%capture out\ndf", ["df"]),
        ("%time df.sum(x)", ["df", "x"]),
        ("%timeit -n 3 -r2 x", ["x"]),
        ("%%bash\necho df", []),
        ("df?", ["df"]),
        ("if df:\n    !rm x\n    %cd data", ["df"]),
        ("for df in (x", ["df", "x"]),
        ("print(exit, In, _, _private, helper)", ["helper"]),
        ("", []),
    ],
)
def test_names_that_a_cell_uses_are_found(source: str, names: list[str]) -> None:
    assert used(source, NAMESPACE) == names


PIECES = st.sampled_from(
    ["@", "df", "`", "```", "\n", " ", "@df", "def ", "(", "x", "~~~", ".", "%"]
)
TEXTS = st.text() | st.lists(PIECES, max_size=40).map("".join)


@given(TEXTS)
def test_only_ats_are_ever_taken_away_and_only_variables_found(text: str) -> None:
    assert without_at(text, {}) == text
    assert without_at(text, NAMESPACE).replace("@", "") == text.replace("@", "")
    assert set(used(text, NAMESPACE)) <= NAMESPACE.keys()
