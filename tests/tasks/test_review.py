"""`/review` and `/explain error`: what is said without the model, and with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.scripted import ScriptedEngine
from support.watch import Watch

from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Completion, PromptInterrupted, Usage
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.events import Output
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.review import Review, review


def reviewed(
    watch: Watch, argument: str = "", *, num_parameters: int = 10_000, said: str = ""
) -> Review:
    engine = ScriptedEngine()
    engine.info = replace(engine.info, num_parameters=num_parameters)
    return review(replace(watch.task(said), engine=lambda: engine), argument)


def test_a_review_names_line_code_reason_and_how_sure_it_is(watch: Watch) -> None:
    watch.run("def power(x):\n    return x ^ 2")
    assert str(reviewed(watch, "power")) == (
        "The function `power`, 1 thing to look at:\n\n"
        "- **line 2** `return x ^ 2`: `^` is no power but a bitwise xor; the power is `**` "
        "(likely)\n\n"
        "Looked at the rules of pyflakes and our own; nothing was run."
    )
    assert watch.prompts == []  # what a small model would say is worth nothing


def test_what_a_large_model_says_of_the_logic_stays_a_remark(watch: Watch) -> None:
    watch.run("def f(x):\n    return x")
    found = reviewed(watch, "f", num_parameters=7_000_000_000, said="Line 2 is wrong.")
    assert len(found.words) == len(watch.prompts) == 2
    assert found.findings == ()
    assert str(found).startswith(
        "Nothing found in the function `f`.\n\n"
        "The model's remarks, which nobody has checked:\n\nLine 2 is wrong."
    )


@pytest.mark.parametrize(
    ("cell", "subject", "why"),
    [
        ("%%html\n<b>x</b>", "", "begins with %%html"),
        ("rows = []", "rows", "no source of `rows` to review"),
    ],
)
def test_only_python_is_reviewed(watch: Watch, cell: str, subject: str, why: str) -> None:
    watch.run(cell)
    with pytest.raises(MagicUsageError, match=why):
        review(watch.task(), subject)


def test_an_interrupt_keeps_what_the_rules_found(watch: Watch) -> None:
    watch.run("def f(items=[]):\n    items.append(1)")

    def engine() -> Engine:
        raise PromptInterrupted(said="stopped before all texts were read.")

    with pytest.raises(PromptInterrupted, match="before all texts") as caught:
        review(replace(watch.task(), engine=engine))
    assert "line 1" in str(caught.value.best)
    assert "Looked at the rules of pyflakes and our own; nothing was run" in str(caught.value.best)


@pytest.fixture
def known(watch: Watch) -> Callable[..., str]:
    """What is shown of the last error before the model's words."""

    def known(argument: str = "error") -> str:
        shown: list[str] = []

        def ask(_prompt: str, *, begin: str, known: str) -> Completion:
            shown.extend([known, begin])
            return Completion(text="", finish_reason="stop", usage=Usage(), model="script")

        explain(replace(watch.task(), on_ask=ask), argument)
        return "".join(shown)

    return known


@pytest.mark.parametrize("argument", ["error", "2", ""])
def test_an_explained_error_begins_with_what_is_known(
    watch: Watch, known: Callable[..., str], argument: str
) -> None:
    watch.run("row = {'city': 'Oslo', 'price': 3}")
    watch.run("x = 1\nprint(row['citi'])")
    assert known(argument) == (
        "```text\nKeyError: 'citi'\n```\n\n"
        "It came from cell [2], line 2:\n\n"
        "```python\nprint(row['citi'])\n```\n\n"
        "There is no key 'citi'; near it is 'city'.\n\n"
        "```text\nrow: dict, 2 items, keys: str; values: str, int\n"
        "{'city': 'Oslo', 'price': 3}\n```\n\n"
        "The error comes from"
    )


def test_an_explained_error_says_how_it_is_mended(watch: Watch, known: Callable[..., str]) -> None:
    watch.run("Counter(['a'])")
    assert "; mended it is `from collections import Counter`.\n" in known()


def test_a_cell_that_cannot_be_read_is_shown_where_python_stopped(
    watch: Watch, known: Callable[..., str]
) -> None:
    watch.run("x = 1\nprint(x")
    assert "Python stopped reading cell [1] at line 2:\n\n```python\nprint(x\n" in known()


def test_what_comes_out_of_a_cell_is_only_asked_where_it_is_known(watch: Watch) -> None:
    cell = watch.run("x = 1\nx")
    explain(watch.task())
    watch.cells[-1] = replace(cell, outputs=(Output("result", "1"),))
    explain(watch.task())
    assert ["what comes out" in prompt for prompt in watch.prompts] == [False, True]
