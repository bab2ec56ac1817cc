"""The log of what was answered in this kernel."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.recorded import record

from jupyter_llm.ask.log import AnswerLog
from jupyter_llm.ask.prompt_store import KeptPrompt, PromptStore
from jupyter_llm.common import database
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.request import Message, Request

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


@pytest.fixture
def store() -> PromptStore:
    return PromptStore()


def test_an_answer_is_kept_with_its_prompt(store: PromptStore) -> None:
    log = AnswerLog(store)
    log.log(REQUEST, finished())
    (answer,) = log
    assert answer.text == TEXT
    assert answer.place == "Why is it?"
    assert answer.prompt == KeptPrompt(REQUEST.prompt)
    assert answer.is_as_recorded
    assert database.store().flush(10)
    assert store.find(record().prompt_sha256) == answer.prompt


def test_what_is_not_saved_is_not_on_disk(store: PromptStore, home: Path) -> None:
    log = AnswerLog(store)
    log.log(replace(REQUEST, is_private=True), finished())
    assert len(log) == 1
    assert database.store().flush(10)
    assert list(home.iterdir()) == []


def test_what_is_forgotten_before_the_engine_tells_of_it_is_kept_nowhere(
    store: PromptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, future = AnswerLog(store), finished()
    with monkeypatch.context() as late:
        late.setattr(Future, "add_done_callback", lambda _future, _note: None)
        log.log(REQUEST, future)
    log.forget({record().prompt_sha256})
    assert list(log) == []
    assert store.find(record().prompt_sha256) is None


def test_what_is_answered_after_all_were_cleared_is_kept_nowhere(store: PromptStore) -> None:
    log = AnswerLog(store)
    future: Future[Completion] = Future()
    log.log(REQUEST, future)
    log.clear()
    future.set_result(finished().result())
    assert list(log) == []
    assert store.find(record().prompt_sha256) is None
