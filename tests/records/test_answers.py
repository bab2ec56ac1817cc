"""What was answered: in this kernel, and in a notebook that somebody saved."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.recorded import asked, record, saved, shown

from jupyter_llm.common import database
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.notebook.files import read_notebook
from jupyter_llm.records.answers import AnswerLog, answers_in
from jupyter_llm.records.prompt_store import KeptPrompt, PromptStore
from jupyter_llm.records.records import GIVEN_BEGIN

TEXT = "Because.\n\n(It is so.)\n"
REQUEST = Request(
    prompt=(Message("system", "Be brief."), Message("user", "x = 5\n\n Why is it?\n"))
)


def finished(text: str = TEXT, **changes: Any) -> Future[Completion]:
    future: Future[Completion] = Future()
    completion = Completion(
        text=text, finish_reason="stop", usage=Usage(), model="tiny", provenance=record(text)
    )
    future.set_result(replace(completion, **changes))
    return future


def test_what_was_thought_is_no_part_of_a_recorded_answer(tmp_path: Path) -> None:
    thought = replace(record(TEXT), reasoning_sha256="0" * 64)
    output = shown(f"(thought for 12 tokens)\n\n{TEXT}\n\n(a note)", thought)
    path = saved(tmp_path / "a.ipynb", [asked(output)])
    (answer,) = answers_in(read_notebook(path))
    assert answer.text == TEXT
    assert answer.is_as_recorded


class TestLog:
    @pytest.fixture
    def store(self) -> PromptStore:
        return PromptStore()

    def test_an_answer_is_kept_with_its_prompt(self, store: PromptStore) -> None:
        log = AnswerLog(store)
        log.log(REQUEST, finished())
        (answer,) = log
        assert answer.text == TEXT
        assert answer.place == "Why is it?"
        assert answer.prompt == KeptPrompt(REQUEST.prompt)
        assert answer.is_as_recorded
        assert database.store().flush(10)
        assert store.find(record().prompt_sha256) == answer.prompt

    def test_what_is_not_saved_is_not_on_disk(self, store: PromptStore, home: Path) -> None:
        log = AnswerLog(store)
        log.log(replace(REQUEST, is_private=True), finished())
        assert len(log) == 1
        assert database.store().flush(10)
        assert list(home.iterdir()) == []

    def test_what_is_forgotten_before_the_engine_tells_of_it_is_kept_nowhere(
        self, store: PromptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log, future = AnswerLog(store), finished()
        with monkeypatch.context() as late:
            late.setattr(Future, "add_done_callback", lambda _future, _note: None)
            log.log(REQUEST, future)
        log.forget({record().prompt_sha256})
        assert list(log) == []
        assert store.find(record().prompt_sha256) is None

    def test_what_is_answered_after_all_were_cleared_is_kept_nowhere(
        self, store: PromptStore
    ) -> None:
        log = AnswerLog(store)
        future: Future[Completion] = Future()
        log.log(REQUEST, future)
        log.clear()
        future.set_result(finished().result())
        assert list(log) == []
        assert store.find(record().prompt_sha256) is None


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
