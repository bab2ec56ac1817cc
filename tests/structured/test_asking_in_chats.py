"""Chats whose answers have a shape: an engine answers from a script."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_type

import pytest
from support.scripted import ScriptedEngine, messages_of

from jupyter_llm import Completion, ShapedAnswer, ShapeError, llm
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.errors import OptionError
from jupyter_llm.structured.shape import shape_of


@dataclass
class Person:
    name: str


ANN = '{"name": "Ann"}'


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> ScriptedEngine:
    engine = ScriptedEngine([ANN, "Yes", "Bye."])
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine


def test_a_chat_answers_in_a_shape_and_remembers_the_text(engine: ScriptedEngine) -> None:
    chat = llm.chat()
    answer = chat("Who?", schema=Person)
    assert isinstance(answer, ShapedAnswer)
    assert answer.value == Person("Ann")
    assert chat("Sure?", schema=bool).value is True
    assert isinstance(engine.requests[1].constraint, OneOf)
    bye = chat("Bye")
    assert_type(bye, Completion)
    assert [turn.prompt for turn in chat.turns] == ["Who?", "Sure?", "Bye"]
    sent = messages_of(engine.requests[2].prompt)
    assert [message.content for message in sent[1::2]] == [ANN, "Yes"]
    assert engine.requests[2].constraint is None


def test_what_is_told_of_a_shape_is_repeated_as_it_was_sent(engine: ScriptedEngine) -> None:
    chat = llm.chat()
    shape = replace(shape_of(Person), instruction="Name somebody.")
    assert list(chat.stream("Who?", schema=shape).partials())[-1] == Person("Ann")
    chat("Sure?")
    first, second = (messages_of(request.prompt) for request in engine.requests)
    assert second[0] == first[0]
    assert first[0].content == "Name somebody.\n\nWho?"
    assert chat.turns[0].prompt == "Who?"


def test_half_an_answer_in_a_chat_is_a_turn_and_an_error(engine: ScriptedEngine) -> None:
    chat = llm.chat()
    with pytest.raises(ShapeError, match="cut off"):
        chat("Who?", schema=Person, max_tokens=3)
    assert chat.turns[0].completion.text == ANN[:3]


def test_what_a_chat_cannot_keep_to_is_refused_before_it_is_sent(engine: ScriptedEngine) -> None:
    for options in ({"stop": "."}, {"regex": "a"}):
        with pytest.raises(OptionError):
            llm.chat()("Who?", schema=Person, **options)
    assert engine.requests == []
