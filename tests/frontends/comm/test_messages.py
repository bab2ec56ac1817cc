"""One example of every message, for this side and for the page's, is what the types say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import convert, to_builtins
from support.front_end import fits, merged, without_seq
from support.paths import MESSAGES

from jupyter_llm.frontends.comm.messages import (
    PROTOCOL,
    ChatDocument,
    FromFrontEnd,
    ToFrontEnd,
    read_message,
)

# A file is named after its type, with more behind where one type has several examples.
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in MESSAGES.glob("*.json")}
# Only what the kernel sends is numbered.
REQUESTS = {name: message for name, message in EXAMPLES.items() if "seq" not in message}
HELLO, SEND = EXAMPLES["hello"], EXAMPLES["send"]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_type_says_and_only_requests_are_taken(name: str) -> None:
    message = EXAMPLES[name]
    assert name == message["type"] or name.startswith(message["type"] + "-")
    assert fits(without_seq(message), FromFrontEnd if name in REQUESTS else ToFrontEnd)
    if name in REQUESTS:
        assert to_builtins(read_message(message)) == message
    else:
        with pytest.raises(ValueError, match="nobody understands"):
            read_message(message)


def test_the_patches_make_documents_of_the_document() -> None:
    document = merged({}, EXAMPLES["document"]["document"])
    patches = [name for name in EXAMPLES if name.startswith("patch")]
    for name in patches:
        convert(merged(document, EXAMPLES[name]["patch"]), ChatDocument)
    assert len(patches) > 5


def test_every_message_has_an_example_of_this_protocol() -> None:
    for side in (FromFrontEnd, ToFrontEnd):
        is_request = side is FromFrontEnd
        shown = {m["type"] for name, m in EXAMPLES.items() if (name in REQUESTS) is is_request}
        assert shown == {kind.__struct_config__.tag for kind in side.__subclasses__()}
    assert HELLO["protocol"] == EXAMPLES["welcome"]["protocol"] == PROTOCOL


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], "hello", 7, {}, {"type": []}),
        *({**HELLO, "type": kind} for kind in ("no such", None, "x" * 1000)),
        {**HELLO, "id": 7},
        *({**HELLO, "protocol": protocol} for protocol in ("1", True)),
        *({**SEND, "after": after} for after in ("2", True, 2.0)),
        {**SEND, "attachments": [{"label": "In [3]"}]},
        *({**one, "more": 1} for one in (HELLO, SEND)),
        *({name: SEND[name] for name in SEND if name != left_out} for left_out in SEND),
    ],
    ids=lambda content: str(content)[:60],
)
def test_a_message_that_is_not_quite_right_is_refused_in_one_line(content: Any) -> None:
    with pytest.raises(ValueError, match=r"^The page sent a message .*: .{1,40}\. .*\.$"):
        read_message(content)
