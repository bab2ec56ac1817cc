"""Options come first, the prompt stays as typed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_llm import SamplingParams, llm
from jupyter_llm.common.expressions import interpolate
from jupyter_llm.common.option import Option
from jupyter_llm.engine.project import PROMPTING, SETTINGS
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.magics.completion import words_at
from jupyter_llm.frontends.magics.magics import LLMMagics, magic_commands
from jupyter_llm.frontends.prompt.commands import Call
from jupyter_llm.frontends.prompt.options import (
    FORMATS,
    OPTIONS,
    Options,
    PromptLine,
    parse_line,
)

ALL_NAMES = [name for option in OPTIONS for name in option.names]
BY_NAME = {name: option for option in OPTIONS for name in option.names}
TEXT = st.text(st.characters(exclude_characters="\0"))


def expand(text: str) -> str:
    names = {"n": 7, "who": 'a "b" c', "stops": ["x", "y"], "hostile": "{{n}} \\n '"}
    return interpolate(text, lambda source: eval(source, names))  # noqa: S307  what the tests wrote


@pytest.mark.parametrize(
    "prompt",
    [
        'What\'s "up"?',
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
    ],
)
def test_a_prompt_stays_as_typed(prompt: str) -> None:
    assert parse_line(prompt, expand) == PromptLine(prompt=prompt)
    assert parse_line(f"  -n 20   {prompt}  ", expand) == PromptLine({"max_tokens": 20}, prompt)


@given(TEXT)
@example("\\{{x}}")
@example("it's {{ 'one' }}")
@example("x << 2 is what?")
def test_any_text_is_the_prompt_after_two_dashes_or_without_an_option(text: str) -> None:
    literal = PromptLine({"quiet": True}, text.strip(), is_literal=True)
    assert parse_line(f"-q -- {text}") == literal
    if not text.strip().startswith("-") and "<<" not in text:
        assert parse_line(text) == PromptLine(prompt=text.strip())


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-n20", {"max_tokens": 20}),
        ("-n=20", {"max_tokens": 20}),
        ("--max-tokens 20", {"max_tokens": 20}),
        ("--max-tokens=20", {"max_tokens": 20}),
        ("--seed '3'", {"seed": 3}),
        ("-t -0.5", {"temperature": -0.5}),
        ("-t1e-3", {"temperature": 0.001}),
        ("-s 'be kind'", {"system": "be kind"}),
        ('-s"be kind"', {"system": "be kind"}),
        ('--system="be kind"', {"system": "be kind"}),
        (r"-s be\ kind", {"system": "be kind"}),
        (r'-s "say \"hi\""', {"system": 'say "hi"'}),
        ("""-s 'say "hi"'""", {"system": 'say "hi"'}),
        ("""-s "a"'b'c""", {"system": "abc"}),
        ("-s ''", {"system": ""}),
        ("-s=", {"system": ""}),
        ("-s -q", {"system": "-q"}),
        ("-sx=1", {"system": "x=1"}),
        (r"--stop '\n'", {"stop": (r"\n",)}),
        (r'--stop "\n\t\\"', {"stop": ("\n\t\\",)}),
        (r"--stop \n", {"stop": ("\n",)}),
        ("--stop a --stop=b --stop 'c d'", {"stop": ("a", "b", "c d")}),
        ("-q --new --stats", {"quiet": True, "new": True, "stats": True}),
        ("-n 5 -n 6", {"max_tokens": 6}),
        ("-m /models/a=b.gguf -f text", {"model": "/models/a=b.gguf", "format": "text"}),
        ("-m/models/a=b.gguf", {"model": "/models/a=b.gguf"}),
        ("-o answer --chat work", {"out": "answer", "chat": "work"}),
        ("-c auto", {"context": "auto"}),
        ("-c 12", {"context": 12}),
        ("--vars none", {"vars": "none"}),
        ("--vars 'a, b'", {"vars": "a,b"}),
        ("", {}),
    ],
)
def test_options_are_read_as_a_shell_would(line: str, options: dict[str, Any]) -> None:
    assert parse_line(f"{line} hello") == PromptLine(options, "hello")
    assert parse_line(line) == PromptLine(options)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-n{{n}}", {"max_tokens": 7}),
        ("-n {{ n + 1 }}", {"max_tokens": 8}),
        ("--seed={{ n * 2 }}", {"seed": 14}),
        ("""-s {{ 'with "quotes" and ' + who }}""", {"system": 'with "quotes" and a "b" c'}),
        ("""-s "for {{ who.replace('"', '') }}, please" """, {"system": "for a b c, please"}),
        ("-s 'for {{who}}'", {"system": 'for a "b" c'}),
        ("-s {{hostile}}", {"system": "{{n}} \\n '"}),
        ("-s {{ {'a': {'b': n}}['a']['b'] }}", {"system": "7"}),
        (r"-s '\{{n}}'", {"system": "{{n}}"}),
        (r'-s "\{{n}}"', {"system": "{{n}}"}),
        ("--stop {{stops[0]}} --stop {{ stops[1] }}", {"stop": ("x", "y")}),
    ],
)
def test_expressions_in_values_are_put_in_once(line: str, options: dict[str, Any]) -> None:
    assert parse_line(f"{line} hello {{{{n}}}}", expand) == PromptLine(options, "hello {{n}}")


