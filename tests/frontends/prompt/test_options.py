"""Options come first, the prompt stays as typed."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_llm import llm
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.magics.commands import magic_commands
from jupyter_llm.frontends.prompt.commands import Call
from jupyter_llm.frontends.prompt.expressions import interpolate
from jupyter_llm.frontends.prompt.options import (
    FORMATS,
    OPTIONS,
    Option,
    PromptLine,
    complete_option,
    parse_line,
    pending_option,
)

ALL_NAMES = [name for option in OPTIONS for name in option.names]
BY_NAME = {name: option for option in OPTIONS for name in option.names}


def expand(text: str) -> str:
    names = {"n": 7, "who": 'a "b" c', "stops": ["x", "y"], "hostile": "{{n}} \\n '"}
    return interpolate(text, lambda source: eval(source, names))  # noqa: S307  what the tests wrote


@pytest.mark.parametrize(
    "prompt",
    [
        "What's up?",
        'Isn\'t it "good"?',
        "'quoted' and \"quoted\"",
        "'",
        '"never closed',
        r"C:\new\table \n",
        "a -n 20 b --seed 3",
        "two\nlines\n\n  indented",
        "x <<y and y<< z",
        "{{who}} {x} \\{{y}}",
        "- a list\n- of items",
        "-> an arrow",
        "-5 degrees",
        "-",
        "--- a rule",
        "—what?",
        "\\frac{1}{2} $x$",
    ],
)
def test_a_prompt_stays_as_typed(prompt: str) -> None:
    assert parse_line(prompt, expand) == PromptLine(prompt=prompt)
    assert parse_line(f"  -n 20   {prompt}  ", expand) == PromptLine({"max_tokens": 20}, prompt)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0")))
@example("\\{{x}}")
@example("it's {{ 'one' }}")
def test_any_text_that_begins_with_no_option_is_the_prompt(text: str) -> None:
    if not text.strip().startswith("-") and "<<" not in text:
        assert parse_line(text) == PromptLine(prompt=text.strip())


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0")))
def test_after_two_dashes_any_text_is_the_prompt(text: str) -> None:
    expected = PromptLine({"quiet": True}, text.strip(), is_literal=True)
    assert parse_line(f"-q -- {text}") == expected


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-n 20", {"max_tokens": 20}),
        ("-n20", {"max_tokens": 20}),
        ("-n=20", {"max_tokens": 20}),
        ("--max-tokens 20", {"max_tokens": 20}),
        ("--max-tokens=20", {"max_tokens": 20}),
        ("--seed=3", {"seed": 3}),
        ("--seed '3'", {"seed": 3}),
        ("--seed -1", {"seed": -1}),
        ("-t -0.5", {"temperature": -0.5}),
        ("-t1e-3", {"temperature": 0.001}),
        ("-s 'be kind'", {"system": "be kind"}),
        ('-s "be kind"', {"system": "be kind"}),
        ('-s"be kind"', {"system": "be kind"}),
        ('--system="be kind"', {"system": "be kind"}),
        (r"-s be\ kind", {"system": "be kind"}),
        (r'-s "say \"hi\""', {"system": 'say "hi"'}),
        ("""-s 'say "hi"'""", {"system": 'say "hi"'}),
        ("""-s "it's" """, {"system": "it's"}),
        ("-s ''", {"system": ""}),
        ("-s=", {"system": ""}),
        ("-s -q", {"system": "-q"}),
        (r"--stop '\n'", {"stop": [r"\n"]}),
        (r'--stop "\n\t\\"', {"stop": ["\n\t\\"]}),
        (r"--stop \n", {"stop": ["\n"]}),
        ("--stop a --stop=b --stop 'c d'", {"stop": ["a", "b", "c d"]}),
        ("-q --new --stats", {"quiet": True, "new": True, "stats": True}),
        ("-n 5 -n 6", {"max_tokens": 6}),
        ("-m /models/x.gguf -f text", {"model": "/models/x.gguf", "format": "text"}),
        ("-o answer --chat work", {"out": "answer", "chat": "work"}),
        ("", {}),
    ],
)
def test_options_are_read_as_a_shell_would(line: str, options: dict[str, Any]) -> None:
    assert parse_line(f"{line} hello") == PromptLine(options, "hello")
    assert parse_line(line) == PromptLine(options)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-n {{n}}", {"max_tokens": 7}),
        ("-n{{n}}", {"max_tokens": 7}),
        ("-n {{ n + 1 }}", {"max_tokens": 8}),
        ("--seed={{ n * 2 }}", {"seed": 14}),
        ("-s {{ who }}", {"system": 'a "b" c'}),
        ("""-s {{ 'with "quotes" and ' + who }}""", {"system": 'with "quotes" and a "b" c'}),
        ("""-s "for {{ who.replace('"', '') }}, please" """, {"system": "for a b c, please"}),
        ("-s 'for {{who}}'", {"system": 'for a "b" c'}),
        ("-s {{hostile}}", {"system": "{{n}} \\n '"}),
        ("-s {{ {'a': {'b': n}}['a']['b'] }}", {"system": "7"}),
        (r"-s '\{{n}}'", {"system": "{{n}}"}),
        (r'-s "\{{n}}"', {"system": "{{n}}"}),
        (r"-s \{{n}}", {"system": "{{n}}"}),
        ("--stop {{stops[0]}} --stop {{ stops[1] }}", {"stop": ["x", "y"]}),
    ],
)
def test_expressions_in_values_are_put_in_once(line: str, options: dict[str, Any]) -> None:
    assert parse_line(f"{line} hello {{{{n}}}}", expand) == PromptLine(options, "hello {{n}}")


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("answer << Why?", PromptLine({}, "Why?", "answer")),
        ("answer<< Why?", PromptLine({}, "Why?", "answer")),
        ("answer <<", PromptLine({}, "", "answer")),
        ("answer <<\nWhy?", PromptLine({}, "Why?", "answer")),
        ("-n 3 answer << 1 << 2?", PromptLine({"max_tokens": 3}, "1 << 2?", "answer")),
        ("antwörter_2 << Why?", PromptLine({}, "Why?", "antwörter_2")),
        ("shift x << 2", PromptLine({}, "shift x << 2")),
        ("x <<2", PromptLine({}, "x <<2")),
    ],
)
def test_var_before_two_less_than_signs_takes_the_answer(line: str, parsed: PromptLine) -> None:
    assert parse_line(line) == parsed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--temprature 0 hi", r"Unknown option --temprature\. Did you mean --temperature\?"),
        ("--temprature=0 hi", r"Unknown option --temprature\. Did you mean --temperature\?"),
        ("--Seed 3", r"Unknown option --Seed\. Did you mean --seed\?"),
        ("-x hi", r"Unknown option -x\."),
        ("--nothing-like-it hi", r"Unknown option --nothing-like-it\. .*/help"),
        ("--seed abc hi", r"--seed takes a whole number, not 'abc'\.$"),
        ("--seed 1.5 hi", r"--seed takes a whole number, not '1\.5'\.$"),
        ("--seed= hi", r"--seed takes a whole number, not ''\.$"),
        ("-nmany hi", r"-n takes a whole number, not 'many'\.$"),
        ("-t warm hi", r"-t takes a number, not 'warm'\.$"),
        ("-o 2x hi", r"-o takes a variable's name, not '2x'\.$"),
        ("-f markdwon hi", r"-f takes a format, not 'markdwon'\. Did you mean markdown\?$"),
        ("-f pdf hi", r"-f takes a format, not 'pdf'\. There are: markdown, code, text\.$"),
        ("--seed", r"--seed needs a whole number\. Write --seed N\.$"),
        ("-n 3 -s  ", r"-s needs a text\. Write -s TEXT\.$"),
        ("--new=1 hi", r"--new takes no value\.$"),
        ("-qx hi", r"-q takes no value\.$"),
        ("-s 'be kind hi", r"The quote in .* is not closed\.$"),
        ('-s "be kind hi', r"The quote in .* is not closed\.$"),
        ('--system="be kind hi', r"The quote in .* is not closed\.$"),
        ("-s don't be rude", r"The quote in .* is not closed\.$"),
        ("my-var << hi", r"'my-var' before << is not a variable's name\.$"),
    ],
)
def test_a_mistake_is_told_in_one_clear_line(line: str, message: str) -> None:
    with pytest.raises(MagicUsageError, match=message) as caught:
        parse_line(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-m/models/a=b.gguf", {"model": "/models/a=b.gguf"}),
        ("--model=/models/a=b.gguf", {"model": "/models/a=b.gguf"}),
        ("-sx=1", {"system": "x=1"}),
        ("""-s "a"'b'c""", {"system": "abc"}),
    ],
)
def test_a_value_may_hold_what_the_shell_lets_it(line: str, options: dict[str, Any]) -> None:
    assert parse_line(f"{line} hello") == PromptLine(options, "hello")


