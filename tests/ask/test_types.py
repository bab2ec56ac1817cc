"""Every type of Python works as a shape, or is refused by the name of its field."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import ipaddress
import json
import pathlib
import re
import typing
import uuid
from collections.abc import Callable
from types import GenericAlias
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pytest
from annotated_types import Interval
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, Json, SecretStr, TypeAdapter
from support.schemas import Level, Tone
from typing_extensions import TypedDict

from jupyter_llm.ask.shape import Quote, shape_of
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.engine.local.masks.grammar import fits
from jupyter_llm.errors import OptionError


class Person(BaseModel):
    name: str
    age: Annotated[int, Field(ge=0, le=150)] = 30
    tone: Tone | None = Field(default=None, alias="theTone")


@dataclasses.dataclass
class Firm:
    """Somebody's firm."""

    owner: Person
    founded: dt.date
    levels: list[Level]
    parts: dict[str, Firm] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Square:
    side: int
    area: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.area = self.side**2


class Place(NamedTuple):
    name: str
    at: tuple[float, float] = (0.0, 0.0)


class Order(TypedDict):
    number: int
    note: NotRequired[str]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Node(BaseModel):
    value: int
    next: Node | None


class Tree(BaseModel):
    items: list[Tree]


class Leaf(BaseModel):
    kind: Literal["leaf"]


class Branch(BaseModel):
    kind: Literal["branch"]
    parts: list[Annotated[Leaf | Branch, Field(discriminator="kind")]]


INT = {"type": "integer"}
BRANCH = '{"kind": "branch", "parts": [{"kind": "leaf"}, {"kind": "branch", "parts": []}]}'


