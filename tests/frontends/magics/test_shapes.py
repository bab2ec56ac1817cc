"""Answers with a shape in cells: shown as trees, put into variables, refused in one line."""

from __future__ import annotations

from enum import Enum
from typing import Any
from unittest.mock import Mock

import pandas as pd  # type: ignore[import-untyped]
import pytest
from IPython.core.interactiveshell import InteractiveShell
from pydantic import BaseModel
from support.html_reader import HtmlReader
from support.scripted import ScriptedEngine, messages_of
from support.shell import run

from jupyter_llm import Completion, Quote, ShapeError, llm
from jupyter_llm.engine.completion import BatchError, PromptInterrupted
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.records.records import shown_text

pytestmark = pytest.mark.usefixtures("shell")


class Person(BaseModel):
    name: str
    age: int


class Tone(Enum):
    GOOD = "good"
    BAD = "bad"


ANN = '{"name": "Ann", "age": 3}'
NAMES: dict[str, Any] = {"Person": Person, "Tone": Tone, "tones": ["good", "bad"], "name": "Oslo"}


@pytest.fixture
def named(shell: InteractiveShell) -> None:
    shell.user_ns.update(NAMES)


@pytest.mark.parametrize(
    ("options", "text", "value"),
    [
        ("--schema Person", ANN, Person(name="Ann", age=3)),
        ('--schema "list[Person]"', f"[{ANN}]", [Person(name="Ann", age=3)]),
        ("--schema Tone", "bad", Tone.BAD),
        ("--schema bool", "Yes", True),
        ("--choices tones", "bad", "bad"),
        ('--choices "good, so so"', "so so", "so so"),
        ("""--choices '["a, b", "c"]'""", "a, b", "a, b"),
        ("--choices Tone", "good", Tone.GOOD),
        ("--regex '[0-9]{3}'", "123", "123"),
        ("-f json", '{"a": [1]}', {"a": [1]}),
        ("--schema {{'Per' + 'son'}}", ANN, Person(name="Ann", age=3)),
    ],
)
def test_a_variable_gets_the_value_and_the_cell_shows_it(
    shell: InteractiveShell,
    scripted: ScriptedEngine,
    named: None,
    options: str,
    text: str,
    value: Any,
) -> None:
    scripted.replies.extend([text, text])
    cell = run(shell, f"%%llm {options} -o out\nWho?")
    assert shell.user_ns["out"] == value
    (shown,) = cell.displays
    assert shown["text/plain"] == text
    assert set(shown) == {"text/plain", "text/html"}
    assert run(shell, f"%llm {options} out << Who?").displays == []
    assert shell.user_ns["out"] == value
    constraint = scripted.requests[0].constraint
    assert isinstance(
        constraint, OneOf if "hoices" in options or value in (True, Tone.BAD) else Grammar
    )


def test_the_short_form_is_meant_where_no_variable_says_what_an_answer_is(
    shell: InteractiveShell, scripted: ScriptedEngine, named: None
) -> None:
    scripted.replies.extend(['{"name": "Ann", "age": 3}', '{"name": "Ann"}'])
    run(shell, '%llm --schema "name, age int" -o out Who?')
    assert shell.user_ns["out"] == {"name": "Ann", "age": 3}
    run(shell, "%llm --schema name -o out Who?")  # a text is no type
    assert shell.user_ns["out"] == {"name": "Ann"}


