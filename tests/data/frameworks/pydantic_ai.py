"""A tool and the default output, both by tools; the chat protocol and the newer one."""

import os

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

calls = []


class Person(BaseModel):
    name: str
    age: int


def look_up(name: str) -> int:
    """The age of a person."""
    calls.append(name)
    return 36


for kind in (OpenAIChatModel, OpenAIResponsesModel):
    agent = Agent(kind(os.environ["MODEL"]), tools=[look_up], output_type=Person)
    assert agent.run_sync("How old is Ada?").output == Person(name="Ada", age=36)
assert calls == ["Ada", "Ada"], calls
