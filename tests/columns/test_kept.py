"""Answers of rows outlast a kernel; whoever does not ask the same cannot read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stored import rows, stored_bytes

from jupyter_llm import llm
from jupyter_llm.api import LLM
from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.columns import kept
from jupyter_llm.columns.kept import KeptAnswer, find, put, secret_of
from jupyter_llm.engine.completion import Choice, Score
from jupyter_llm.engine.constraint import BeginsWith, OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request

CHOICE = Choice((Score("a", (-0.1,)), Score("b", (-2.5, -0.5))))
ANSWER = KeptAnswer("a whole secret", reasoning="since", choice=CHOICE)


def request(text: str = "Who?", **more: object) -> Request:
    return Request(prompt=(Message("user", text),), **more)  # type: ignore[arg-type]


def secret(number: int) -> bytes:
    return secret_of(request(f"Row {number}"), "model")


def test_what_is_kept_is_found() -> None:
    for n in range(1200):
        put(secret(n), KeptAnswer(str(n)), None)
    put(secret(7), ANSWER, None)
    found = find([secret(n) for n in range(1300)])
    assert len(found) == 1200
    assert found[secret(7)] == ANSWER
    assert found[secret(8)] == KeptAnswer("8")


def test_an_answer_is_kept_for_what_it_depends_on_alone() -> None:
    one = request()
    others = [
        secret_of(one, "another model"),
        secret_of(request("What?"), "model"),
        secret_of(request(params=SamplingParams(seed=1)), "model"),
        secret_of(request(constraint=OneOf(("a", "b"))), "model"),
        secret_of(request(constraint=BeginsWith(("a", "b"))), "model"),
    ]
    assert len({secret_of(one, "model"), *others}) == 6
    assert secret_of(one, "model") == secret_of(request(), "model")


def test_nobody_can_read_it_without_asking_the_same() -> None:
    put(secret(1), ANSWER, None)
    assert rows("SELECT count(*) FROM kept") == [(1,)]
    data = stored_bytes()
    assert b"secret" not in data
    assert secret(1) not in data


def test_a_damaged_answer_is_asked_again() -> None:
    for n in range(4):
        put(secret(n), ANSWER, None)
    stored = [bytearray(data) for (data,) in rows("SELECT answer FROM kept")]
    stored[0][-1] ^= 1
    for number, data in enumerate([bytes(stored[0]), b"", "text"]):
        name = kept._name(secret(number))
        rows("UPDATE kept SET answer = ? WHERE name = ?", data, name)
    assert list(find([secret(n) for n in range(4)])) == [secret(3)]
    put(secret(0), ANSWER, None)
    assert find([secret(0)]) == {secret(0): ANSWER}


def test_the_oldest_go_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_BYTES", 2500)
    for number in range(100):
        put(secret(number), ANSWER, None)
    found = find([secret(n) for n in range(100)])
    assert 5 < len(found) < 15
    assert secret(99) in found


def owner(path: Path) -> bytes | None:
    return PromptStore(lambda: path).owner


def test_a_notebooks_answers_go_with_its_chats(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.ipynb", tmp_path / "other.ipynb"
    put(secret(2), ANSWER, owner(other))
    put(secret(1), ANSWER, owner(mine))
    PromptStore(lambda: mine).clear()
    assert list(find([secret(1), secret(2)])) == [secret(2)]
    put(secret(3), ANSWER, llm.prompts.owner)
    llm.chats.clear()
    assert find([secret(3)]) == {}


def test_a_notebooks_answers_go_along_with_its_rename(tmp_path: Path) -> None:
    old, new, another = (tmp_path / f"{name}.ipynb" for name in ("old", "new", "another"))
    told = LLM()
    told.notebook.moved(old, old)
    put(secret(1), ANSWER, told.prompts.owner)
    told.notebook.moved(old, new)
    assert told.archive.path == new
    PromptStore(lambda: old).clear()
    assert list(find([secret(1)])) == [secret(1)]
    told.notebook.report(another)
    told.prompts.clear()
    assert list(find([secret(1)])) == [secret(1)]
    PromptStore(lambda: new).clear()
    assert find([secret(1)]) == {}
