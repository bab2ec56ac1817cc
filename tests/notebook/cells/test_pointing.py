"""Which prompts are about the notebook, by their words."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.cells.events import CellEvent, Output
from jupyter_llm.notebook.cells.pointing import points_at_cells, referenced_cells

FAILED = CellEvent(number=1, source="d['a']", outputs=(Output("error", "KeyError: 'a'\n  In [1]"),))
DOTTED = CellEvent(number=2, source="f()", outputs=(Output("error", "a.b.ParserError: no"),))

ABOUT = (
    "Explain this.",
    "What does this do?",
    "What do these numbers mean?",
    "What is printed above?",
    "Why did the last cell fail?",
    "What does the first line of cell 3 do?",
    "What is in Out[4]?",
    "What does the error mean?",
    "Why is there a warning in the last output?",
    "Plot the data.",
    "Which columns have gaps?",
    "Is my function right?",
    "What did I compute?",
    "What went wrong?",
    "What's wrong here?",
    "It does not work. Why?",
    "Describe the figure.",
    "What was printed?",
    "Explain the previous result: why is it negative?",
    "Use the dataframe to find the warmest day.",
)
PLAIN = (
    "Name a fruit.",
    "What is the capital of France?",
    "What is 2 + 2?",
    "What is called the powerhouse of the cell?",
    "How many cells are in the human body?",
    "What is the plot of Hamlet?",
    "In one sentence: what is a Jupyter notebook?",
    "What is the exception to the rule?",
    "What happened this year in history?",
    "Complete this sentence: The cat sat on the",
    "Explain this code:\n```python\nx = 1\n```",
    "What is wrong with me being late?",
    "Write a function that reverses a string.",
    "What is the function of the heart?",
    "What is the value of pi?",
    "Is that true?",
    "Who sat in the last row of the bus?",
    "What is the output of print(1 + 1)?",
    "What is a KeyError?",
    "Tell me a joke about this world.",
)


@pytest.mark.parametrize("prompt", [*ABOUT, *PLAIN])
def test_what_points_at_cells_is_about_them_and_nothing_else(prompt: str) -> None:
    assert points_at_cells(prompt) is (prompt in ABOUT)
    assert prompt in ABOUT or not referenced_cells(prompt, (DOTTED,))


@pytest.mark.parametrize(
    ("prompt", "is_about"),
    [
        ("What is a KeyError?", True),
        ("Why was there a ParserError, of all things?", True),
        ("How warm is it in Oslo?", True),
        ("What is the capital of Norway?", False),
        ("Oslo is a town. Where?", False),  # any word begins a sentence so
        ("Write Python that sorts a list.", False),
    ],
)
def test_a_name_that_stands_in_a_cell_means_that(prompt: str, is_about: bool) -> None:  # noqa: FBT001
    shown = Output("stdout", "Oslo 4\nPython 3.13\n")
    weather = CellEvent(number=3, source="weather", outputs=(shown,))
    assert bool(referenced_cells(prompt, (FAILED, DOTTED, weather))) is is_about


@pytest.mark.parametrize(
    ("prompt", "named", "numbers"),
    [
        ("What is x?", ["x"], [1, 4]),
        ("What are x and y?", ["x", "y"], [1, 2, 4]),
        ("What is z?", ["z"], []),  # it came from no cell
        ("What does cell 2 do?", [], [2]),
        ("Compare In [1] with Out[2].", [], [1, 2]),
        ("Explain this.", [], [4]),
        ("Why did it fail?", [], [3]),
        ("What have I done so far?", [], [1, 2, 3, 4]),
        ("Which variables are there?", [], [1, 2, 3, 4]),
        ("Name a fruit.", [], []),
    ],
)
def test_of_the_cells_only_those_are_meant_that_a_prompt_is_about(
    prompt: str, named: list[str], numbers: list[int]
) -> None:
    sources = ("x = 1", "y = 'exact'", "1 / 0", "x + 1")
    failed = (Output("error", "ZeroDivisionError: division by zero"),)
    cells = [
        CellEvent(number=n, source=s, execution_count=n, outputs=failed if n == 3 else ())
        for n, s in enumerate(sources, 1)
    ]
    assert sorted(cell.number for cell in referenced_cells(prompt, cells, named)) == numbers


def test_a_cell_that_ran_again_is_meant_by_its_new_number_and_is_the_last_one() -> None:
    again = CellEvent(number=1, source="x = 1", execution_count=1, again=(3,))
    other = CellEvent(number=2, source="y = 2", execution_count=2)
    for prompt in ("What does cell 3 do?", "What does cell 1 do?", "Explain this."):
        assert referenced_cells(prompt, (again, other)) == {again}