class Even(BaseModel):
    number: Annotated[int, AfterValidator(lambda number: number // 2 * 2)]


@dataclasses.dataclass
class Anything:
    a: dict  # type: ignore[type-arg]
    parts: list  # type: ignore[type-arg]
    o: Any


PERSON = '{"name": "Ada", "age": 36, "tone": "bad"}'
ADA = Person.model_validate({"name": "Ada", "age": 36, "theTone": "bad"})
EMPTY = '{"name": "", "age": 0, "tone": null}'
NOON = "2024-02-29T12:00:00"
Price = Annotated[decimal.Decimal, Field(ge=0, decimal_places=2, max_digits=6)]
WORKS: list[tuple[Any, str, Any]] = [
    (bool, "Yes", True),
    (int, "-42", -42),
    (int, str(10**18), 10**18),
    (Annotated[int, Field(ge=1, le=10)], "10", 10),
    (Annotated[int, Field(multiple_of=5)], "15", 15),
    (float, "-1.5e3", -1500.0),
    (Annotated[float, Field(gt=0, lt=1)], "0.25", 0.25),
    (decimal.Decimal, "12.5", decimal.Decimal("12.5")),
    (Price, "12.05", decimal.Decimal("12.05")),
    (str, 'a "text"\nof lines', 'a "text"\nof lines'),
    (Annotated[str, Field(max_length=4)], "ä\nöü", "ä\nöü"),
    (Annotated[str, Field(pattern="^[A-Z]{2}[0-9]+$")], "DE12", "DE12"),
    (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
    (dt.time, "23:59:00", dt.time(23, 59)),
    (dt.datetime, NOON, dt.datetime.fromisoformat(NOON)),
    (dt.timedelta, '"P1DT2H"', dt.timedelta(days=1, hours=2)),
    (uuid.UUID, f'"{uuid.UUID(int=5)}"', uuid.UUID(int=5)),
    (ipaddress.IPv4Address, '"127.0.0.1"', ipaddress.IPv4Address("127.0.0.1")),
    (Literal["a", "b"], "b", "b"),
    (Literal[1, "x", True] | None, "None", None),
    (Tone, "bad", Tone.BAD),
    (Level, "HIGH", Level.HIGH),
    (Tone | None, "None", None),
    (Literal[Level.LOW] | bool, "LOW", Level.LOW),
    (int | None, "null", None),
    (int | str, '"1"', "1"),
    (dt.date | None, '"2024-02-29"', dt.date(2024, 2, 29)),
    (list[int], "[1, 22, 333]", [1, 22, 333]),
    (Annotated[list[str], Field(min_length=1, max_length=2)], '["a", "\\"b"]', ["a", '"b']),
    (list[Literal["a", "b"]], '["a", "b", "a"]', ["a", "b", "a"]),
    (list[Tone | bool], '["bad", true]', [Tone.BAD, True]),
    (tuple[int, str], '[1, "b"]', (1, "b")),
    (tuple[int, ...], "[1, 2]", (1, 2)),
    (dict[str, int], '{"a": 1, "b": 2}', {"a": 1, "b": 2}),
    (dict[dt.date, bool], '{"2024-02-29": true}', {dt.date(2024, 2, 29): True}),
    (Person, PERSON, ADA),
    (
        Firm,
        f'{{"owner": {PERSON}, "founded": "1999-12-31", "levels": [1, 2], "parts": {{}}}}',
        Firm(ADA, dt.date(1999, 12, 31), [Level.LOW, Level.HIGH]),
    ),
    (Place, '{"name": "Ulm", "at": [48.4, 9.98]}', Place("Ulm", (48.4, 9.98))),
    (Order, '{"number": 7}', {"number": 7}),
    (Order, '{"number": 7, "note": "soon"}', {"number": 7, "note": "soon"}),
    (Owner, '{"pet": {"kind": "dog", "name": "Rex"}}', Owner(pet=Dog(kind="dog", name="Rex"))),
    (Cat | Dog, '{"kind": "cat", "lives": 9}', Cat(kind="cat", lives=9)),
    (
        Node,
        '{"value": 1, "next": {"value": 2, "next": null}}',
        Node(value=1, next=Node(value=2, next=None)),
    ),
    (Tree, '{"items": [{"items": []}]}', Tree(items=[Tree(items=[])])),
    (Even, '{"number": 7}', Even.model_construct(number=6)),
    (
        list[Person | list[Place]],
        f'[{EMPTY}, [{{"name": "X", "at": [1, 2]}}]]',
        [Person(name="", age=0), [Place("X", (1, 2))]],
    ),
    (TypeAdapter(list[bool]), "[true]", [True]),
    (Square, '{"side": 3}', Square(3)),
    ({"enum": [{"a": 1}, "x"]}, '{"a": 1}', {"a": 1}),
    ("name, age int?", '{"name": "Ada", "age": null}', {"name": "Ada", "age": None}),
    ({"type": "array", "items": {"enum": [1, "a"]}}, '[1, "a"]', [1, "a"]),
    (
        {
            "prefixItems": [{"type": "null"}, {"$ref": "#/prefixItems/0"}],
            "type": "array",
            "items": False,
            "minItems": 2,
        },
        "[null, null]",
        [None, None],
    ),
    (dict[int, bool], '{"1": true, "-20": false}', {1: True, -20: False}),
    (pathlib.PurePosixPath, '"a/b"', pathlib.PurePosixPath("a/b")),
    (bytes, '"ab"', b"ab"),
    (SecretStr, '"ab"', SecretStr("ab")),
    (ipaddress.IPv4Network, '"10.0.0.0/8"', ipaddress.IPv4Network("10.0.0.0/8")),
    (re.Pattern, '"a+"', re.compile("a+")),
    (Branch, BRANCH, Branch.model_validate_json(BRANCH)),
    (
        {"properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}},
        '{"a": 1.5}',
        {"a": 1.5},
    ),
    (
        {
            "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": INT}}, {"required": ["b"]}],
            "$defs": {"A": {"type": "object", "properties": {"a": INT}, "required": ["a"]}},
        },
        '{"a": 1, "b": 2}',
        {"a": 1, "b": 2},
    ),
    (
        {
            "type": "object",
            "properties": {"allOf": {"$ref": "#/$defs/A"}},
            "allOf": [True, {"required": ["allOf"]}],
            "$defs": {"A": INT},
        },
        '{"allOf": 1}',
        {"allOf": 1},
    ),
    (Annotated[str, Quote], "any words", "any words"),
    (Anything, '{"a": {"b": 1}, "parts": [[]], "o": null}', Anything({"b": 1}, [[]], None)),
    (dict | list, '{"a": [1]}', {"a": [1]}),
    (dict[str, Any], '{"a": "b", "c": 1}', {"a": "b", "c": 1}),
    ({"type": "object", "properties": {"a": True}}, '{"a": 1}', {"a": 1}),
]


def is_part(partial: object, whole: object) -> bool:
    """Whether nothing in a partial value is other than in the whole one."""
    if isinstance(partial, dict) and isinstance(whole, dict):
        return all(name in whole and is_part(part, whole[name]) for name, part in partial.items())
    if isinstance(partial, list) and isinstance(whole, list):
        return len(partial) <= len(whole) and all(map(is_part, partial, whole))
    return partial == whole and type(partial) is type(whole)


@pytest.mark.parametrize(("kind", "text", "value"), WORKS, ids=lambda one: str(one)[:40])
def test_a_type_works(kind: Any, text: str, value: object) -> None:
    shape = shape_of(kind)
    assert shape.read(text) == value
    assert type(shape.read(text)) is type(value) or kind == Annotated[str, Quote]
    if isinstance(shape.constraint, OneOf):
        assert text in shape.choices
        assert shape.instruction.endswith(f"{', '.join(shape.choices)}.")
    elif isinstance(shape.constraint, Grammar):
        assert fits(shape.constraint, text)
        assert not fits(shape.constraint, text + " ")
    if isinstance(shape.constraint, Grammar) and shape.constraint.kind == "json":
        whole = json.loads(text)
        assert all(is_part(part, whole) for part in partials(shape, text) if part is not None)
        assert shape.partial(text) == (whole if isinstance(whole, dict | list) else None)


def partials(shape: Any, text: str) -> list[object]:
    return [shape.partial(text[:end]) for end in range(len(text))]


class Thing:
    """No type that anybody knows."""


class Bag(BaseModel):
    person: Person
    tags: set[str]


class Bags(BaseModel):
    bags: list[Bag]


@dataclasses.dataclass
class Holder:
    person: Person
    thing: Thing


@dataclasses.dataclass
class Coded:
    code: Annotated[str, Field(pattern="^a(?=b)")]


class Strange(BaseModel):
    x: Literal[b"x"]


class Old(typing.TypedDict):
    name: str


def fields(**kinds: Any) -> Any:
    return TypedDict("Fields", kinds)  # type: ignore[operator]


REFUSED: list[tuple[Any, str]] = [
    (set[int], r"uniqueItems.* Write instead: list\[…\]"),
    (frozenset[str], "uniqueItems"),
    (Bag, r"The field tags cannot .*uniqueItems"),
    (Bags, r"The field Bag\.tags cannot "),
    (dict[Literal["a", "b"], int], "propertyNames.* a TypedDict"),
    (fields(d=dict[Tone, int]), "The field d cannot .*propertyNames"),
    (fields(d=dict[float, int]), r"The field d cannot .* dict\[str, …\]"),
    (fields(c=Callable[[], int]), "The field c cannot .*nothing for Callable"),
    (fields(c=complex), "The field c cannot .*nothing for complex"),
    (fields(j=Json[int]), "The field j cannot .*nothing for json"),
    (fields(i=typing.Iterable[int]), "The field i cannot .*nothing for generator"),
    (Holder, "The field Holder.thing cannot .*Thing"),
    (fields(h=list[Holder]), "The field Holder.thing cannot .*Thing"),
    (fields(u=int | Thing), "The field Fields.u cannot .*Thing"),
    (fields(c=Coded), r"The field c\.code cannot .*look-around"),
    (Strange, "The field x cannot .*literal"),
    (fields(n=Annotated[int, Field(ge=5, le=3)]), "The field n cannot .*greater than"),
    (list["Unknown"], "'Unknown' is not defined"),  # type: ignore[name-defined]  # noqa: F821
    (Old, "typing_extensions.TypedDict"),
    (Literal[1, "1"], "1 and '1' would both be written '1'"),
    (Literal["None"] | None, "would both be written 'None'"),
    (print, "a function"),
    (5, r"for 5.* Write instead: a type, as list\[str\], or choices=\[…\]"),
    ({}, "not describe"),
    ({"name": str, "age": int}, "not describe.* Write instead: `name, age int`"),
    ({"type": "obiect"}, "'obiect' is not"),
    (
        {"properties": {"a": {"anyOf": [False, {"type": "null"}]}}},
        "The field a .*no value is allowed",
    ),
    ('{"type": ', "no JSON"),
    (
        {"properties": {"a": {"type": "string", "not": {"const": "x"}}}},
        'The field a cannot .*"not"',
    ),
    (
        {"properties": {"a": {"type": "array", "items": {"type": "null"}, "contains": {}}}},
        "field a",
    ),
    (
        {"properties": {"a": {"if": {"type": "null"}, "type": "string"}}},
        'The field a cannot .*"if"',
    ),
    ({"properties": {"a": {"type": "string", "pattern": "a(?!b)"}}}, "The field a .*look-around"),
    ({"properties": {"a": {"$ref": "https://example.com/x.json"}}}, "The field a cannot"),
]


@pytest.mark.parametrize(("kind", "said"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_no_answer_can_be_held_to_is_refused_by_its_field(kind: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        shape_of(kind)
    assert "\n" not in str(caught.value)


Whole = Annotated[int, Interval(ge=-(10**18), le=10**18)]
plain = st.sampled_from([Whole, bool, str, Tone, Level, Literal["a", 1], Whole | None, dt.date])
kinds: Any = st.recursive(
    plain,
    lambda inner: st.one_of(
        inner.map(lambda kind: GenericAlias(list, kind)),
        inner.map(lambda kind: GenericAlias(dict, (str, kind))),
        inner.map(lambda kind: kind | None),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda several: GenericAlias(tuple, (*several,))
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda several: dataclasses.make_dataclass("D", zip("abc", several, strict=False))
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.data())
def test_any_value_of_any_type_can_be_written_and_read_again(data: st.DataObject) -> None:
    kind: Any = data.draw(kinds)
    value = data.draw(st.from_type(kind))
    shape = shape_of(kind)
    dumped = TypeAdapter(kind).dump_python(value, mode="json")
    text = json.dumps(dumped, ensure_ascii=False).replace("\x7f", r"\u007f")
    if isinstance(shape.constraint, Grammar) and shape.constraint.kind == "json":
        assert fits(shape.constraint, text)
        assert shape.read(text) == value
        parts = [part for part in partials(shape, text) if part is not None]
        assert all(is_part(part, dumped) for part in parts)
    elif isinstance(shape.constraint, OneOf):
        assert value in map(shape.read, shape.choices)
