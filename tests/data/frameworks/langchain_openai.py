"""Tools that are bound, their results, and an output with a shape."""

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def look_up(name: str) -> int:
    """The age of a person."""
    return 36


model = ChatOpenAI(model=os.environ["MODEL"])
for use_responses_api in (False, True):
    bound = ChatOpenAI(
        model=os.environ["MODEL"], use_responses_api=use_responses_api
    ).bind_tools([look_up])
    messages = [HumanMessage("How old is Ada?")]
    answer = bound.invoke(messages)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("look_up", {"name": "Ada"}), call
    messages += [answer, ToolMessage("36", tool_call_id=call["id"])]
    assert "36" in bound.invoke(messages).text
shaped = model.with_structured_output(Person, method="function_calling")
assert shaped.invoke("Ada is 36.") == Person(name="Ada", age=36)
