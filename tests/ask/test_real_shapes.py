"""Shapes of all kinds, written by a real model that is left as free as it can be."""

from __future__ import annotations

import datetime as dt
import decimal
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from support.engines import load

from jupyter_llm.ask.question import Question
from jupyter_llm.ask.shape import Quote, shape_of
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.options import SamplingParams

PROMPT = 'The tower of Ulm is 161 m high. "It was finished on 31 May 1890," says Anna, 44.'


class Fact(BaseModel):
    passage: Quote
    year: Annotated[int, Field(ge=1000, le=2100)]
    when: dt.date | None


class Facts(BaseModel):
    facts: Annotated[list[Fact], Field(min_length=1, max_length=2)]


class Part(BaseModel):
    name: Annotated[str, Field(max_length=12)]
    price: Annotated[decimal.Decimal, Field(ge=0, le=100, decimal_places=2)]
    parts: Annotated[list[Part], Field(max_length=2)]


KINDS: list[Any] = [Facts, Part, dt.datetime, Quote, "name, age int?, tone good|bad, tags list"]


@pytest.mark.slow
def test_what_a_real_model_writes_in_a_shape_has_it_or_is_said_to_be_cut_off(smollm2: Path) -> None:
    whole = 0
    params = SamplingParams(max_tokens=100, temperature=1.2, seed=1, exact=False)
    with closing(load(smollm2, n_ctx=2048, checkpoints=False)) as engine:
        alone = [Question(prompt=PROMPT, params=params, shape=shape_of(kind)) for kind in KINDS]
        asked = [question.bound() for question in alone]
        streams = [engine.submit(question.request) for question in asked]
        for question, stream in zip(asked, streams, strict=True):
            completion = stream.result(60)
            if completion.finish_reason == "length":
                with pytest.raises(ShapeError, match="cut off"):
                    question.answer(completion, engine)
                continue
            answer: Any = question.answer(completion, engine)
            whole += 1
            facts = answer.value.facts if isinstance(answer.value, Facts) else []
            quotes = [fact.passage for fact in facts]
            for quote in quotes + [answer.value] * isinstance(answer.value, Quote):
                assert quote == PROMPT[quote.start : quote.end] != ""
    assert whole >= 2
