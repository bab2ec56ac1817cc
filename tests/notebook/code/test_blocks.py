"""The code in an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.notebook.code.blocks import CodeBlock, code_blocks


def sources(answer: str) -> list[str]:
    return [block.source for block in code_blocks(answer)]


@pytest.mark.parametrize("info", ["python", "Python", "py", "python3", "ipython", "{python}", ""])
@pytest.mark.parametrize("marks", ["```", "~~~", "`````"])
def test_a_fence_holds_a_cell(marks: str, info: str) -> None:
    answer = f"Here:\n\n{marks}{info}\nx = 1\n\nx\n{marks}\n\nThat sets x."
    assert code_blocks(answer) == (CodeBlock("x = 1\n\nx"),)


DOCSTRING = 'def f():\n    """Do it.\n\n    {}\n    """\n    return 1'
FENCE_IN_IT = DOCSTRING.format("```python\n    f()\n    ```")
PROMPT_IN_IT = DOCSTRING.format(">>> f()\n    1")
IF = "if x:\n    y"
ANSWERS: dict[str, tuple[str, list[str]]] = {
    "more than the language": ('``` python title="a.py" {1,3}\nx\n```', ["x"]),
    "several": ("```python\na\n```\nand\n~~~py\nb\n~~~", ["a", "b"]),
    "one that opens before the last is closed": ("```python\na\n```python\nb\n```", ["a", "b"]),
    "one that closes behind code": ("```python\nprint(1)```\nThat prints.", ["print(1)"]),
    "in a list": ("- ```python\n  if x:\n      y\n  ```", [IF]),
    "in a quotation": ("> ```python\n> if x:\n>     y\n> ```", [IF]),
    "indented by a tab": ("1. Do:\n\n\t```python\n\tif x:\n\t    y\n\t```", [IF]),
    "indented as code": ("1. Do:\n\n    ```python\n    if x:\n        y\n    ```", [IF]),
    "a fence in a docstring": (f"```python\n{FENCE_IN_IT}\n```\nDone.", [FENCE_IN_IT]),
    "a shorter fence in a longer one": ('````python\n"""\n```\n"""\n````', ['"""\n```\n"""']),
    "prompts and what was printed": (
        "```\n>>> for i in range(2):\n...     print(i)\n...\n0\n1\n>>> i\n1\n```",
        ["for i in range(2):\n    print(i)\n\ni"],
    ),
    "prompts of IPython": (
        "```pycon\nIn [1]: x = [1,\n   ...:      2]\n\nIn [2]: x\nOut[2]: [1, 2]\n```",
        ["x = [1,\n     2]\nx"],
    ),
    "cells that look as in a prompt to a model": (
        "```python\nIn [1]:\n# Add.\nadd(1, 2)\nOut [1]:\n3\nIn [2]:\nx = 1\n```",
        ["# Add.\nadd(1, 2)\nx = 1"],
    ),
    "a text that looks so": (
        '```python\nmd = """\nIn [1]:\nx\nOut [1]:\n3\n"""\nz = md\n```',
        ['md = """\nIn [1]:\nx\nOut [1]:\n3\n"""\nz = md'],
    ),
    "a prompt in a docstring": (f"```python\n{PROMPT_IN_IT}\n```", [PROMPT_IN_IT]),
    "an error that Python has marked": (
        "It said:\n\n    a['x'] + 1\n    ~~~~~~^^^\n\nWrite:\n\n```python\nprint(1)\n```",
        ["print(1)"],
    ),
    "output beside Python": ("```py\nprint(42)\n```\nprints\n```\n42\n```", ["print(42)"]),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_the_code_of_an_answer_is_what_stands_in_its_fences(
    answer: str, expected: list[str]
) -> None:
    assert sources(answer) == expected


def test_a_fence_without_an_end_reaches_to_the_end() -> None:
    answer = "```python\nx = 1\ny = ("
    block = CodeBlock("x = 1\ny = (", is_closed=False, is_torn=True)
    assert code_blocks(answer) == (block,)
    assert code_blocks(f"{answer}\n") == (replace(block, is_torn=False),)


@pytest.mark.parametrize(
    ("block", "source"),
    [
        ("```bash\nls -l\n```", "%%bash\nls -l"),
        ("```console\n$ make\nmade it\n$ make install\n```", "%%bash\nmake\nmake install"),
        ("```sh\npip install pandas\n```", "%pip install pandas"),
        ("```html\n<p>Hi</p>\n```", "%%html\n<p>Hi</p>"),
        ("```js\nalert(1)\n```", "%%javascript\nalert(1)"),
    ],
)
def test_other_languages_become_cells_of_their_magic(block: str, source: str) -> None:
    (cell,) = code_blocks(block)
    assert cell.source == source


@pytest.mark.parametrize("language", ["json", "sql", "text", "rust", "diff"])
def test_what_can_be_no_cell_is_left_out(language: str) -> None:
    assert code_blocks(f"```{language}\nx\n```") == ()


@pytest.mark.parametrize("answer", ["x = 1\nprint(x)", "%matplotlib inline", "df.head()\n", "df"])
def test_an_answer_that_is_all_code_counts(answer: str) -> None:
    assert sources(answer) == [answer.strip()]


@pytest.mark.parametrize(
    "answer",
    ["", "Hello", "I am sorry.", "42", "Note: important", "this is good", "```python\n```"],
)
def test_an_answer_without_code_has_no_blocks(answer: str) -> None:
    assert code_blocks(answer) == ()


@given(st.text(alphabet="`~\"'>-. \n#xpython=(", max_size=80))
def test_any_answer_can_be_searched(answer: str) -> None:
    assert all(block.source.strip() for block in code_blocks(answer))


@pytest.mark.parametrize(
    "text", ["```python\n'''\n" * 5000, "`" * 100_000, "> - " * 30_000, "> " * 50_000 + "x"]
)
def test_long_answers_are_searched_in_time(text: str) -> None:
    code_blocks(text)  # the suite's timeout would tell
