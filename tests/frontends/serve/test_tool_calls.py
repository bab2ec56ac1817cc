"""Calls of tools, as the official client asks for them and reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from support.engines import load
from support.scripted import ScriptedEngine
from support.serving import client_of, serving

from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.engine.request import Message

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


def tool(name: str, properties: dict[str, Any], **more: Any) -> Any:
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


WEATHER = tool("weather", {"days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}})
NOW = tool("now", {})
OSLO = ToolCall("weather", '{"days": 3, "unit": "C"}')
TIME = ToolCall("now", "{}")
NAMED = {"type": "function", "function": {"name": "now"}}


@pytest.fixture
def client(tiny_gguf: Path, fresh_llm: None) -> Iterator[OpenAI]:
    with serving(load(tiny_gguf)) as served, client_of(served) as client:
        yield client


@pytest.mark.parametrize("choice", ["auto", "required", NAMED], ids=["auto", "required", "named"])
def test_calls_of_any_model_are_well_formed(choice: Any, client: OpenAI) -> None:
    asked: dict[str, Any] = {"tools": [WEATHER, NOW], "tool_choice": choice, "max_tokens": 200}
    asked |= {"temperature": 1.5, "parallel_tool_calls": False}
    for seed in range(3):
        answered = client.chat.completions.create(model="tiny", messages=HELLO, seed=seed, **asked)
        (answer,) = answered.choices
        calls = answer.message.tool_calls or []
        for call in calls:
            assert call.type == "function"
            keys = {"weather": {"days", "unit"}, "now": set[str]()}[call.function.name]
            assert set(json.loads(call.function.arguments)) == keys
        if choice != "auto":
            assert (len(calls), answer.finish_reason) == (1, "tool_calls")
        if choice == NAMED:
            assert calls[0].function.name == "now"


def test_calls_are_told_whole_and_in_pieces(fresh_llm: None) -> None:
    engine = ScriptedEngine([f"Let me see.\n{OSLO.text}\n{TIME.text}"] * 2)
    asked: dict[str, Any] = {"model": "", "messages": HELLO, "tools": [WEATHER, NOW]}
    with serving(engine) as served, client_of(served) as client:
        (whole,) = client.chat.completions.create(**asked).choices
        with client.chat.completions.stream(**asked) as stream:
            (streamed,) = stream.get_final_completion().choices
    for answer in (whole, streamed):
        assert answer.message.content == "Let me see."
        assert answer.finish_reason == "tool_calls"
        calls = answer.message.tool_calls or []
        assert [(call.function.name, call.function.arguments) for call in calls] == [
            (one.name, one.arguments) for one in (OSLO, TIME)
        ]
        assert len({call.id for call in calls}) == 2
    assert isinstance(engine.requests[0].constraint, Grammar)
    prompt: Any = engine.requests[0].prompt
    assert prompt[0].content.count('"name": "weather"') == 1


def test_each_of_several_answers_has_calls_of_its_own(fresh_llm: None) -> None:
    engine = ScriptedEngine([OSLO.text, "No.", TIME.text[:-5]])
    with serving(engine) as served, client_of(served) as client:
        answered = client.chat.completions.create(
            model="", messages=HELLO, tools=[WEATHER, NOW], n=3
        )
    said = [(one.message.content, len(one.message.tool_calls or ())) for one in answered.choices]
    assert sorted(said, key=str) == [("No.", 0), (None, 1), (None, 1)]


def test_results_are_read_after_their_calls(fresh_llm: None) -> None:
    engine = ScriptedEngine(["Fine."])
    calls = [
        {
            "id": one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": one.arguments},
        }
        for one in (OSLO, TIME)
    ]
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": OSLO.id, "content": "7 C"},
        {"role": "tool", "tool_call_id": TIME.id, "content": [{"type": "text", "text": "noon"}]},
    ]
    with serving(engine) as served, client_of(served) as client:
        answered = client.chat.completions.create(
            model="", messages=messages, tools=[WEATHER, NOW], tool_choice="none"
        )
        assert answered.choices[0].message.content == "Fine."
        messages[-1]["tool_call_id"] = "x"
        with pytest.raises(BadRequestError, match="No call before has the tool_call_id 'x'"):
            client.chat.completions.create(model="", messages=messages)
    assert engine.requests[0].constraint is None
    assert engine.requests[0].prompt == (
        Message("system", "Be brief."),
        Message("user", "Hello there"),
        Message("assistant", f"{OSLO.text}\n{TIME.text}"),
        Message(
            "user",
            "<tool_response>\n7 C\n</tool_response>\n<tool_response>\nnoon\n</tool_response>",
        ),
    )


SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"type": "number"}}}
STRICT = tool("odd", {"a": {"type": "string", "pattern": "(?=a)b"}}, strict=True)
REFUSED: dict[str, dict[str, Any]] = {
    "There is no tool to call": {"tool_choice": "required"},
    "There is no tool later to call": {
        "tools": [NOW],
        "tool_choice": {"type": "function", "function": {"name": "later"}},
    },
    "Two tools have the name now": {"tools": [NOW, NOW]},
    "No function has the name 'a b'": {"tools": [tool("a b", {})]},
    "The parameters of odd: The field a cannot be asked": {"tools": [STRICT]},
    "Invalid enum value 'custom'": {"tools": [{"type": "custom"}]},
    "the shape of an answer is": {"tools": [NOW], "grammar": '%llguidance {}\nstart: "a"'},
    "is the schema of an object": {"tools": [NOW], "response_format": SCHEMA},
}


@pytest.mark.parametrize("fault", REFUSED, ids=range(len(REFUSED)))
def test_tools_that_cannot_be_served_are_refused_in_one_line(fault: str, client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match=fault):
        client.chat.completions.create(model="tiny", messages=HELLO, extra_body=REFUSED[fault])
