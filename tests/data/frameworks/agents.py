"""OpenAI's Agents SDK: three tools to an end, by the newer protocol and by the chats'."""

import os

from agents import (
    Agent,
    Runner,
    function_tool,
    set_default_openai_api,
    set_tracing_disabled,
)

set_tracing_disabled(True)
calls = []


@function_tool
def look_up(name: str) -> int:
    """The age of a person."""
    calls.append("look_up")
    return 36


@function_tool
def add(a: int, b: int) -> int:
    """A sum."""
    calls.append("add")
    return a + b


@function_tool
def note(text: str) -> str:
    """Write something down."""
    calls.append("note")
    return "written"


for api in ("responses", "chat_completions"):
    set_default_openai_api(api)
    agent = Agent("clerk", "Answer.", model=os.environ["MODEL"], tools=[look_up, add, note])
    result = Runner.run_sync(agent, "How old will Ada be in a year? Note it.")
    assert "37" in result.final_output, result.final_output
assert calls == ["look_up", "add", "note"] * 2, calls