def test_without_a_shape_a_variable_gets_the_completion(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("Ann")
    run(shell, "%llm -o out Who?")
    assert isinstance(shell.user_ns["out"], Completion)


def test_an_answer_is_json_while_it_is_written_and_a_tree_then(
    shell: InteractiveShell, scripted: ScriptedEngine, named: None
) -> None:
    scripted.replies.append(ANN)
    cell = run(shell, "%llm --schema Person --reason 5 Who?")
    assert all(state == ANN[: len(state)] for state in cell.seen)
    page = HtmlReader(cell.displays[0]["text/html"])
    assert "name: Ann" in page.text
    assert scripted.requests[0].params.reason == 5
    scripted.replies.append("bad")
    page = HtmlReader(run(shell, "%llm --choices tones Tone?").displays[0]["text/html"])
    assert page.cells[::2] == ["bad", "good", "left free, something else"]
    scripted.replies.append(ANN)
    assert set(run(shell, "%llm --schema Person -f text Who?").displays[0]) == {"text/plain"}


def test_what_came_of_an_answer_that_is_none_stays_in_sight(
    shell: InteractiveShell, scripted: ScriptedEngine, named: None
) -> None:
    shell.user_ns["out"] = "before"
    scripted.replies.append('{"name": "Ann", "age": "x"}')
    cell = run(shell, "%llm --schema Person -o out Who?", raises=ShapeError)
    assert "age" in str(cell.error)
    assert "\n" not in str(cell.error)
    assert cell.displays[0]["text/plain"].startswith('{"name": "Ann"')
    assert shell.user_ns["out"] == "before"
    scripted.replies.append("word " * 40)
    cell = run(shell, "%llm --schema Person -n 3 -o out Who?", raises=ShapeError)
    assert "cut off" in str(cell.error)
    assert "-n" in str(cell.error)
    assert "cut off" not in str(cell.displays[-1])  # it is told once
    assert shell.user_ns["out"] == "before"


def test_an_interrupt_leaves_what_there_is_and_no_value(
    shell: InteractiveShell, interrupted: ScriptedEngine, named: None
) -> None:
    interrupted.replies.append('{"name": "Ann", "age": 3}')
    cell = run(shell, "%llm --schema Person -o out Who?", raises=PromptInterrupted)
    assert '{"name": ' in cell.displays[0]["text/plain"]
    assert "out" not in shell.user_ns


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--schema Person --choices a,b x", "one of schema=, choices="),
        ("--schema Person -f code x", "-f code, --below or --replace"),
        ("--choices tones --below x", "A shape cannot be used with"),
        ("--show-tokens -f code x", "--show-tokens cannot be used with"),
        ("--map tones -f code x", "--map cannot be used with"),
        ("--map tones --dry-run x", "--dry-run shows one prompt"),
        ("--reason 9 x", "--reason comes before a shape"),
        ("--reason x y", "--reason takes a whole number"),
        ("--schema Person --stop x y", "stop= cannot be used with a shape"),
        ("--regex '(' x", "regex"),
        ("--map nothing x", "{{nothing}} failed: NameError"),
        ("--map tones --show-tokens x", "--show-tokens shows one answer"),
        ("--schema Person.nothing x", "{{Person.nothing}} failed: AttributeError"),
        ("--schema Person /status", "--schema is for prompts, and /status is a command"),
        ("--show-tokens /status", "--show-tokens is for prompts"),
        ("--choices tonse x", "--choices has one text, 'tonse'"),
        ("-f jsn x", "markdown, code, json or text"),
        ("--shema x", "Did you mean --schema"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line_before_any_token(
    shell: InteractiveShell, scripted: ScriptedEngine, named: None, line: str, said: str
) -> None:
    error = run(shell, f"%llm {line}", raises=JupyterLLMError).error
    assert said in str(error)
    assert "\n" not in str(error)
    assert scripted.requests == []


def test_the_turn_goes_along_as_text_and_is_verified_as_such(
    shell: InteractiveShell, scripted: ScriptedEngine, named: None
) -> None:
    scripted.replies.extend([ANN, "fine"])
    shown = run(shell, "%llm --schema Person Who?").displays[0]
    run(shell, "%llm And?")
    told = [message.content for message in messages_of(scripted.requests[1].prompt)]
    assert told[1] == ANN
    assert scripted.requests[1].constraint is None
    (answer, _) = llm.answers
    assert shown_text({"data": shown}, answer.record) == ANN


def test_the_tokens_are_shown_below_the_answer_and_asked_for_with_it(
    shell: InteractiveShell,
) -> None:
    cell = run(shell, "%llm -n 6 --seed 1 --show-tokens -o out Hello")
    assert shell.user_ns["out"].logprobs is not None
    assert "How likely each token was" in cell.displays[1]["text/html"]
    assert len(run(shell, "%llm -n 6 --seed 1 --show-tokens -q Hello").displays) == 0
    chosen = run(shell, "%llm -n 6 --choices a,b --show-tokens Hello").displays
    (told,) = HtmlReader(chosen[1]["text/html"]).titles[-1:]
    shares = HtmlReader(chosen[0]["text/html"]).cells  # of what was chosen and of the other
    assert told == f'{shares[1].strip()}; "{shares[2]}" {shares[3].strip()}'


def test_a_column_is_asked_for_row_by_row_and_shown_from_its_start(
    shell: InteractiveShell, scripted: ScriptedEngine, named: None
) -> None:
    scripted.replies.extend(["good", "bad", "good"])
    shell.user_ns["df"] = pd.DataFrame({"text": ["a", "b", "c"]}, index=[7, 8, 9])
    cell = run(
        shell,
        "%%llm --map df.text --choices tones --no-save -t 0 -s {{'Sh' + 'ort'}} -o tone\n"
        "Tone of {{item}} @df?",
    )
    assert list(shell.user_ns["tone"].index) == [7, 8, 9]
    asked = [[m.content for m in messages_of(one.prompt)] for one in scripted.requests]
    assert [one[0] for one in asked] == ["Short"] * 3
    assert sorted(one[-1] for one in asked) == [
        f"Answer with one of: good, bad.\n\nTone of {row} @df?" for row in "abc"
    ]
    assert "good" in cell.displays[-1]["text/plain"]
    assert llm.chat("default").turns == []


def test_a_row_quotes_itself_and_not_the_template(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["cat", "dogs"])
    shell.user_ns |= {"Quote": Quote, "rows": ["one cat", "two dogs"]}
    run(shell, "%%llm --map rows --schema Quote --no-save -o found\nCopy a word: {{item}}")
    assert shell.user_ns["found"] == ["cat", "dogs"]


@pytest.mark.parametrize(
    ("error", "column"),
    [
        (BatchError((), {1: JupyterLLMError("no")}, best=["good", None]), ["good", None]),
        (PromptInterrupted(best=[None, "bad"]), [None, "bad"]),
        (PromptInterrupted(), "as it was"),
    ],
)
def test_a_variable_gets_what_there_is_of_a_column_that_is_stopped(
    shell: InteractiveShell,
    named: None,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    column: object,
) -> None:
    monkeypatch.setattr(llm, "map", Mock(side_effect=error))
    shell.user_ns["tone"] = "as it was"
    run(shell, "%%llm --map tones -o tone\nTone?", raises=type(error))
    assert shell.user_ns["tone"] == column


def test_defaults_say_how_long_a_reason_is_and_that_answers_are_json(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["[1]", "yes", "text"])
    shell.run_line_magic("config", "LLMMagics.reason = 7")
    shell.run_line_magic("config", "LLMMagics.format = 'json'")
    run(shell, "%llm -o out One.")
    run(shell, "%llm --choices yes,no -o choice One.")
    run(shell, "%llm -f markdown One.")
    assert (shell.user_ns["out"], shell.user_ns["choice"]) == ([1], "yes")
    assert [request.params.reason for request in scripted.requests] == [7, 7, 0]


@pytest.mark.parametrize(
    ("options", "thinks"),
    [("", "None"), ("--think", "True"), ("--choices a,b", "False"), ("-f code", "False")],
)
def test_a_dry_run_shows_what_a_model_that_thinks_reads(
    shell: InteractiveShell,
    scripted: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    thinks: str,
) -> None:
    monkeypatch.setattr(scripted, "format", lambda _prompt, *, think=None: f"thinks: {think}")
    assert f"thinks: {thinks}" in run(shell, f"%llm --dry-run {options} Who?").text
