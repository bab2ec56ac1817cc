"""The examples of messages and calls are what this side declares; a page's tests read them too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import convert, to_builtins
from support.front_end import DECLARED, fits, merged, without_seq
from support.paths import MESSAGES

from jupyter_llm.frontends.comm.messages import (
    PROTOCOL,
    ChatDocument,
    MethodCall,
    ToFrontEnd,
    read_call,
)

# A file is named after its type, with more behind where one type has several examples.
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in MESSAGES.glob("*.json")}
CALLS = json.loads((MESSAGES.parent / "calls.json").read_text("utf-8"))
HELLO, CALL, SEND = EXAMPLES.pop("hello"), EXAMPLES.pop("call"), CALLS["send"]["arguments"]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_type_says_and_no_call(name: str) -> None:
    message = EXAMPLES[name]
    assert name == message["type"] or name.startswith(message["type"] + "-")
    assert fits(without_seq(message))
    with pytest.raises(ValueError, match="nobody understands"):
        read_call(message)


def test_every_message_and_every_method_has_an_example_of_this_protocol() -> None:
    shown = {message["type"] for message in EXAMPLES.values()}
    assert shown == {kind.__struct_config__.tag for kind in ToFrontEnd.__subclasses__()}
    assert CALLS.keys() | {"hello"} == DECLARED.keys()
    assert HELLO["protocol"] == EXAMPLES["welcome"]["protocol"] == PROTOCOL


@pytest.mark.parametrize("name", sorted(CALLS))
def test_arguments_and_results_are_what_the_signature_declares(name: str) -> None:
    method, call = DECLARED[name], CALLS[name]
    assert fits(call["arguments"], method.arguments)
    assert method.replies == "later" or fits(call["value"], method.types["return"])


def test_a_hello_is_a_call_in_a_form_of_its_own() -> None:
    arguments = {name: HELLO[name] for name in ("protocol", "client", "path")}
    assert read_call(HELLO) == MethodCall(HELLO["id"], "hello", arguments)
    assert to_builtins(read_call(CALL)) == CALL


def test_the_patches_make_documents_of_the_document() -> None:
    document = merged({}, EXAMPLES["document"]["document"])
    patches = [name for name in EXAMPLES if name.startswith("patch")]
    for name in patches:
        convert(merged(document, EXAMPLES[name]["patch"]), ChatDocument)
    assert len(patches) > 5


def send(**changed: Any) -> dict[str, Any]:
    return {**CALL, "method": "send", "arguments": {**SEND, **changed}}


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], "hello", 7, {}, {"type": []}),
        *({**CALL, "type": kind} for kind in ("no such", None, "x" * 1000)),
        {**CALL, "id": 7},
        {**CALL, "more": 1},
        {**CALL, "arguments": []},
        {"type": "hello"},
        *(send(after=after) for after in ("2", True, 2.0)),
        *(send(prompt={**SEND["prompt"], **more}) for more in ({"text": None}, {"cell": 1})),
        send(more=1),
        *(
            {**CALL, "method": "send", "arguments": {k: SEND[k] for k in SEND if k != left_out}}
            for left_out in SEND
        ),
    ],
    ids=lambda content: str(content)[:60],
)
def test_a_call_that_is_not_quite_right_is_refused_in_one_line(content: Any) -> None:
    with pytest.raises(ValueError, match=r"^The page sent a message .*: .{1,40}\. .*\.$"):
        DECLARED["send"].bind(None, read_call(content).arguments)
