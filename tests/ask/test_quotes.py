"""Passages of the prompt as fields of an answer."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from jupyter_llm import Quote
from jupyter_llm.ask.shape import Shape, shape_of
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.engine.local.masks.grammar import fits, problem_of
from jupyter_llm.errors import OptionError

PROMPT = 'The cat sat.\nShe said "no" to the dog — twice. The cat left.'


class Claim(BaseModel):
    about: Annotated[str, Field(max_length=5)]
    passage: Annotated[str, Quote]


class Claims(BaseModel):
    claims: Annotated[list[Claim], Field(min_length=1, max_length=2)]
    best: Quote | None
    named: dict[str, Quote]
    days: dict[dt.date, Quote]


class Chain(BaseModel):
    passage: Quote
    next: Chain | None


def holds(shape: Shape[object], text: str) -> bool:
    assert isinstance(shape.constraint, Grammar)
    assert problem_of(shape.constraint) == ""
    return fits(shape.constraint, text)


@pytest.mark.parametrize(
    ("passage", "is_one"),
    [
        ('cat sat.\nShe said "no"', True),
        ("dog — twice", True),
        ("the", True),
        ("she", False),
        ("cat She", False),
        ("at", False),
        ("", False),
        (" ", False),
        ("\\n", False),
    ],
)
def test_a_quote_is_words_of_the_prompt_and_nothing_else(passage: str, is_one: bool) -> None:  # noqa: FBT001
    text = json.dumps({"about": "x", "passage": passage}, ensure_ascii=False)
    assert holds(shape_of(Claim).for_prompt(PROMPT), text) is is_one
    assert holds(shape_of(Quote).for_prompt(PROMPT), passage) is is_one


def test_a_quote_says_where_it_stands_first() -> None:
    for kind in (Quote, Annotated[str, Quote]):
        value = shape_of(kind).for_prompt(PROMPT).read(" cat")
        assert isinstance(value, Quote)
        assert (value, value.start, value.end) == ("cat", 4, 7)
        assert (copy.deepcopy(value).start, pickle.loads(pickle.dumps(value)).end) == (4, 7)  # noqa: S301


def test_quotes_may_stand_anywhere_in_an_answer() -> None:
    shape = shape_of(Claims).for_prompt(PROMPT)
    claim = '{"about": "x", "passage": "dog"}'
    rest = '"best": null, "named": {"a": "cat", "b": "She"}, "days": {"2024-02-29": "no"}}'
    assert holds(shape, f'{{"claims": [{claim}, {claim}], {rest}')
    assert not holds(shape, f'{{"claims": [], {rest}')
    assert not holds(shape, f'{{"claims": [{claim}, {claim}, {claim}], {rest}')
    assert not holds(shape, f'{{"claims": [{claim.replace("x", "longer")}], {rest}')
    value = shape.read(f'{{"claims": [{claim}], {rest}')
    assert value.claims[0].passage.start == PROMPT.index("dog")
    assert value.named["b"].end == PROMPT.index("She") + 3


def test_what_does_not_stand_in_the_prompt_is_no_quote() -> None:
    with pytest.raises(ShapeError, match=r"passage: .*'bird' is not in the prompt"):
        shape_of(Claim).for_prompt(PROMPT).read('{"about": "x", "passage": "bird"}')


def test_a_quote_in_what_holds_itself_is_refused_before_there_is_a_prompt() -> None:
    with pytest.raises(OptionError, match=r"The field Chain .*holds itself, and there is a Quote"):
        shape_of(Chain)


def test_a_long_prompt_can_be_quoted() -> None:
    prompt = " ".join(f"word{n}" for n in range(15_000))
    shape = shape_of(Claim).for_prompt(prompt)
    assert holds(shape, '{"about": "x", "passage": "word7 word8"}')
