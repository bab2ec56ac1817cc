"""One example of every message, for this side and for the panel's, is what the types say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import to_builtins
from support.front_end import fits, without_seq
from support.paths import MESSAGES

from jupyter_llm.frontends.comm.messages import PROTOCOL, FromFrontEnd, ToFrontEnd, read_message

EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in MESSAGES.glob("*.json")}
TYPES: dict[str, type[FromFrontEnd | ToFrontEnd]] = {
    str(kind.__struct_config__.tag): side
    for side in (FromFrontEnd, ToFrontEnd)
    for kind in side.__subclasses__()
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_type_says(name: str) -> None:
    message = EXAMPLES[name]
    side = TYPES[message["type"]]
    assert message["type"] == name.partition("-")[0]
    assert ("seq" in message) is (side is ToFrontEnd)
    assert fits(without_seq(message), side)


def test_every_message_has_an_example() -> None:
    assert {example["type"] for example in EXAMPLES.values()} == TYPES.keys()


def test_the_examples_speak_this_protocol() -> None:
    assert EXAMPLES["hello"]["protocol"] == EXAMPLES["snapshot"]["protocol"] == PROTOCOL


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_only_what_a_front_end_sends_is_taken_from_one(name: str) -> None:
    message = EXAMPLES[name]
    if TYPES[message["type"]] is FromFrontEnd:
        assert to_builtins(read_message(message)) == message
    else:
        with pytest.raises(ValueError, match="nobody understands"):
            read_message(message)


SEND = EXAMPLES["send"]


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], "hello", 7, {}, {"type": []}),
        *({**SEND, "type": kind} for kind in ("no such", None)),
        {**SEND, "id": 7},
        {**SEND, "after": "2"},
        {**SEND, "after": True},
        {**SEND, "after": 2.0},
        {**SEND, "attachments": [{"label": "In [3]"}]},
        {**SEND, "attachments": {}},
        {**SEND, "temperature": "0.7"},
        {**SEND, "more": 1},
        *({name: SEND[name] for name in SEND if name != left_out} for left_out in SEND),
    ],
    ids=lambda content: str(content)[:60],
)
def test_a_message_that_is_not_quite_right_is_refused_in_one_line(content: Any) -> None:
    with pytest.raises(ValueError, match=r"^The panel sent a message .*: .{1,40}\.$"):
        read_message(content)
