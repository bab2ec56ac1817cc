"""The code in an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.notebook.code.blocks import CodeBlock, code_blocks


def sources(answer: str) -> list[str]:
    return [block.source for block in code_blocks(answer)]


def test_cells_that_look_as_in_the_prompt_are_their_source_alone() -> None:
    answer = "```python\nIn [1]:\n# Add.\nadd(1, 2)\nOut [1]:\n3\nIn [2]:\nx = 1\n```"
    (block,) = code_blocks(answer)
    assert block.source == "# Add.\nadd(1, 2)\nx = 1"


@pytest.mark.parametrize("info", ["python", "Python", "py", "python3", "ipython", "{python}", ""])
@pytest.mark.parametrize("marks", ["```", "~~~", "`````"])
def test_a_fence_holds_a_cell(marks: str, info: str) -> None:
    answer = f"Here:\n\n{marks}{info}\nx = 1\n\nx\n{marks}\n\nThat sets x."
    assert code_blocks(answer) == (CodeBlock("x = 1\n\nx"),)


def test_a_fence_may_say_more_than_its_language() -> None:
    assert sources('``` python title="a.py" {1,3}\nx\n```') == ["x"]
    assert sources("```{.python .numberLines}\nx\n```") == ["x"]


def test_several_blocks_are_several_cells() -> None:
    assert sources("```python\na\n```\nand\n~~~py\nb\n~~~") == ["a", "b"]


def test_a_fence_without_an_end_reaches_to_the_end() -> None:
    assert code_blocks("```python\nx = 1\ny = (") == (CodeBlock("x = 1\ny = (", is_closed=False),)


def test_a_fence_that_opens_before_the_last_was_closed_closes_it() -> None:
    assert sources("```python\na = 1\n```python\nb = 2\n```") == ["a = 1", "b = 2"]


def test_a_fence_may_close_behind_code() -> None:
    assert sources("```python\nprint(1)```\nThat prints.") == ["print(1)"]


@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_indentation_of_a_fence_is_no_part_of_the_code(indent: str) -> None:
    lines = ["```python", "if x:", "    y = 1", "```"]
    answer = "1. Do this:\n\n" + "\n".join(indent + line for line in lines)
    assert sources(answer) == ["if x:\n    y = 1"]


def test_a_fence_in_a_list_or_a_quotation() -> None:
    assert sources("- ```python\n  if x:\n      y\n  ```") == ["if x:\n    y"]
    assert sources("> ```python\n> if x:\n>     y\n> ```") == ["if x:\n    y"]


def test_a_fence_inside_a_docstring_is_part_of_it() -> None:
    code = 'def f():\n    """Do it.\n\n    ```python\n    f()\n    ```\n    """\n    return 1'
    assert sources(f"```python\n{code}\n```\nDone.") == [code]


def test_a_docstring_that_never_ends_does_not_swallow_the_answer() -> None:
    answer = '```python\ndef f():\n    """Do it.\n```\nNow in prose.\n```python\nx\n```'
    assert sources(answer) == ['def f():\n    """Do it.', "x"]


def test_longer_fences_hold_shorter_ones() -> None:
    code = 'text = """\n```\n"""'
    assert sources(f"````python\n{code}\n````") == [code]


def test_prompts_and_what_was_printed_are_left_out() -> None:
    assert sources("```\n>>> for i in range(2):\n...     print(i)\n...\n0\n1\n>>> i\n1\n```") == [
        "for i in range(2):\n    print(i)\n\ni"
    ]
    assert sources(
        "```pycon\nIn [1]: x = [1,\n   ...:      2]\n\nIn [2]: x\nOut[2]: [1, 2]\n```"
    ) == ["x = [1,\n     2]\nx"]


def test_a_prompt_on_the_first_line_alone_is_taken_off_too() -> None:
    assert sources("```python\n>>> def f():\n    return 1\n```") == ["def f():\n    return 1"]


def test_prompts_in_a_docstring_stay() -> None:
    code = 'def f():\n    """Do it.\n\n    >>> f()\n    1\n    """\n    return 1'
    assert sources(f"```python\n{code}\n```") == [code]


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


def test_a_block_that_says_nothing_is_output_beside_one_that_says_python() -> None:
    assert sources("```python\nprint(42)\n```\nprints\n```\n42\n```") == ["print(42)"]


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