def test_after_two_dashes_there_is_no_variable() -> None:
    assert parse_line("-- x << 2 is what?") == PromptLine({}, "x << 2 is what?", is_literal=True)


def sample_of(option: Option) -> str:
    if option.choices:
        return option.choices[-1]
    samples = {"a number": "0.5", "a whole number": "3", "a variable's name": "v"}
    return samples.get(option.expects, "all" if option.key == "context" else "word")


@pytest.mark.parametrize("name", ALL_NAMES)
def test_every_option_parses_by_each_of_its_names(name: str) -> None:
    option = BY_NAME[name]
    if not option.metavar:
        assert parse_line(f"{name} hello") == PromptLine({option.key: True}, "hello")
        return
    text = sample_of(option)
    value = option.convert(text)
    expected = PromptLine({option.key: [value] if option.is_list else value}, "hello")
    for line in (f"{name} {text} hello", f"{name}={text} hello", f"{name} '{text}' hello"):
        assert parse_line(line) == expected


def test_every_option_is_in_the_help() -> None:
    text = str(magic_commands(lambda _chat, _context: None)["help"].run(Call(llm, llm.chat(), "")))
    for option in OPTIONS:
        assert all(f"`{name}`" in text for name in option.names)
        assert option.help in text


def test_no_two_options_share_a_name_or_key() -> None:
    assert len(set(ALL_NAMES)) == len(ALL_NAMES)
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)
    assert all(re.fullmatch(r"-[a-z]|--[a-z]+(-[a-z]+)*", name) for name in ALL_NAMES)


