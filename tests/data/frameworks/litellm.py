"""A call, whole and in pieces, and the answer after its result."""

import os

import litellm

tools = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    }
]
asked = {"model": f"openai/{os.environ['MODEL']}", "tools": tools}
messages = [{"role": "user", "content": "How old is Ada?"}]
answer = litellm.completion(messages=messages, **asked).choices[0].message
(call,) = answer.tool_calls
assert (call.function.name, call.function.arguments) == ("look_up", '{"name": "Ada"}'), call
messages += [answer, {"role": "tool", "tool_call_id": call.id, "content": "36"}]
assert "36" in litellm.completion(messages=messages, **asked).choices[0].message.content
pieces = list(litellm.completion(messages=messages[:1], stream=True, **asked))
whole = litellm.stream_chunk_builder(pieces, messages=messages[:1])
assert whole.choices[0].message.tool_calls[0].function.arguments == '{"name": "Ada"}'
