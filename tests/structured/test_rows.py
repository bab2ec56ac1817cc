"""A template becomes a prompt for each row."""

from __future__ import annotations

import pytest

from jupyter_llm.errors import EmptyPromptError, OptionError
from jupyter_llm.structured.rows import Template
from jupyter_llm.structured.tables import rows_of

FRAME = [{"title": "Ada", "first line": "Hello {{title}}", "n": 3}, {"title": None, "n": 4}]


def prompts(template: str, items: list[object]) -> list[str | None]:
    rows = rows_of(items)
    read = Template.of(template, rows)
    return [read.prompt(values) for values in rows.values(read.columns)]


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("On {{title}}: {{ first line }}", "On Ada: Hello {{title}}"),
        ("{{n}}{{n}}, {title}, $x$, \\{{n}}", "33, {title}, $x$, {{n}}"),
        ("Sum it up", "Sum it up\n\ntitle: Ada\nfirst line: Hello {{title}}\nn: 3"),
    ],
    ids=["never twice", "other braces", "no field"],
)
def test_values_stand_in_the_places_of_their_columns(template: str, prompt: str) -> None:
    assert prompts(template, FRAME)[0] == prompt


def test_a_row_that_lacks_a_value_is_not_asked() -> None:
    assert prompts("{{title}}", FRAME)[1] is None
    assert prompts("{{n}}", FRAME)[1] == "4"
    assert prompts("Sum it up", FRAME)[1] == "Sum it up\n\nn: 4"
    assert prompts("Sum it up", ["a", None]) == ["Sum it up\n\na", None]


def test_a_field_that_is_no_column_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"{{titlle}} in the template is no column.*mean title"):
        prompts("{{titlle}}", FRAME)
    with pytest.raises(OptionError, match="There are: item"):
        prompts("{{x}}", ["a"])


def test_a_template_is_a_text_with_something_in_it() -> None:
    with pytest.raises(EmptyPromptError):
        prompts(" ", FRAME)
