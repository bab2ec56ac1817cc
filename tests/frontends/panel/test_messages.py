"""One example of every message, for this side and for the panel's, is what the types say."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import pytest
from support.paths import MESSAGES

from jupyter_llm.frontends.comm.messages import (
    PROTOCOL,
    FromFrontEnd,
    ToFrontEnd,
    fits,
    read_message,
)

FOLDER = MESSAGES
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
KINDS = {
    get_args(get_type_hints(kind)["type"])[0]: kind
    for kind in (*get_args(FromFrontEnd), *get_args(ToFrontEnd))
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_type_says(name: str) -> None:
    message = EXAMPLES[name]
    assert message["type"] == name.partition("-")[0]
    assert fits(message, KINDS[message["type"]])
    assert sum(fits(message, kind) for kind in KINDS.values()) == 1


def test_every_message_has_an_example() -> None:
    assert {example["type"] for example in EXAMPLES.values()} == KINDS.keys()


def test_the_examples_speak_this_protocol() -> None:
    assert EXAMPLES["hello"]["protocol"] == EXAMPLES["snapshot"]["protocol"] == PROTOCOL


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_only_what_a_front_end_sends_is_taken_from_one(name: str) -> None:
    message = EXAMPLES[name]
    if KINDS[message["type"]] in get_args(FromFrontEnd):
        assert read_message(message) == message
    else:
        with pytest.raises(ValueError, match="nobody understands"):
            read_message(message)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "no such"},
        {"type": None},
        {"id": 7},
        {"after": "2"},
        {"after": True},
        {"attachments": [{"label": "In [3]"}]},
        {"attachments": {}},
        {"temperature": "0.7"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_message_that_is_not_quite_right_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nobody understands"):
        read_message({**EXAMPLES["send"], **change})


@pytest.mark.parametrize("content", [None, [], "hello", 7, {}, {"type": []}], ids=repr)
def test_what_is_no_message_at_all_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match="nobody understands"):
        read_message(content)


@pytest.mark.parametrize("key", ["id", "text", "attachments", "seed"])
def test_a_message_that_lacks_something_is_refused(key: str) -> None:
    message = dict(EXAMPLES["send"])
    del message[key]
    with pytest.raises(ValueError, match="nobody understands"):
        read_message(message)
