"""Its default mode, which has the model call a tool."""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


messages = [{"role": "user", "content": "Ada is 36."}]
for stream in (False, True):
    client = instructor.from_openai(OpenAI())
    asked = {"model": os.environ["MODEL"], "messages": messages, "max_retries": 1}
    if stream:
        *_, person = client.chat.completions.create_partial(response_model=Person, **asked)
    else:
        person = client.chat.completions.create(response_model=Person, **asked)
    assert (person.name, person.age) == ("Ada", 36), person
