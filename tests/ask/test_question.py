"""Answers with a shape: asked for, read, cut off, streamed; an engine answers from a script."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, assert_type

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pydantic import BaseModel, field_validator
from support.scripted import ScriptedEngine, messages_of

from jupyter_llm import (
    BatchError,
    Completion,
    Quote,
    ShapedAnswer,
    ShapedStream,
    ShapeError,
    llm,
)
from jupyter_llm.ask.shape import shape_of
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.engine.provenance import METADATA_KEY, Provenance
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import OptionError
from jupyter_llm.records.records import answers_in


@dataclass
class Person:
    name: str
    age: int


ANN = '{"name": "Ann", "age": 3}'


def test_an_answer_is_a_python_object_with_its_completion_beside_it(engine: ScriptedEngine) -> None:
    engine.replies.append(ANN)
    answer = llm("Who?", schema=Person)
    assert answer.value == Person("Ann", 3)
    assert answer.text == str(answer) == answer.completion.text == ANN
    assert repr(answer) == "ShapedAnswer(Person(name='Ann', age=3))"
    (request,) = engine.requests
    assert isinstance(request.constraint, Grammar)
    assert messages_of(request.prompt)[-1].content.endswith("Who?")


def test_a_model_is_told_to_explain_where_it_is_to_give_reasons(engine: ScriptedEngine) -> None:
    engine.replies.extend(["Yes", "Yes", "42"])
    llm("Is it?", schema=bool, reason=20)
    llm.chat()("Is it?", schema=bool, reason=20)
    llm("How many?", regex="[0-9]+", reason=20)
    first, in_chat, pattern = [messages_of(one.prompt)[-1].content for one in engine.requests]
    explain = "Explain your answer in a sentence."
    assert first == in_chat == f"{explain} Answer with one of: Yes, No.\n\nIs it?"
    assert pattern == f"{explain}\n\nHow many?"


class Adult(BaseModel):
    age: int

    @field_validator("age")
    @classmethod
    def is_grown(cls, age: int) -> int:
        if age < 18:
            raise ValueError(f"{age} is too young")
        return age


@pytest.mark.parametrize("is_async", [False, True])
def test_a_value_that_a_validator_refuses_is_asked_for_again_with_its_message(
    engine: ScriptedEngine, *, is_async: bool
) -> None:
    def ask(**options: Any) -> Any:
        coroutine = llm.acomplete("Who?", schema=Adult, **options) if is_async else None
        return asyncio.run(coroutine) if coroutine else llm("Who?", schema=Adult, **options)

    engine.replies.extend(['{"age": 3}', '{"age": 4}', '{"age": 30}'])
    assert ask(retries=2).value.age == 30
    draft, asked = messages_of(engine.requests[-1].prompt)[-2:]
    assert draft.content == '{"age": 4}'
    assert "4 is too young" in asked.content
    assert asked.content.endswith("Who?")
    for retries, num_asked in ((0, 1), (1, 2)):
        engine.requests.clear()
        engine.replies.extend(['{"age": 3}'] * num_asked)
        with pytest.raises(ShapeError, match="3 is too young"):
            ask(retries=retries)
        assert len(engine.requests) == num_asked


@pytest.mark.parametrize("road", ["batch", "map"])
def test_a_row_whose_value_a_validator_refuses_is_asked_again(
    engine: ScriptedEngine, road: str
) -> None:
    engine.replies.extend(['{"age": 3}', '{"age": 30}', '{"age": 40}'])
    options: Any = {"schema": Adult, "retries": 1}
    if road == "batch":
        ages = [answer.value.age for answer in llm.batch(["Who?", "And who?"], **options)]
    else:
        ages = [one.age for one in llm.map(["Who?", "And who?"], "{{item}}", keep=False, **options)]
    assert set(ages) == {30, 40}
    assert "3 is too young" in engine.format(engine.requests[-1].prompt)
    with pytest.raises(OptionError, match="retries= is a whole number"):
        getattr(llm, road)(["Who?"], *(["{{item}}"] if road == "map" else []), retries=1)


def test_a_request_for_another_value_repeats_the_prompt_without_older_refusals(
    engine: ScriptedEngine,
) -> None:
    engine.replies.extend(['{"age": 3}', '{"age": 4}', '{"age": 30}'])
    llm("Who?", schema=Adult, retries=2)
    first, *_, last = messages_of(engine.requests[-1].prompt)
    assert "4 is too young" in last.content
    assert "3 is too young" not in last.content
    assert last.content.endswith(first.content)


def test_only_an_answer_to_a_chat_prompt_with_a_shape_has_retries(engine: ScriptedEngine) -> None:
    raw = {"schema": Adult, "retries": 1, "raw": True}
    for options in ({"retries": 1}, {"schema": Adult, "retries": -1}, raw):
        with pytest.raises(OptionError, match="retries= is a whole number"):
            llm("Who?", **options)
    assert engine.requests == []


def test_without_a_shape_it_is_a_completion_as_ever(engine: ScriptedEngine) -> None:
    engine.replies.append(ANN)
    assert isinstance(llm("Who?", schema=None), Completion)
    assert engine.requests[0].constraint is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"schema": int, "regex": "a"}, "schema and regex"),
        ({"schema": int, "stop": "."}, "stop= cannot be used with a shape"),
        ({"choices": "ab", "ignore_eos": True}, "ignore_eos= cannot be used with a shape"),
        ({"reason": 20}, "reason= comes before a shape"),
        ({"choicse": ["a"]}, "choicse"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(
    engine: ScriptedEngine, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        llm("Which?", **options)
    assert "\n" not in str(caught.value)
    assert engine.requests == []


def test_raw_text_goes_on_in_a_shape_and_is_told_nothing(engine: ScriptedEngine) -> None:
    engine.replies.append("7")
    assert llm.stream("2 + 5 = ", raw=True, regex="[0-9]").result().value == "7"
    assert engine.requests[0].prompt == "2 + 5 = "


@pytest.mark.parametrize(
    ("reply", "options", "says", "partial"),
    [
        (ANN, {"max_tokens": 17}, "cut off after 17 tokens; `max_tokens=`", {"name": "Ann"}),
        ('{"name": "Ann", "age": "x"}', {}, "age", {"name": "Ann", "age": "x"}),
    ],
    ids=["cut off", "wrong"],
)
def test_half_an_answer_is_an_error_that_carries_what_there_is(
    engine: ScriptedEngine, reply: str, options: dict[str, Any], says: str, partial: object
) -> None:
    engine.replies.append(reply)
    with pytest.raises(ShapeError, match=says) as caught:
        llm("Who?", schema=Person, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.partial == partial
    assert caught.value.completion is not None
    assert caught.value.text
    assert reply.startswith(caught.value.text)


def test_a_number_that_was_cut_off_is_no_number(engine: ScriptedEngine) -> None:
    engine.replies.append("1234")
    with pytest.raises(ShapeError, match="cut off"):
        llm("How many?", schema=int, max_tokens=2)


def test_an_object_streams_field_by_field_and_ends_as_its_value(engine: ScriptedEngine) -> None:
    engine.replies.append(ANN)
    stream = llm.stream("Who?", schema=Person)
    parts = list(stream.partials())
    assert parts[0] == {"name": "Ann"}
    assert parts[-1] == Person("Ann", 3)
    assert stream.result().value == Person("Ann", 3)
    engine.replies.append(ANN)
    assert "".join(map(str, llm.stream("Who?", schema=Person))) == ANN


def test_a_stream_that_is_cancelled_has_no_value(engine: ScriptedEngine) -> None:
    engine.holds = True
    engine.replies.append(ANN)
    stream = llm.stream("Who?", schema=Person)
    with stream:
        next(iter(stream))
    with pytest.raises(ShapeError, match="stopped after"):
        stream.result(timeout=10)


def test_awaiting_and_batches_take_shapes_too(engine: ScriptedEngine) -> None:
    engine.replies.extend([ANN, "good", "bad"])
    assert asyncio.run(llm.acomplete("Who?", schema=Person)).value == Person("Ann", 3)
    answers = llm.batch(["a", "b"], choices=["good", "bad"])
    assert [answer.value for answer in answers] == ["good", "bad"]


def test_a_row_of_another_shape_fails_alone(engine: ScriptedEngine) -> None:
    engine.replies.extend([ANN, "nobody"])
    with pytest.raises(BatchError, match="1 of 2 prompts failed") as caught:
        llm.batch(["a", "b"], schema=Person)
    assert isinstance(caught.value.errors[1], ShapeError)
    assert caught.value.completions[0].value == Person("Ann", 3)


def test_the_record_goes_along_into_the_notebook(engine: ScriptedEngine) -> None:
    engine.replies.append(ANN)
    answer = llm("Who?", schema=Person)
    assert isinstance(answer, ShapedAnswer)
    data, metadata = answer._repr_mimebundle_()
    assert data["text/plain"] == ANN
    assert Provenance.from_json(metadata[METADATA_KEY]).is_constrained
    cell = new_code_cell("llm(…)", outputs=[new_output("display_data", data, metadata=metadata)])
    (found,) = answers_in(new_notebook(cells=[cell]))
    assert found.is_as_recorded


def test_type_checkers_see_what_is_answered(engine: ScriptedEngine) -> None:
    engine.replies.extend([ANN, ANN, "good", ANN])
    assert_type(llm("Who?", schema=Person), ShapedAnswer[Person])
    assert_type(llm.stream("Who?", schema=Person), ShapedStream[Any])
    assert_type(llm("Which?", choices=["good"]), ShapedAnswer[Any])
    assert_type(llm.batch(["Who?"], schema=Person), list[ShapedAnswer[Any]])
    assert_type(llm("Hello", max_tokens=1), Completion)


def test_what_is_quoted_stands_in_what_was_asked_and_not_in_what_goes_along(
    engine: ScriptedEngine,
) -> None:
    shape = replace(shape_of(Quote), instruction="Quote words.")
    engine.replies.extend(["two words", "Quote words."] * 2)
    for ask in (llm, llm.chat()):
        answer: Any = ask("Here are two words.", schema=shape)
        assert (answer.value, answer.value.start, answer.value.end) == ("two words", 9, 18)
        with pytest.raises(ShapeError, match="is not in the prompt"):
            ask("Here are two words.", schema=shape)


def test_a_chat_answers_in_a_shape_and_remembers_the_text(engine: ScriptedEngine) -> None:
    engine.replies.extend([ANN, "yes", "Bye."])
    chat = llm.chat()
    answer = chat("Who?", schema=Person)
    assert isinstance(answer, ShapedAnswer)
    assert answer.value == Person("Ann", 3)
    assert chat("Sure?", schema=bool).value is True
    assert isinstance(engine.requests[1].constraint, OneOf)
    bye = chat("Bye")
    assert_type(bye, Completion)
    assert [turn.prompt for turn in chat.turns] == ["Who?", "Sure?", "Bye"]
    sent = messages_of(engine.requests[2].prompt)
    assert [message.content for message in sent[1::2]] == [ANN, "Yes"]
    assert engine.requests[2].constraint is None


def test_what_is_told_of_a_shape_is_repeated_as_it_was_sent(engine: ScriptedEngine) -> None:
    engine.replies.extend([ANN, "yes", "Bye."])
    chat = llm.chat()
    shape = replace(shape_of(Person), instruction="Name somebody.")
    assert list(chat.stream("Who?", schema=shape).partials())[-1] == Person("Ann", 3)
    chat("Sure?")
    first, second = (messages_of(request.prompt) for request in engine.requests)
    assert second[0] == first[0]
    assert first[0].content == "Name somebody.\n\nWho?"
    assert chat.turns[0].prompt == "Who?"


def test_half_an_answer_in_a_chat_is_a_turn_and_an_error(engine: ScriptedEngine) -> None:
    engine.replies.extend([ANN, "yes", "Bye."])
    chat = llm.chat()
    with pytest.raises(ShapeError, match="cut off"):
        chat("Who?", schema=Person, max_tokens=3)
    assert chat.turns[0].completion.text == ANN[:3]


def test_what_a_chat_cannot_keep_to_is_refused_before_it_is_sent(engine: ScriptedEngine) -> None:
    for options in ({"stop": "."}, {"regex": "a"}, {"shape": Person}):
        with pytest.raises(OptionError):
            llm.chat()("Who?", schema=Person, **options)
    assert engine.requests == []


@pytest.mark.parametrize(
    "options",
    [{"retries": 1, "schema": Person}, {"raw": True}, {"before": (Message("user", "a"),)}],
)
def test_a_chat_refuses_options_that_bypass_its_turns_with_the_reason(
    engine: ScriptedEngine, options: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match="A chat takes no raw=, before= or retries=: each prompt"):
        llm.chat()("Who?", **options)
    assert engine.requests == []
