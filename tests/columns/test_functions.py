"""Functions that a model answers; an engine answers from a script."""
# mypy: disable-error-code="empty-body"

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, assert_type

import pandas as pd  # type: ignore[import-untyped]
import pytest
from ask.test_question import Adult
from support.scripted import ScriptedEngine, messages_of

from jupyter_llm import ShapedAnswer, llm
from jupyter_llm.ask.question import FunctionOptions
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.errors import EmptyPromptError, InterpolationError, OptionError

Tone = Literal["good", "bad"]


@dataclass
class Person:
    name: str
    age: int | None = None


class Kind(Enum):
    A = "a"
    B = "b"


def asked(engine: ScriptedEngine) -> list[str]:
    """What the last request asked for, message by message."""
    return [message.content for message in messages_of(engine.requests[-1].prompt)]


@llm.function
def tone(text: str, language: str = "English") -> Tone:
    """The tone of a product review."""


def test_a_function_returns_what_its_annotation_says(engine: ScriptedEngine) -> None:
    engine.replies.extend(["bad", "good"])
    assert tone("Broke at once.") == "bad"
    assert engine.requests[0].constraint == OneOf(("good", "bad"))
    assert asked(engine)[-1].endswith(
        "The tone of a product review.\n\ntext: Broke at once.\nlanguage: English"
    )
    assert tone(text="Toll!", language="German") == "good"
    assert asked(engine)[-1].endswith("text: Toll!\nlanguage: German")


def test_type_checkers_and_people_see_its_own_signature(engine: ScriptedEngine) -> None:
    engine.replies.extend(["good", "good"])
    assert_type(tone("Fine."), Tone)
    assert_type(tone.answer("Fine."), ShapedAnswer[Tone])
    assert str(inspect.signature(tone)) == "(text: 'str', language: 'str' = 'English') -> 'Tone'"
    assert (tone.__name__, tone.__doc__) == ("tone", "The tone of a product review.")
    with pytest.raises(TypeError, match="missing a required argument: 'text'"):
        tone()  # type: ignore[call-arg]


def test_arguments_stand_where_the_docstring_names_them(engine: ScriptedEngine) -> None:
    @llm.function(temperature=0.5, system="Be brief.")
    def shorten(text: str, *, words: int, table: Any = None) -> str:
        r"""
        Say {{text[:9]}} in {{words}} words.

        \{{ stays.
        """

    engine.replies.extend(["x"] * 3)
    assert shorten("long text {{words}}", words=3) == "x"
    said = "Say long text in 3 words.\n\n{{ stays.\n\ntable: None"
    assert asked(engine) == ["Be brief.", said]
    assert engine.requests[0].params.temperature == 0.5
    shorten("{{words}}", words=3, table=pd.DataFrame({"city": ["Oslo"], "n": [3]}))
    assert asked(engine)[-1].startswith("Say {{words}} in 3 words.")
    assert "DataFrame" in asked(engine)[-1]
    assert shorten.prompt("a", words=1) == engine.format(
        messages_of(shorten._question(("a",), {"words": 1}).request.prompt)
    )


def test_a_prompt_is_shown_as_a_model_that_thinks_reads_it(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "format", lambda _prompt, *, think: f"thinks: {think}")
    assert tone.prompt("Fine.") == "thinks: False"  # which would take the answer for a thought
    assert llm.function(reason=9)(tone._function).prompt("Fine.") == "thinks: True"


def test_an_argument_with_nothing_in_it_is_no_prompt(engine: ScriptedEngine) -> None:
    @llm.function
    def say(text: str) -> str:
        """{{text}}"""

    with pytest.raises(EmptyPromptError):
        say(" ")
    assert not engine.requests


def test_a_function_promises_no_option_that_it_refuses() -> None:
    assert "raw" not in FunctionOptions.__annotations__
    with pytest.raises(OptionError, match="raw"):
        llm.function(raw=True)(tone._function)  # type: ignore[call-overload]


def test_a_function_asks_again_for_a_value_that_its_type_refuses(engine: ScriptedEngine) -> None:
    @llm.function(retries=1)
    def person(text: str) -> Adult:
        """The person in a text."""

    engine.replies.extend(['{"age": 3}', '{"age": 30}', '{"age": 4}', '{"age": 40}'])
    assert person("Ann").age == 30
    assert [one.age for one in person.map(["Bob"], keep=False)] == [40]
    assert len(engine.requests) == 4


def test_an_expression_that_fails_is_named(engine: ScriptedEngine) -> None:
    @llm.function
    def odd(text: str) -> str:
        """Say {{text.nothing}}."""

    with pytest.raises(InterpolationError, match=r"text\.nothing"):
        odd("a")


