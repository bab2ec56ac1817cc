"""A model that long contexts harm is told of the notebook only where a prompt is about it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.kernel import running_kernel
from support.paths import DATA
from support.residents import residents_of
from support.scripted import ScriptedEngine
from support.shell import cell, run

from jupyter_llm import llm
from jupyter_llm.engine.recommended import Recommended

ALONE = "sent without the notebook (`-c all` includes it)"
QUESTIONS = tomllib.loads((DATA / "first_questions.toml").read_text("utf-8"))


@pytest.fixture
def small(shell: InteractiveShell, resident: ScriptedEngine) -> ScriptedEngine:
    """A scripted engine of 135 million parameters, loaded, in a notebook in which cells ran."""
    size = 135_000_000
    resident.info = replace(resident.info, num_parameters=size, sampling=Recommended.of((), size))
    cell(shell, "rows = [1, 2, 3]\nlen(rows)")
    cell(shell, "import random\nspare = {'a': 1}")
    return resident


def told(engine: ScriptedEngine) -> str:
    return engine.format(engine.requests[-1].prompt)


@pytest.mark.parametrize(
    "prompt", [f"Name a {what}." for what in ("fruit", "random fruit", "{{rows[0]}}")]
)
def test_a_plain_prompt_is_asked_as_if_there_were_no_notebook(
    shell: InteractiveShell, small: ScriptedEngine, prompt: str
) -> None:
    text = cell(shell, f"%llm {prompt}").text
    alone = told(small)
    assert ALONE in text
    assert ALONE not in cell(shell, f"%llm --new -c none {prompt}").text
    assert alone == told(small)
    assert "In [" not in alone
    assert "Variables" not in alone


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ("How long is rows?", [1]),
        ("--vars none How long is rows?", [1]),
        ("--vars rows Go on.", [1]),
        ("What is in @spare?", [2]),
        ("What is `random`?", [2]),
        ("Explain the last cell.", [2]),
        ("What does this do?", [2]),
        ("What is in In [1]?", [1]),
        ("Which variables are there?", [1, 2]),
    ],
)
def test_a_prompt_about_cells_is_told_them(
    shell: InteractiveShell, small: ScriptedEngine, prompt: str, counts: list[int]
) -> None:
    assert ALONE not in cell(shell, f"%llm {prompt}").text
    assert [n for n in (1, 2) if f"In [{n}]:\n" in told(small)] == counts


def test_cells_wait_for_a_prompt_about_them_and_are_told_once(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    cell(shell, "%llm Name a fruit.")
    cell(shell, "%llm How long is rows?")
    cell(shell, "%llm And spare?")
    text = cell(shell, "%llm Name a tree.").text
    assert told(small).count("rows = [1, 2, 3]") == 1
    assert ALONE not in text  # there was nothing more to tell


def test_a_variable_of_below_is_none_that_a_prompt_names_when_it_is_asked_again(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    def ask(prompt: str) -> tuple[str, bool]:
        text = cell(shell, f"%llm {prompt}", "ask").text
        return told(small), ALONE in text

    cell(shell, "print('fruit')", "above")
    first = ask("Name a fruit.")
    cell(shell, "fruit = 'kiwi'", "below")
    assert ask("Name a fruit.") == first
    assert first[1]
    for prompt in ("Name a @fruit.", "--vars fruit Name one."):
        assert not ask(prompt)[1]
    cell(shell, "pears = [1, 2]", "above")
    assert "pears = [1, 2]" in ask("How many are in pears?")[0]


def test_the_context_command_says_why(shell: InteractiveShell, small: ScriptedEngine) -> None:
    cell(shell, "%llm /pin 1")
    text = cell(shell, "%llm /context").text
    assert "Long contexts harm a model of 135M parameters" in text
    assert "| in | pinned, with the next prompt |" in text
    assert "| out | with a prompt about it |" in text
    everything = run(shell, "%llm -c all /context").text
    assert "harm" not in everything
    assert everything.count("| with the next prompt |") == 1
    cell(shell, "password = 'correct horse battery'")
    assert "1 secret is hidden in it: `password`" in cell(shell, "%llm /context").text


def test_status_tells_the_sampling_and_who_says_so(
    shell: InteractiveShell, small: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm.current.residents, "all", residents_of(small))
    row = "temperature 0.2, top_k 40, top_p 0.95, min_p 0.05, repeat_penalty 1"
    assert row in run(shell, "%llm /status").text
    run(shell, "%config LLMMagics.temperature = 0")
    assert "temperature 0 (set here), top_k 40" in run(shell, "%llm /status").text


def test_none_of_the_forty_plain_questions_is_told_and_all_about_the_notebook_are(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    """So `auto` is what `none` is to the ones, and what `all` is to the others."""
    small.replies.extend(["fine"] * 200)
    *cells, fails = (code.strip() for code in QUESTIONS["cells"])
    for code in cells:
        cell(shell, code)
    cell_fails = shell.run_cell(fails, store_history=True)
    assert cell_fails.error_in_exec is not None

    def num_alone(questions: Any) -> int:
        asked = [cell(shell, f"%%llm --new\n{question}").text for question, _ in questions]
        return sum(ALONE in text for text in asked)

    assert num_alone(QUESTIONS["plain"]) == 40
    assert num_alone(QUESTIONS["notebook"]) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("machine_is_tested")
def test_the_first_answers_are_right(tmp_path: Path, smollm2: Path) -> None:
    """As somebody meets it: the extension, a cell, and a few prompts."""
    asked = ("Name a fruit.", "Say kettle.", "What is 2 + 2?", "What is the capital of Japan?")
    said: list[str] = []
    with running_kernel(tmp_path, JUPYTER_LLM_MODEL=str(smollm2)) as kernel:
        kernel.execute("%load_ext jupyter_llm")
        kernel.execute("numbers = [3, 1, 2]\nprint(sorted(numbers))")
        for prompt in asked:
            kernel.execute(f"%llm -t 0 -n 40 --new -q -o answer {prompt}")
            said.append(kernel.execute("print(answer)").text)
    right = dict(QUESTIONS["plain"])
    found = [
        re.search(right[q], answer, re.IGNORECASE) for q, answer in zip(asked, said, strict=True)
    ]
    assert all(found), said
