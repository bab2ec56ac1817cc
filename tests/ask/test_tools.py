"""Tools: the grammar of calls, their reader, and what a model reads about them."""

from __future__ import annotations

import json

import pytest

from jupyter_llm.ask.shape import shape_of
from jupyter_llm.ask.tools import (
    CallReader,
    Tool,
    ToolCall,
    ToolUse,
    call_message,
    result_message,
)
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.engine.local.masks.grammar import fits
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import OptionError

WEATHER = Tool(
    name="get_weather",
    description="The weather of a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)
NOW = Tool(name="time.now-1")
NAMES = ("get_weather", "time.now-1")
OSLO = ToolCall("get_weather", '{"city": "Os}\\nlo"}', "1").text
TIME = ToolCall("time.now-1", "{}", "2").text
BARE = OSLO.partition("\n")[2]
BOTH = f"{OSLO}\n{TIME}"
ALONE = ("", "a < b", "Let me see.\n" + OSLO, OSLO, TIME, BARE, "```json\n" + BARE)
MALFORMED = (
    "<tool_call>",
    '<tool_call>\n{"name": "another", "arguments": {}}\n</tool_call>',
    OSLO.replace("city", "town"),
    TIME.replace("{}", '{"a": 1}'),
    OSLO.replace("\n</tool_call>", ""),
    '{"name": "get_weather", "city": "Oslo"}',
)


@pytest.mark.parametrize(
    ("use", "allowed"),
    [
        (ToolUse(tools=[WEATHER, NOW]), {*ALONE, BOTH}),
        (ToolUse(tools=[WEATHER, NOW], is_single=True), {*ALONE}),
        (ToolUse(tools=[WEATHER, NOW], must_call=True), {OSLO, TIME, BOTH}),
        (ToolUse(tools=[WEATHER, NOW], only="time.now-1"), {TIME}),
    ],
    ids=["auto", "single", "required", "named"],
)
def test_an_answer_has_well_formed_calls_or_none(use: ToolUse, allowed: set[str]) -> None:
    grammar = use.constraint()
    assert {text for text in (*ALONE, BOTH, *MALFORMED) if fits(grammar, text)} == allowed


def test_an_answer_in_words_has_no_call() -> None:
    grammar = ToolUse(tools=[WEATHER, NOW]).words()
    assert [fits(grammar, text) for text in ("a < b", OSLO, BARE, BOTH)] == [True, *[False] * 3]


def test_an_answer_with_a_schema_is_a_call_or_has_it() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    shape = shape_of(schema, is_json=True).constraint
    assert isinstance(shape, Grammar)
    grammar = ToolUse(tools=[WEATHER]).constraint(shape)
    assert [fits(grammar, text) for text in ('{"age": 3}', OSLO, "Hello")] == [True, True, False]


@pytest.mark.parametrize(
    ("answer", "said", "calls"),
    [
        ("a < b {c} `d`", "a < b {c} `d`", []),
        (f"Well. \n\n{OSLO}\n{TIME}", "Well.", [OSLO, TIME]),
        (f"See:\n```json\n{BARE}\nAnd", "See:", [OSLO]),
        ('{\n  "name":  "time.now-1", "arguments": {}}\n</tool_call>', "", [TIME]),
        ('Like {"name": "Ann", "arguments": {}}.', 'Like {"name": "Ann", "arguments": {}}.', []),
        ("So\n<tool_call>\n", "So\n", []),
    ],
)
def test_calls_are_read_alike_in_any_pieces(answer: str, said: str, calls: list[str]) -> None:
    for size in range(1, len(answer) + 1):
        reader, texts, arguments = CallReader(NAMES), "", dict[int, str]()
        pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
        for piece in [*pieces, None]:
            text, parts = reader.feed(piece or "", is_last=piece is None)
            texts += text
            for part in parts:
                assert part.is_first == (part.number not in arguments)
                arguments[part.number] = arguments.get(part.number, "") + part.arguments
        assert (texts, [call.text for call in reader.calls]) == (said, calls)
        assert [*arguments.values()] == [call.arguments for call in reader.calls]
        assert not reader.is_within


def test_an_answer_that_ends_within_a_call_is_known_to_be_incomplete() -> None:
    reader = CallReader(NAMES)
    reader.feed(OSLO[:-5], is_last=True)
    assert reader.is_within
    assert [call.arguments for call in reader.calls] == ['{"city": "Os}\\nlo"}']


def test_a_model_reads_tools_in_the_system_text_and_calls_and_results_as_texts() -> None:
    use, asked = ToolUse(tools=[WEATHER, NOW]), Message("user", "Hello")
    first, second = use.described([Message("system", "Be brief."), asked])
    assert first.content.startswith("Be brief.\n\n# Tools")
    listed = first.content.partition("<tools>\n")[2].partition("\n</tools>")[0]
    signatures = [json.loads(line)["function"] for line in listed.split("\n")]
    assert [one["name"] for one in signatures] == [*NAMES]
    assert second == asked
    assert [message.role for message in use.described([asked])] == ["system", "user"]
    call = ToolCall("time.now-1", "")
    assert call_message("Well.", [call]) == Message("assistant", f"Well.\n{TIME}")
    assert result_message(["7", "8"]).content.count("<tool_response>") == 2


def test_a_schema_that_cannot_be_enforced_allows_any_object_unless_it_is_strict() -> None:
    odd = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=a)b"}}}
    for schema in (odd, {"type": "object"}, {"type": "string"}):
        use = ToolUse(tools=[Tool(name="odd", parameters=schema)])
        assert fits(use.constraint(), ToolCall("odd", '{"b": [1]}').text)
    with pytest.raises(OptionError, match=r"The parameters of odd: The field a cannot"):
        Tool(name="odd", parameters=odd, is_strict=True)


def test_tools_that_cannot_be_called_are_refused() -> None:
    with pytest.raises(OptionError, match="No function has the name 'a b'"):
        Tool(name="a b")
    with pytest.raises(OptionError, match=r"There is no tool to call\."):
        ToolUse(tools=[])
    with pytest.raises(OptionError, match=r"There is no tool x to call\."):
        ToolUse(tools=[NOW], only="x")
    with pytest.raises(OptionError, match=r"Two tools have the name time\.now-1\."):
        ToolUse(tools=[NOW, NOW])
