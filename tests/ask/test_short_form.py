"""The short form of a shape, as one types it after `--schema`."""

from __future__ import annotations

import datetime as dt

import pytest

from jupyter_llm.ask.shape import shape_of
from jupyter_llm.errors import OptionError


def test_fields_stand_between_commas_or_in_lines() -> None:
    shape = shape_of("name, age int, tone good|bad, born date?, tags list[a|b]?, ids list[int]")
    text = (
        '{"name": "Ada", "age": 3, "tone": "bad", "born": "2024-02-29", "tags": ["b"], "ids": []}'
    )
    born = dt.date(2024, 2, 29)
    value = {"name": "Ada", "age": 3, "tone": "bad", "born": born, "tags": ["b"], "ids": []}
    assert shape.read(text) == value
    assert shape.choice_fields == {"age": (), "tone": ('"good"', '"bad"')}
    lines = shape_of("name: first, then last\n\nage int: in years\n")
    assert lines.columns == ("name", "age")
    assert lines.instruction.endswith(
        '{"name": text (first, then last), "age": whole number (in years)}'
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("name, age itn", "no type 'itn'. Did you mean int?"),
        ("name, age list[itn]", "no type 'itn'. Did you mean int?"),
        ("name, age whole number", r"no type 'whole number'. There are str, .*a\|b\|c"),
        ("name, name", "'name' is no new field. Write fields as `name`, `age int`"),
        ("name; age", "'name; age' is no new field"),
        ("int", "'int' is the name of a type"),
        ("  ", "'' is no new field"),
    ],
)
def test_what_is_wrong_with_it_is_named(written: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        shape_of(written)
