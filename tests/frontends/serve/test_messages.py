"""Anthropic's protocol, as its official client asks and reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from support.engines import load
from support.scripted import ScriptedEngine
from support.serving import call, serving

from jupyter_llm import llm
from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.engine.request import Message
from jupyter_llm.frontends.serve.server import Serving

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
WEATHER: Any = {
    "name": "weather",
    "description": "The weather to come.",
    "input_schema": {
        "type": "object",
        "properties": {"days": {"type": "integer"}},
        "required": ["days"],
    },
}
OSLO = ToolCall("weather", '{"days": 3}')
ASKED: dict[str, Any] = {"model": "", "max_tokens": 50, "messages": HELLO}


def client_of(served: Serving) -> Anthropic:
    url = served.url.removesuffix("/v1")
    return Anthropic(base_url=url, api_key=served.token, max_retries=0)


def both(client: Anthropic, **asked: Any) -> tuple[Any, Any]:
    """The message as one body, and as put together from its events."""
    whole = client.messages.create(**ASKED | asked)
    with client.messages.stream(**ASKED | asked) as stream:
        return whole, stream.get_final_message()


def parts(message: Any) -> list[Any]:
    """The blocks of a message, as of any of their types."""
    return [*message.content]


@pytest.fixture
def client(served: Serving) -> Iterator[Anthropic]:
    with client_of(served) as client:
        yield client


@pytest.fixture
def tiny(tiny_gguf: Path, fresh_llm: None) -> Iterator[Anthropic]:
    with serving(load(tiny_gguf)) as served, client_of(served) as client:
        yield client


def test_a_message_is_answered_whole_and_in_pieces(
    engine: ScriptedEngine, client: Anthropic
) -> None:
    engine.replies += ["Hello, you."] * 3
    whole, streamed = both(client)
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream) == "Hello, you."
    for message in (whole, streamed):
        assert [block.to_dict() for block in message.content] == [
            {"type": "text", "text": "Hello, you."}
        ]
        assert (message.role, message.stop_reason) == ("assistant", "end_turn")
        assert message.usage.output_tokens == len("Hello, you.")
        assert message.usage.input_tokens > 0
    assert whole.id != streamed.id


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_calls_are_blocks_after_the_text(
    *, cut: bool, engine: ScriptedEngine, client: Anthropic
) -> None:
    text = f"Let me see.\n{OSLO.text}"
    size = text.index("3}") + 1
    engine.replies += [text] * 2
    whole, streamed = both(client, tools=[WEATHER], max_tokens=size if cut else 500)
    for message in (whole, streamed):
        said, called = each = parts(message)
        assert [one.type for one in each] == ["text", "tool_use"]
        assert (said.text, called.name) == ("Let me see.", "weather")
        assert message.stop_reason == ("max_tokens" if cut else "tool_use")
        if not cut:
            assert called.input == {"days": 3}
    assert not cut or parts(whole)[1].input == {}


def test_thoughts_are_a_block_of_their_own(engine: ScriptedEngine, client: Anthropic) -> None:
    engine.replies += ["<think>Hm. Well.</think>Yes."] * 2
    for message in both(client, thinking={"type": "adaptive"}):
        thoughts, said = each = parts(message)
        assert [one.type for one in each] == ["thinking", "text"]
        assert (thoughts.thinking, said.text) == ("Hm. Well.", "Yes.")
    assert engine.requests[0].params.think is True


def test_a_conversation_with_results_is_read_as_a_chat(
    engine: ScriptedEngine, client: Anthropic
) -> None:
    used = {"type": "tool_use", "id": "a", "name": "weather", "input": {"days": 3}}
    failed = {**used, "id": "b"}
    cached = {"cache_control": {"type": "ephemeral"}}
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "7 C"}]},
        {"type": "tool_result", "tool_use_id": "b", "content": "No net.", "is_error": True},
        {"type": "text", "text": "And now?", **cached},
    ]
    messages: Any = [
        *HELLO,
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, used, failed]},
        {"role": "user", "content": results},
        {"role": "system", "content": "It is noon."},
    ]
    system: Any = [{"type": "text", "text": "Be brief.", **cached}, {"type": "text", "text": "Go."}]
    client.messages.create(**{**ASKED, "messages": messages, "system": system})
    assert engine.requests[0].prompt == (
        Message("system", "Be brief.\nGo."),
        Message("user", "Hello there"),
        Message("assistant", f"I look.\n{OSLO.text}\n{OSLO.text}"),
        Message(
            "user",
            "<tool_response>\n7 C\n</tool_response>\n"
            "<tool_response>\nError: No net.\n</tool_response>",
        ),
        Message("user", "And now?"),
        Message("system", "It is noon."),
    )


def test_a_begun_answer_is_continued(engine: ScriptedEngine, client: Anthropic) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "My name is"}]
    client.messages.create(**{**ASKED, "messages": begun})
    assert engine.requests[0].answer_prefix == "My name is"
    assert engine.requests[0].prompt == (Message("user", "Hello there"),)


def test_options_have_their_effect(engine: ScriptedEngine, client: Anthropic) -> None:
    drawn = {"temperature": 0.5, "top_k": 3, "top_p": 0.25}
    client.messages.create(**ASKED, stop_sequences=["\n\n"], extra_body=drawn)
    params = engine.requests[0].params
    assert (params.max_tokens, params.stop) == (50, ("\n\n",))
    assert (params.temperature, params.top_k, params.top_p) == (0.5, 3, 0.25)


def test_fields_of_coding_agents_are_taken(engine: ScriptedEngine, client: Anthropic) -> None:
    more = {"metadata": {"user_id": "me"}, "context_management": {"edits": []}}
    more["output_config"] = {"effort": "high"}
    engine.replies.append("Fine.")
    with client.beta.messages.stream(
        **{**ASKED, "max_tokens": 32_000}, tools=[WEATHER], betas=["x-1"], extra_body=more
    ) as stream:
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize("choice", ["any", "tool"])
def test_a_required_call_binds_any_model(choice: str, tiny: Anthropic) -> None:
    wanted: Any = {"type": choice, "name": "weather", "disable_parallel_tool_use": True}
    message = tiny.messages.create(
        **{**ASKED, "max_tokens": 200},
        tools=[WEATHER],
        tool_choice=wanted,
        extra_body={"temperature": 1.0},
    )
    (block,) = parts(message)
    assert block.type == "tool_use"
    assert isinstance(block.input["days"], int)


def test_a_shape_binds_any_model(tiny: Anthropic) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    (block,) = parts(tiny.messages.create(**ASKED, output_config=config))
    assert isinstance(json.loads(block.text)["a"], bool)


def test_tokens_are_counted_as_the_answer_counts_them(tiny: Anthropic) -> None:
    plain = tiny.messages.count_tokens(model="", messages=HELLO).input_tokens
    more = tiny.messages.count_tokens(model="", messages=HELLO, tools=[WEATHER]).input_tokens
    usage = tiny.messages.create(**ASKED, tools=[WEATHER]).usage
    assert plain < more == usage.input_tokens + (usage.cache_read_input_tokens or 0)


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.org"}}
REFUSED: dict[str, dict[str, Any]] = {
    "`image`|'image'": {"messages": [{"role": "user", "content": [IMAGE]}]},
    "web_search": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "mcp_servers": {"mcp_servers": [{"type": "url", "url": "https://example.org"}]},
    "No call before has the tool_call_id 'x'": {
        "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]
    },
    "There is no tool later": {
        "tools": [{"name": "now", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "later"},
    },
    "length >= 1": {"messages": []},
}


@pytest.mark.parametrize("fault", REFUSED, ids=range(len(REFUSED)))
def test_calls_that_cannot_be_served_are_refused_in_one_line(fault: str, client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match=fault) as caught:
        client.messages.create(**ASKED, extra_body=REFUSED[fault])
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


def test_the_key_is_the_token(served: Serving) -> None:
    client = client_of(served).with_options(api_key="other")
    with pytest.raises(anthropic.AuthenticationError, match="The token is missing or wrong"):
        client.messages.create(**ASKED)
    both = client.with_options(auth_token=served.token)
    assert both.messages.create(**ASKED).content
    bearer = Anthropic(
        base_url=served.url.removesuffix("/v1"), auth_token=served.token, max_retries=0
    )
    assert bearer.messages.create(**ASKED).content
    assert call(served, "/v1/messages", b"{", token=served.token)[0] == 400


def test_an_error_within_a_stream_is_an_event(tiny: Anthropic) -> None:
    asked: dict[str, Any] = {**ASKED, "max_tokens": 1000, "extra_body": {"temperature": 0}}
    with tiny.messages.stream(**asked) as stream:
        pieces = iter(stream)
        next(pieces)
        llm.unload()
        with pytest.raises(anthropic.APIStatusError, match="The model was unloaded"):
            stream.until_done()
