"""The answers of a notebook that somebody saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.recorded import asked, record, saved, shown

from jupyter_llm.errors import ProvenanceError
from jupyter_llm.notebook.files import read_notebook
from jupyter_llm.records.records import GIVEN_BEGIN, answers_in

TEXT = "Because.\n\n(It is so.)\n"


def test_what_was_thought_is_no_part_of_a_recorded_answer(tmp_path: Path) -> None:
    thought = replace(record(TEXT), reasoning_sha256="0" * 64)
    output = shown(f"(thought for 12 tokens)\n\n{TEXT}\n\n(a note)", thought)
    path = saved(tmp_path / "a.ipynb", [asked(output)])
    (answer,) = answers_in(read_notebook(path))
    assert answer.text == TEXT
    assert answer.is_as_recorded


@pytest.mark.parametrize("note", ["", "seed 7"])
def test_the_text_of_an_answer_is_read_without_what_was_known_before(
    tmp_path: Path, note: str
) -> None:
    text = " a key that is not there."
    known = f"KeyError: 'citi'\n\n{GIVEN_BEGIN}"
    path = saved(tmp_path / "a.ipynb", [asked(shown(known + text, record(text), note))])
    (answer,) = answers_in(read_notebook(path))
    assert answer.text == text
    assert answer.is_as_recorded


@pytest.mark.parametrize("note", ["", "seed 7", "interrupted after 2 tokens"])
@pytest.mark.parametrize("text", [TEXT, "", "no note", "ends so\n\n(seed 7)"])
def test_the_text_of_an_answer_is_read_without_the_note(
    tmp_path: Path, text: str, note: str
) -> None:
    path = saved(tmp_path / "a.ipynb", [asked(shown(text, record(text), note))])
    (answer,) = answers_in(read_notebook(path))
    assert answer.text == text
    assert answer.is_as_recorded
    assert answer.place == "cell 1 [1]"


def test_a_damaged_record_is_an_answer_of_unknown_origin(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", [asked(shown("Yes", {"version": 1}))])
    (answer,) = answers_in(read_notebook(path))
    assert isinstance(answer.record, ProvenanceError)
    assert not answer.is_as_recorded


@pytest.mark.parametrize("data", [None, [], "x", {"text/plain": 5}, {"text/html": "Yes"}])
def test_an_output_of_any_shape_is_read(tmp_path: Path, data: Any) -> None:
    cell = asked(shown("Yes", record()))
    notebook = read_notebook(saved(tmp_path / "a.ipynb", [cell]))
    notebook["cells"][0]["outputs"][0]["data"] = data
    (answer,) = answers_in(notebook)
    assert answer.text is None
