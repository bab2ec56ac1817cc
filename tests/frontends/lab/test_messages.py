"""One example of every message, for this side and for the extension's, is what the types say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import to_builtins
from support.front_end import without_seq
from support.lab_page import fits
from support.paths import LAB_MESSAGES

from jupyter_llm.frontends.lab.messages import PROTOCOL, FromLab, ToLab, read_message

# A file is named after its type, with more behind where one type has several examples.
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in LAB_MESSAGES.glob("*.json")}
# Only what the kernel sends is numbered.
REQUESTS = {name: message for name, message in EXAMPLES.items() if "seq" not in message}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_type_says(name: str) -> None:
    message = EXAMPLES[name]
    assert name == message["type"] or name.startswith(message["type"] + "-")
    assert fits(without_seq(message), FromLab if name in REQUESTS else ToLab)


@pytest.mark.parametrize("kind", [*FromLab.__subclasses__(), *ToLab.__subclasses__()])
def test_every_message_has_an_example(kind: type[FromLab | ToLab]) -> None:
    is_request = issubclass(kind, FromLab)
    sent = [message for name, message in EXAMPLES.items() if (name in REQUESTS) is is_request]
    assert kind.__struct_config__.tag in [message["type"] for message in sent]


def test_the_examples_speak_this_protocol() -> None:
    assert EXAMPLES["hello"]["protocol"] == EXAMPLES["welcome"]["protocol"] == PROTOCOL


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_only_what_a_page_sends_is_taken_from_one(name: str) -> None:
    message = EXAMPLES[name]
    if name in REQUESTS:
        assert to_builtins(read_message(message)) == message
    else:
        with pytest.raises(ValueError, match="nobody understands"):
            read_message(message)


HELLO = EXAMPLES["hello"]


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], "hello", 7, {}, {"type": []}),
        *({**HELLO, "type": kind} for kind in ("no such", None, "x" * 1000)),
        {**HELLO, "id": 7},
        {**HELLO, "protocol": "1"},
        {**HELLO, "protocol": True},
        {**HELLO, "more": 1},
        *({name: HELLO[name] for name in HELLO if name != left_out} for left_out in HELLO),
    ],
    ids=lambda content: str(content)[:60],
)
def test_a_message_that_is_not_quite_right_is_refused_in_one_line(content: Any) -> None:
    with pytest.raises(ValueError, match=r"^The extension sent a message .*: .{1,40}\. .*\.$"):
        read_message(content)
