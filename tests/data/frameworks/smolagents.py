"""Three tools to an end."""

import os

from smolagents import OpenAIServerModel, ToolCallingAgent, tool

calls = []


@tool
def look_up(name: str) -> int:
    """The age of a person.

    Args:
        name: whose
    """
    calls.append("look_up")
    return 36


@tool
def add(a: int, b: int) -> int:
    """A sum.

    Args:
        a: one number
        b: another one
    """
    calls.append("add")
    return a + b


model = OpenAIServerModel(
    os.environ["MODEL"],
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
)
agent = ToolCallingAgent(tools=[look_up, add], model=model, verbosity_level=0)
assert "37" in str(agent.run("How old will Ada be in a year?"))
assert calls == ["look_up", "add"], calls