def test_examples_are_turns_that_were_answered_so(engine: ScriptedEngine) -> None:
    @llm.function(examples=[(("Ann is 3",), Person("Ann", 3)), ("Bo", Person("Bo"))])
    def person(text: str) -> Person:
        """Who is it?"""
        pass  # noqa: PIE790

    engine.replies.append('{"name": "Cy", "age": null}')
    assert person("Cy") == Person("Cy")
    first, *others, last = messages_of(engine.requests[0].prompt)
    assert first.content == "Who is it?\n\ntext: Ann is 3"
    assert [(one.role, one.content) for one in others] == [
        ("assistant", '{"name": "Ann", "age": 3}'),
        ("user", "Who is it?\n\ntext: Bo"),
        ("assistant", '{"name": "Bo", "age": null}'),
    ]
    assert last.content.endswith("Who is it?\n\ntext: Cy")


def test_examples_of_a_choice_are_its_labels(engine: ScriptedEngine) -> None:
    @llm.function(examples=[("x", Kind.B), ("y", Kind.A)])
    def kind(text: str) -> Kind:
        """Its kind."""

    engine.replies.append("a")
    assert kind("z") is Kind.A
    assert asked(engine)[1:4:2] == ["b", "a"]


def test_async_functions_are_awaited(engine: ScriptedEngine) -> None:
    @llm.function
    async def count(text: str) -> int:
        """How many words?"""

    engine.replies.extend(["1", "2"])

    async def both() -> set[int]:
        return {*await asyncio.gather(count("a"), count("b"))}

    assert asyncio.run(both()) == {1, 2}


def test_a_function_is_asked_for_a_column(engine: ScriptedEngine) -> None:
    @llm.function(examples=[("Fine", "good")], seed=1)
    def rated(text: str, language: str = "{{English}}") -> Tone:
        """The tone."""

    engine.replies.extend(["good", "bad"])
    assert rated.map(["a", "b"], keep=False) == ["good", "bad"]
    assert asked(engine)[1] == "good"
    assert asked(engine)[-1].endswith("text: b\nlanguage: {{English}}")
    engine.replies.extend(["bad", "good"])
    frame = pd.DataFrame({"language": ["Dutch", "Danish"], "text": ["a", "b"]}, index=[5, 7])
    assert rated.map(frame, keep=False).to_dict() == {5: "bad", 7: "good"}
    assert asked(engine)[-1].endswith("text: b\nlanguage: Danish")
    engine.replies.append("bad")
    assert rated.map(frame, keep=False, limit=1).to_dict() == {5: "bad"}
    engine.replies.append("bad")
    assert rated.map(pd.Series(["c"], name="x"), keep=False).tolist() == ["bad"]


def test_rows_are_asked_as_calls_are(engine: ScriptedEngine) -> None:
    @llm.function
    def shortened(text: str, day: dt.date = dt.date(2026, 11, 29)) -> str:
        """Say {{text.upper()}}."""

    engine.replies.extend(["a", "a", "b"])
    shortened("x")
    assert shortened.map(["x", None, "y"], keep=False) == ["a", None, "b"]
    called, row, _ = (messages_of(request.prompt) for request in engine.requests)
    assert called == row
    assert called[0].content == "Say X.\n\nday: 2026-11-29"
    with pytest.raises(TypeError, match="missing a required argument: 'text'"):
        shortened.map(pd.DataFrame({"other": ["a"]}))


def bare(text: str) -> str: ...
def unsaid(text: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Say."""


def nothing(text: str) -> None:
    """Say."""


def busy(text: str) -> str:
    """Say."""
    return text.upper()


def lost(text: str) -> Missing:  # type: ignore[name-defined]  # noqa: F821
    """Say."""


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (bare, r"bare\(\) has no docstring"),
        (unsaid, r"unsaid\(\) has no return annotation"),
        (nothing, r"nothing\(\) has no return annotation"),
        (busy, r"busy\(\) has a body"),
        (print, "takes a function of yours"),
        (5, "takes a function of yours"),
    ],
)
def test_what_no_model_can_answer_is_refused_where_it_is_written(
    function: Callable[..., Any], says: str
) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        llm.function(function)
    assert "\n" not in str(caught.value)


def test_options_that_mean_nothing_are_refused_there_too() -> None:
    wrong: list[Any] = [5, ["good"], [("a", "b", "good")]]
    for examples in wrong:
        with pytest.raises(OptionError, match="pairs of arguments and results"):
            llm.function(examples=examples)(tone._function)
    with pytest.raises(OptionError, match="Did you mean temperature"):
        llm.function(temprature=1)(tone._function)  # type: ignore[call-overload]


def test_what_is_wrong_with_types_or_examples_is_said_at_the_first_call(
    engine: ScriptedEngine,
) -> None:
    with pytest.raises(OptionError, match=r"lost\(\) returns what is not known"):
        llm.function(lost)("a")
    with pytest.raises(OptionError, match="result 'fine' is not"):
        llm.function(examples=[("x", "fine")])(tone._function)("a")
    assert engine.requests == []
