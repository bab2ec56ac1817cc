"""OpenAI's newer protocol, as its official client asks and reads."""

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

from jupyter_llm import llm
from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.engine.request import Message

PARAMETERS = {
    "type": "object",
    "properties": {"days": {"type": "integer"}},
    "required": ["days"],
}
WEATHER: Any = {"type": "function", "name": "weather", "parameters": PARAMETERS}
AGENTS: Any = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents.",
    "tools": [{"type": "function", "name": "wait", "parameters": {"type": "object"}}],
}
OSLO = ToolCall("weather", '{"days": 3}')
ASKED: dict[str, Any] = {"model": "", "input": "Hello there"}


@pytest.fixture
def tiny(tiny_gguf: Path, fresh_llm: None) -> Iterator[OpenAI]:
    with serving(load(tiny_gguf)) as served, client_of(served) as client:
        yield client


def both(client: OpenAI, **asked: Any) -> tuple[Any, Any]:
    """The response as one body, and as put together from its events."""
    whole = client.responses.create(**ASKED, **asked)
    with client.responses.stream(**ASKED, **asked) as stream:
        events = [*stream]
    assert [event.sequence_number for event in events] == [*range(len(events))]
    last: Any = events[-1]
    return whole, last.response


def test_a_text_is_answered_whole_and_in_pieces(engine: ScriptedEngine, client: OpenAI) -> None:
    engine.replies += ["Hello, you."] * 2
    for response in both(client, instructions="Be brief."):
        assert (response.output_text, response.status) == ("Hello, you.", "completed")
        assert response.instructions == "Be brief."
        assert response.usage.output_tokens == len("Hello, you.")
        assert response.usage.input_tokens > 0
    assert engine.requests[0].prompt == (
        Message("system", "Be brief."),
        Message("user", "Hello there"),
    )


def test_thoughts_are_an_item(engine: ScriptedEngine, client: OpenAI) -> None:
    engine.replies += ["<think>Hm.</think>Yes."] * 2
    for response in both(client):
        thoughts, said = response.output
        assert (thoughts.type, said.type) == ("reasoning", "message")
        assert (thoughts.content[0].text, response.output_text) == ("Hm.", "Yes.")


def test_calls_are_items_after_the_text(engine: ScriptedEngine, client: OpenAI) -> None:
    engine.replies += [f"I look.\n{OSLO.text}"] * 2
    for response in both(client, tools=[WEATHER]):
        said, called = response.output
        assert (said.type, called.type) == ("message", "function_call")
        assert response.output_text == "I look."
        assert (called.name, called.arguments) == ("weather", OSLO.arguments)


def test_functions_of_a_namespace_have_it_in_the_prompt_only(
    engine: ScriptedEngine, client: OpenAI
) -> None:
    engine.replies += [ToolCall("agents.wait", "{}").text] * 2
    for response in both(client, tools=[AGENTS]):
        (called,) = response.output
        assert (called.namespace, called.name) == ("agents", "wait")
    answered = {"type": "function_call_output", "call_id": called.call_id, "output": "done"}
    items: Any = [called.to_dict(), answered]
    client.responses.create(model="", input=items)
    prompt: Any = engine.requests[-1].prompt
    assert prompt[0].content == ToolCall("agents.wait", "{}").text


def test_an_answer_that_is_cut_off_is_incomplete(engine: ScriptedEngine, client: OpenAI) -> None:
    for response in both(client, max_output_tokens=5):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"


def test_a_conversation_is_read_as_a_chat(engine: ScriptedEngine, client: OpenAI) -> None:
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {
            "type": "reasoning",
            "id": "r",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm."}],
        },
        {
            "type": "message",
            "id": "m",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "a", "name": "weather", "arguments": OSLO.arguments},
        {"type": "function_call", "call_id": "b", "name": "weather", "arguments": OSLO.arguments},
        {"type": "function_call_output", "call_id": "a", "output": "7 C"},
        {
            "type": "function_call_output",
            "call_id": "b",
            "output": [{"type": "input_text", "text": "8 C"}],
        },
    ]
    client.responses.create(model="", input=items)
    tagged = (f"<tool_response>\n{one}\n</tool_response>" for one in ("7 C", "8 C"))
    assert engine.requests[0].prompt == (
        Message("system", "Be brief."),
        Message("user", "Hello"),
        Message("assistant", f"I look.\n{OSLO.text}\n{OSLO.text}", reasoning="Hm."),
        Message("user", "\n".join(tagged)),
    )


def test_fields_of_coding_agents_are_taken(engine: ScriptedEngine, client: OpenAI) -> None:
    client.responses.create(
        **ASKED,
        store=False,
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        text={"verbosity": "low"},
        prompt_cache_key="a",
        truncation="disabled",
        parallel_tool_calls=False,
        temperature=0.5,
        tools=[WEATHER, AGENTS, {"type": "web_search"}],
        extra_body={"client_metadata": {"a": "b"}},
    )
    assert engine.requests[0].sender == "a"
    assert engine.requests[0].params.temperature == 0.5


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "name": "weather"}], ids=["required", "named"]
)
def test_a_required_call_binds_any_model(choice: Any, tiny: OpenAI) -> None:
    asked = {"tools": [WEATHER], "tool_choice": choice, "parallel_tool_calls": False}
    for response in both(tiny, **asked, max_output_tokens=200):
        (called,) = response.output
        assert isinstance(json.loads(called.arguments)["days"], int)


def test_a_shape_binds_any_model(tiny: OpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "weather", "schema": PARAMETERS}}
    response = tiny.responses.create(**ASKED, text=form, max_output_tokens=200)
    assert isinstance(json.loads(response.output_text)["days"], int)


REFUSED: dict[str, dict[str, Any]] = {
    "previous_response_id": {"previous_response_id": "resp_1"},
    "'file_search'": {"tools": [{"type": "file_search"}]},
    "'input_image'": {
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "a"}]}]
    },
    "There is no tool later": {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "name": "later"},
    },
    "No call before has the tool_call_id 'x'": {
        "input": [{"type": "function_call_output", "call_id": "x", "output": ""}]
    },
    "length >= 1": {"input": []},
}


@pytest.mark.parametrize("fault", REFUSED, ids=range(len(REFUSED)))
def test_calls_that_cannot_be_served_are_refused_in_one_line(fault: str, client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match=fault):
        client.responses.create(**ASKED, extra_body=REFUSED[fault])


def test_an_error_within_a_stream_is_an_event(tiny: OpenAI) -> None:
    asked: dict[str, Any] = {**ASKED, "temperature": 0, "max_output_tokens": 1000}
    pieces = iter(tiny.responses.create(**asked, stream=True))
    while next(pieces).type != "response.output_text.delta":
        pass
    llm.unload()
    *_, failed, error = list[Any](pieces)
    assert (failed.type, failed.response.status) == ("response.failed", "failed")
    assert (error.type, failed.response.error.message) == ("error", error.message)
    assert error.message.startswith("The model was unloaded")