@pytest.mark.parametrize(
    ("line", "options", "prompt"),
    [
        ("answer<< Why?", {}, "Why?"),
        ("answer <<\nWhy?", {}, "Why?"),
        ("-n 3 answer << 1 << 2?", {"max_tokens": 3}, "1 << 2?"),
        ("answer << -n 5 Hello << you", {"max_tokens": 5}, "Hello << you"),
        ("answer <<", {}, ""),
    ],
)
def test_var_before_two_less_than_signs_takes_the_answer(
    line: str, options: dict[str, Any], prompt: str
) -> None:
    assert parse_line(line) == PromptLine({**options, "assign_to": "answer"}, prompt)


def test_other_less_than_signs_are_the_prompts() -> None:
    for prompt in ("shift x << 2", "x <<2", "1 << 3 is what?", "0.5 << 3?"):
        assert parse_line(prompt) == PromptLine({}, prompt)
    assert parse_line("x << -- /help") == PromptLine({"assign_to": "x"}, "/help", is_literal=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--temprature=0 hi", r"Unknown option --temprature\. Did you mean --temperature\?"),
        ("--Seed 3", r"Unknown option --Seed\. Did you mean --seed\?"),
        ("--temp 1", r"Unknown option --temp\. Did you mean --temperature\?"),
        ("--bogus 1", r"Unknown option --bogus\. `%llm /help` lists them"),
        ("-x hi", r"Unknown option -x\."),
        ("--seed 1.5 hi", r"--seed takes a whole number, not '1\.5'\.$"),
        ("--seed= hi", r"--seed takes a whole number, not ''\.$"),
        ("-nmany hi", r"-n takes a whole number, not 'many'\.$"),
        ("-t warm hi", r"-t takes a number, not 'warm'\.$"),
        ("-o 2x hi", r"-o takes a variable's name, or names with types, not '2x'\.$"),
        ("-c -3 hi", r"-c takes auto, none, all or a number of cells, not '-3'\.$"),
        ("--vars a,1b hi", r"--vars takes auto, none or names such as a,b, not 'a,1b'\.$"),
        ("-f pdf hi", r"-f takes markdown, code, json or text, not 'pdf'\.$"),
        ("--seed", r"--seed needs a whole number\. Write --seed N\.$"),
        ("-n 3 -s  ", r"-s needs a text\. Write -s TEXT\.$"),
        ("--new=1 hi", r"--new takes no value\.$"),
        ("-qx hi", r"-q takes no value\.$"),
        ("-s 'be kind hi", r"The quote in .* is not closed\.$"),
        ("-s don't be rude", r"The quote in .* is not closed\.$"),
        ("my-var << hi", r"'my-var' before << is not a variable's name\. After -- all is"),
        ("class << hi", r"'class' before << is not a variable's name\."),
        ("-o class hi", r"-o takes a variable's name, or names with types, not 'class'\.$"),
    ],
)
def test_a_mistake_is_told_in_one_clear_line(line: str, message: str) -> None:
    with pytest.raises(MagicUsageError, match=message) as caught:
        parse_line(line)
    assert "\n" not in str(caught.value)