LONG_NAMES = [name for name in ALL_NAMES if name.startswith("--")]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", ("", LONG_NAMES)),
        (" ", ("", LONG_NAMES)),
        ("-", ("-", LONG_NAMES)),
        ("--te", ("--te", LONG_NAMES)),
        ("--seed 3 ", ("", LONG_NAMES)),
        ("-q --ma", ("--ma", LONG_NAMES)),
        ("--seed 3 -q --", ("--", LONG_NAMES)),
        ("-f ", ("", list(FORMATS))),
        ("-f te", ("te", list(FORMATS))),
        ("--new --format ma", ("ma", list(FORMATS))),
        ("--seed ", ("", [])),
        ("--seed 1", ("1", [])),
        ("Why", None),
        ("Why --te", None),
        ("-q Why", None),
        ("-q Why ", None),
        ("--seed 3 Why --", None),
    ],
)
def test_names_and_values_complete_until_the_prompt_begins(
    before: str, expected: tuple[str, list[str]] | None
) -> None:
    assert complete_option(before) == expected


@pytest.mark.parametrize(
    "before", ["-s 'be kind' --te", "--seed=3 --te", "-n20 --te", "-s={{n}} --te"]
)
def test_names_complete_after_values_of_every_form(before: str) -> None:
    found = complete_option(before)
    assert found is not None
    assert found[0] == "--te"
    assert "--temperature" in found[1]


def test_a_short_name_completes_to_itself() -> None:
    found = complete_option("-m")
    assert found is not None
    assert "-m" in found[1]


@pytest.mark.parametrize(
    ("before", "key"),
    [
        ("-m ", "model"),
        ("-m smo", "model"),
        ("--model smo", "model"),
        ("-q --chat ", "chat"),
        ("--top-p ", "top_p"),
        ("-m", None),
        ("-q ", None),
        ("-m smollm2 ", None),
        ("", None),
        ("why ", None),
    ],
)
def test_the_option_whose_value_is_typed_is_known(before: str, key: str | None) -> None:
    assert pending_option(before) == key


def test_the_nearest_word_is_suggested_or_else_the_hint() -> None:
    assert nearest("modle", ["chat", "model"], "no") == "Did you mean model?"
    assert nearest("qqq", ["model"], "no") == "no"


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*ALL_NAMES, "--", "=", "3", "'", '"', " ", "\\", "{{n}}", "a", "-"]))
)
def test_any_line_parses_or_is_a_usage_error(words: list[str]) -> None:
    for line in (" ".join(words), "".join(words)):
        with suppress(MagicUsageError):
            prompt = parse_line(line, expand).prompt
            assert prompt == prompt.strip()
            assert prompt in line
        complete_option(line)
        pending_option(line)


def test_options_may_follow_the_variable() -> None:
    parsed = parse_line("x << -n 5 Hello << you")
    assert (parsed.options, parsed.assign_to) == ({"max_tokens": 5}, "x")
    assert parsed.prompt == "Hello << you"


def test_a_shift_of_numbers_is_a_prompt() -> None:
    parsed = parse_line("1 << 3 is what?")
    assert (parsed.prompt, parsed.assign_to) == ("1 << 3 is what?", None)


@pytest.mark.parametrize(("text", "mode"), [("auto", "auto"), ("none", "none"), ("12", 12)])
def test_the_context_is_a_mode_or_a_number_of_cells(text: str, mode: object) -> None:
    assert parse_line(f"-c {text} hello").options == {"context": mode}


@pytest.mark.parametrize("text", ["some", "-3", "1.5"])
def test_any_other_context_is_refused(text: str) -> None:
    with pytest.raises(MagicUsageError, match="auto, none, all or a number of cells"):
        parse_line(f"--context={text} hello")


@pytest.mark.parametrize(
    ("text", "wanted"), [("auto", "auto"), ("none", "none"), ("df", ("df",)), ("a,b", ("a", "b"))]
)
def test_variables_are_chosen_by_name(text: str, wanted: object) -> None:
    assert parse_line(f"--vars {text} hello").options == {"vars": wanted}


def test_variables_that_are_no_names_are_refused() -> None:
    with pytest.raises(MagicUsageError, match="names such as a,b"):
        parse_line("--vars a,1b hello")
