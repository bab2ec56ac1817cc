"""One shape, whatever it was written as: what is held to, what is read, what is complete."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, Field
from support.schemas import Level, Tone

from jupyter_llm.ask import schemas
from jupyter_llm.ask.shape import Quote, shape_of
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.engine.local.masks.grammar import fits, problem_of
from jupyter_llm.errors import OptionError


class Person(BaseModel):
    name: str
    age: Annotated[int, Field(ge=0, le=150)]
    tone: Tone = Tone.GOOD
    member: bool | None = None


class Place(NamedTuple):
    name: str
    height: float = 0.0


def test_labels_stand_for_values() -> None:
    kinds = [bool, Literal["a", 3], Tone, Level, Tone | None]
    labels = [shape_of(kind).constraint for kind in kinds]
    expected = [
        ("Yes", "No"),
        ("a", "3"),
        ("good", "bad"),
        ("LOW", "HIGH"),
        ("good", "bad", "None"),
    ]
    assert labels == [OneOf(texts) for texts in expected]
    values = [list(map(shape_of(kinds[n]).read, texts)) for n, texts in enumerate(expected)]
    assert values == [[True, False], ["a", 3], [*Tone], [*Level], [*Tone, None]]


def test_choices_may_be_values_of_any_kind() -> None:
    shape = shape_of(choices=["x", True, Level.LOW, 2.5, None])
    assert shape.choices == ("x", "Yes", "LOW", "2.5", "None")
    assert [shape.read(label) for label in shape.choices] == ["x", True, Level.LOW, 2.5, None]
    assert shape_of(choices="good, bad").choices == ("good", "bad")
    assert shape_of(choices=["b", "a", "b"]).choices == ("b", "a")
    assert shape_of(choices=[" a", "b"]).read(" a") == " a"
    assert shape_of(choices={"+": 1, "-": -1}).read("-") == -1


def test_a_shape_names_its_columns_and_which_of_them_are_choices() -> None:
    shape = shape_of(Person)
    assert shape.columns == ("name", "age", "tone", "member")
    fields = {"age": (), "tone": ('"good"', '"bad"'), "member": ("true", "false", "null")}
    assert shape.choice_fields == fields
    assert shape_of(Place).columns == ("name", "height")
    assert shape_of("age int?, bio str?").choice_fields == {"age": ()}
    assert shape_of(list[Person]).columns == ()


def test_a_number_is_one_however_it_is_said_that_it_may_be_missing() -> None:
    ways: dict[str, Any] = {
        "listed": {"type": ["integer", "null"]},
        "any": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "one": {"oneOf": [{"type": "number"}, {"type": "null"}]},
        "named": {"$ref": "#/$defs/count"},
        "text": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "anything": {"anyOf": [True, {"type": "null"}]},
    }
    schema = {"type": "object", "properties": ways, "$defs": {"count": ways["any"]}}
    assert shape_of(schema).choice_fields == dict.fromkeys(["listed", "any", "one", "named"], ())


def test_a_text_with_a_form_stands_without_quotes() -> None:
    shape = shape_of(dt.date)
    assert isinstance(shape.constraint, Grammar)
    assert shape.constraint.kind == "regex"
    assert shape.read("2024-02-29") == dt.date(2024, 2, 29)
    assert shape_of(str).constraint is None
    assert shape_of(str).read("any\ntext") == "any\ntext"


def test_nothing_is_in_a_partial_value_by_half() -> None:
    shape = shape_of(Person)
    text = '{"name": "Ada", "age": 36, "tone": "bad"}'
    values = [shape.partial(text[:end]) for end in range(len(text) + 1)]
    steps = [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]
    whole = {"name": "Ada", "age": 36, "tone": "bad"}
    assert steps == [None, *({name: whole[name] for name in list(whole)[:n]} for n in (1, 2, 3))]


@pytest.mark.parametrize(
    "options", [{"grammar": "start: /.+/"}, {"regex": ".+"}, {"schema": Quote}]
)
def test_a_text_that_looks_like_json_has_no_partial_value(options: dict[str, Any]) -> None:
    shape = shape_of(**options).for_prompt("[1] is first")
    assert shape.partial("[1] is") is None
    assert shape.read("[1] is") == "[1] is"


def test_what_does_not_fit_says_so_with_its_text_and_what_is_complete() -> None:
    with pytest.raises(
        ShapeError, match="age: Input should be less than or equal to 150"
    ) as caught:
        shape_of(Person).read('{"name": "Ada", "age": 200, "tone": "bad", "member": null}')
    assert caught.value.text.startswith('{"name"')
    with pytest.raises(ShapeError) as caught:
        shape_of(Person).read('{"name": "Ada", "ag')
    assert caught.value.partial == {"name": "Ada"}
    with pytest.raises(ShapeError, match="'fine' is none of good, bad"):
        shape_of(Tone).read("fine")


def test_one_shape_is_asked_for_in_one_way() -> None:
    with pytest.raises(OptionError, match="not schema and choices"):
        shape_of(bool, choices=["a"])
    with pytest.raises(OptionError, match="one of schema="):
        shape_of()
    shape = shape_of(bool)
    assert shape_of(shape) is shape


def test_a_text_of_a_language_is_read_only_if_it_is_one() -> None:
    assert shape_of(regex="[a-c]+[0-9]").read("ab1") == "ab1"
    with pytest.raises(ShapeError, match="'ab' is not of that regex"):
        shape_of(regex="[a-c]+[0-9]").read("ab")
    lark = shape_of(grammar='start: WORD " " WORD\nWORD: /[a-z]+/')
    assert lark.read("hello you") == "hello you"
    with pytest.raises(ShapeError, match="'hello' is not of that grammar"):
        lark.read("hello")


def test_a_schema_is_refused_that_goes_deeper_than_python_does() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(OptionError, match="too deep"):
        shape_of(deep)


def test_the_field_that_fails_a_schema_is_searched_for_a_few_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    def slow(grammar: Grammar) -> str:
        clock[0] += 1
        return problem_of(grammar)

    monkeypatch.setattr(schemas, "problem_of", slow)
    monkeypatch.setattr(schemas, "monotonic", lambda: clock[0])
    fields: dict[str, Any] = {f"field_{number}": {"type": "string"} for number in range(100)}
    fields["last"] = {"not": {"type": "string"}}
    with pytest.raises(OptionError, match=r"This shape cannot be asked of a model: .*not"):
        shape_of({"type": "object", "properties": fields})
    assert clock[0] < 8


@dataclass
class Share:
    of: int

    def __post_init__(self) -> None:
        self.of = 100 // self.of


def test_whatever_a_check_of_theirs_raises_the_text_stays() -> None:
    with pytest.raises(ShapeError, match="ZeroDivisionError: integer division") as caught:
        shape_of(Share).read('{"of": 0}')
    assert caught.value.partial == {"of": 0}


def test_a_number_has_an_end() -> None:
    constraint = shape_of("count int, several list[int]").constraint
    assert isinstance(constraint, Grammar)
    for digits, is_one in (("-1" + "0" * 18, True), ("9" * 19, False)):
        assert fits(constraint, f'{{"count": {digits}, "several": []}}') is is_one
        assert fits(constraint, f'{{"count": 0, "several": [1, {digits}]}}') is is_one
    for kind, written, is_one in (
        (float, "-6.62607015e-34", True),
        (float, "0." + "3" * 18, False),
        (Annotated[float, Field(ge=0)], "2.000000001", True),
        (Annotated[float, Field(ge=0)], "2.0000000001", False),
    ):
        constraint = shape_of(kind).constraint
        assert isinstance(constraint, Grammar)
        assert fits(constraint, written) is is_one


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"regex": "a(?=b)"}, "look-around.* Write instead: a pattern without"),
        ({"grammar": "start: WORD"}, 'grammar=.*unknown name: "WORD"'),
        ({"regex": ""}, "regex= is a text, not ''"),
        ({"choices": 5}, "choices= are the texts to choose from, not 5"),
        ({"choices": []}, "non-empty texts"),
        ({"choices": ["a", ""]}, "non-empty texts"),
    ],
)
def test_what_is_no_shape_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        shape_of(**given)


class Visit(BaseModel):
    """Where somebody was."""

    who: list[Person]
    level: Level
    when: dt.datetime | None = Field(description="if it is known")
    marks: Annotated[list[int], Field(max_length=3)]
    where: tuple[str, float]
    days: dict[dt.date, bool]
    next: Visit | None


def test_a_model_is_told_the_shape_in_the_form_that_it_has() -> None:
    person = (
        '{"name": text, "age": whole number (from 0 to 150), "tone": "good" | "bad", '
        '"member": true | false | null}'
    )
    assert shape_of(Visit).instruction == (
        f'Answer in this form: {{"who": [{person}, …], "level": 1 for LOW | 2 for HIGH, '
        '"when": (time as YYYY-MM-DDTHH:MM:SS | null) (if it is known), '
        '"marks": [whole number, …] (up to 3), "where": [text, number], '
        '"days": {date as YYYY-MM-DD: true | false, …}, "next": (Visit again | null)} '
        "(Where somebody was.)"
    )
    mixed = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"minimum": 1}},
    }
    assert shape_of(mixed).instruction.endswith('{"a": text | null, "b": value (from 1)}')
    assert shape_of(bool).instruction == "Answer with one of: Yes, No."
    assert shape_of(choices=range(500)).instruction == shape_of(str).instruction == ""


def test_digits_without_end_are_no_trouble() -> None:
    many = "1" * 300_000  # minutes, where each digit is tried as the first
    assert shape_of(list[int]).partial(f"[{many}x") is None
    assert shape_of(list[int]).partial(f"[1, {many}") == [1]
    assert shape_of(list[bool]).partial("[true") == [True]


def test_a_text_has_no_parts_though_it_looks_like_json() -> None:
    for shape in (shape_of(str), shape_of(regex=".*"), shape_of(choices=["[1]", "[2]"])):
        assert shape.partial("[1]") is None
