r"""`{{expression}}` is evaluated once; everything else stays as typed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_llm.common.expressions import interpolate, shield, unshield
from jupyter_llm.errors import InterpolationError


class _Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


NAMESPACE: dict[str, Any] = {
    "x": 42,
    "name": "Ada",
    "data": {"a": {"b": 1}, "}}": "braces"},
    "hostile": "{{secret}} {{ 1/0 }} \\{{ {x}",
    "secret": "!",
    "broken": _Broken(),
}


def evaluate(source: str) -> Any:
    return eval(source, dict(NAMESPACE))  # noqa: S307  what the tests wrote


def untouched(source: str) -> Any:
    raise AssertionError(f"{source!r} was evaluated")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f({x}) = {name}",
        '{"a": {"b": {"c": {}}}}',
        r"\frac{1}{x} + \sqrt{\frac{a}{b}}",
        r"\begin{pmatrix} a & b \end{pmatrix}",
        "f'{x}' and }} and {",
        "{{}}",
        "{{\n}}",
        "{{ never closed",
        "100% $HOME $x ${x}",
    ],
)
def test_what_is_no_expression_stays_as_typed(text: str) -> None:
    assert interpolate(text, untouched) == text


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{\tx\n}}", "42"),
        ("Hi {{name}}, {{x}} times {x}!", "Hi Ada, 42 times {x}!"),
        ("{{x}}{{x}}", "4242"),
        ("{ {{x}} }", "{ 42 }"),
        ("{{f'{x:>5}'}}", "   42"),
        # Braces inside an expression belong to it.
        ("{{ {'a': {'b': 1}} }}", "{'a': {'b': 1}}"),
        ("{{data['}}']}}", "braces"),
        ("{{ '}}' }} and {{ '{{' }}", "}} and {{"),
        ("{{ {1} }} {{ {2} }}", "{1} {2}"),
        ("{{[i for i in {1: {2: 3}}]}}", "[1]"),
        ("{{ {x} }}}", "{42}}"),
        # A backslash keeps double braces.
        (r"\{{x}} {{x}}", "{{x}} 42"),
        (r"\{{ not Python }}", "{{ not Python }}"),
        (r"{{x}}\{{", "42{{"),
        (r"\{x} \n", r"\{x} \n"),
        # A value is never expanded again.
        ("{{hostile}}", NAMESPACE["hostile"]),
        ("{{ '{' }}{x}}", "{{x}}"),
    ],
)
def test_the_value_stands_in_place_of_the_expression(text: str, result: str) -> None:
    assert interpolate(text, evaluate) == result


@pytest.mark.parametrize(
    ("text", "expression", "reason"),
    [
        ("{{missing}}", "missing", "NameError: name 'missing' is not defined"),
        ("{{ no Python }}", "no Python", r"For literal braces write \\\{\{"),
        ("{{ x = 1 }}", "x = 1", "For literal braces"),
        ("{{x\0}}", "x\0", "null byte"),
        ("{{data['no']}}", "data['no']", "KeyError: 'no'"),
        ("{{broken}}", "broken", "RuntimeError: no text"),
    ],
)
def test_an_error_names_the_expression(text: str, expression: str, reason: str) -> None:
    with pytest.raises(InterpolationError, match=reason) as caught:
        interpolate(text, evaluate)
    assert caught.value.expression == expression
    assert f"{{{{{expression}}}}}" in str(caught.value)


PLAIN = st.text().map(lambda text: text.replace("{{", ""))


@given(PLAIN, st.text())
def test_any_text_stays_and_any_value_comes_out_as_it_is(before: str, value: str) -> None:
    assert interpolate(before, untouched) == before
    before = before.rstrip("{\\")
    assert interpolate(before + "{{value}}", lambda _: value) == before + value


PIECES = st.sampled_from(
    ["{{", "}}", "{", "}", "\\", "\\{{", "x", " ", "'", '"', "1", "0", "{{x}}", "{{ {1: {}} }}"]
)
ANY_TEXT = st.text(st.characters(exclude_characters="\0")) | st.lists(PIECES).map("".join)


@given(ANY_TEXT)
@example("{{a}}0{{b}}")
@example("\\{{a}}")
def test_a_shielded_text_has_no_expression_left_and_comes_back_whole(text: str) -> None:
    shielded, sources = shield(text)
    assert interpolate(shielded, untouched) == shielded.replace("\\{{", "{{")
    assert unshield(shielded, sources) == text