def sample_of(option: Option) -> str:
    samples = {"a number": "0.5", "a whole number": "3", "a variable's name": "v"}
    samples |= {"markdown, code, json or text": "text"}
    return samples.get(option.expected, "all" if option.key == "context" else "word")


@pytest.mark.parametrize("name", ALL_NAMES)
def test_every_option_parses_by_each_of_its_names_and_is_told(name: str) -> None:
    option = BY_NAME[name]
    if option.metavar:
        text = sample_of(option)
        value = (option.read(text),) if option.is_list else option.read(text)
        lines = [f"{name} {text} hello", f"{name}={text} hello", f"{name} '{text}' hello"]
    else:
        value, lines = option.value, [f"{name} hello"]
    for line in lines:
        assert parse_line(line) == PromptLine({option.key: value}, "hello")
    told = Options().with_line({option.key: value})
    assert getattr(told.params if hasattr(told.params, option.key) else told, option.key) == value
    help_page = magic_commands(lambda _chat, _context: None)["help"]
    text = str(help_page.run(Call(llm=llm, chat=llm.chat())))
    assert f"`{name}`" in text
    assert option.help in text


def test_every_setting_holds_in_config_and_in_a_projects_file() -> None:
    declared = {option.key for option in OPTIONS if option.is_setting}
    assert declared < set(SETTINGS)
    shown = set(LLMMagics.class_trait_names(config=True))
    assert shown == {"model", "allow_remote", *PROMPTING}


def test_what_a_line_does_not_give_stays_as_the_front_end_has_it() -> None:
    mine = Options(model="a", params=SamplingParams(seed=3, top_k=5), vars="x", stats=True)
    given = mine.with_line({"seed": 7, "model": "b"})
    assert given == Options(model="b", params=SamplingParams(seed=7, top_k=5), vars="x", stats=True)
    assert mine.with_line({"context": "none"}).vars == "none"
    assert mine.with_line({"context": "none", "vars": "y"}).vars == "y"


LONG_NAMES = [name for name in ALL_NAMES if name.startswith("--")]


@pytest.mark.parametrize(
    ("before", "fragment", "words"),
    [
        ("", "", LONG_NAMES),
        ("--te", "--te", LONG_NAMES),
        ("-m", "-m", ["-m", *LONG_NAMES]),
        ("--seed 3 ", "", LONG_NAMES),
        ("-q --ma", "--ma", LONG_NAMES),
        ("-s 'be kind' --te", "--te", LONG_NAMES),
        ("-s={{n}} --te", "--te", LONG_NAMES),
        ("-f ", "", list(FORMATS)),
        ("--new --format ma", "ma", list(FORMATS)),
        ("-c ", "", ["auto", "none", "all"]),
        ("--vars n", "n", ["auto", "none"]),
        ("--seed 1", "1", []),
        ("/he", "/he", ["/help", "/use"]),
        ("Why --te", "", []),
        ("-q Why ", "", []),
        ("--seed 3 Why --", "", []),
        ("-- --te", "", []),
    ],
)
def test_names_values_and_commands_complete_until_the_prompt_begins(
    before: str, fragment: str, words: list[str]
) -> None:
    assert words_at(before, ("help", "use")) == (fragment, words)


@given(
    st.lists(st.sampled_from([*ALL_NAMES, "--", "=", "3", "'", '"', " ", "\\", "{{n}}", "a", "-"]))
)
def test_any_line_parses_or_is_a_usage_error(words: list[str]) -> None:
    for line in (" ".join(words), "".join(words)):
        with suppress(MagicUsageError):
            prompt = parse_line(line, expand).prompt
            assert prompt == prompt.strip()
            assert prompt in line
        words_at(line, ())
