"""Turns as JSON: back as they were, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from support.saved_turns import entries, saved_turns, turn

from jupyter_llm.chat.draft import Part
from jupyter_llm.chat.saved import Entry, Json, SavedTurn
from jupyter_llm.chat.saved_json import (
    DamagedRecordError,
    decode,
    encode,
    part_from_json,
    part_to_json,
    turn_to_json,
)
from jupyter_llm.engine.completion import Completion, TokenLogprob, Usage
from jupyter_llm.engine.request import Message
from jupyter_llm.notebook.cells.events import CellEvent, Output


@settings(max_examples=150)
@given(entry=entries())
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    line = encode(entry)
    assert b"\n" not in line
    assert decode(line) == entry


@settings(max_examples=100)
@given(saved=saved_turns())
def test_a_turn_adds_the_same_messages_to_a_prompt_as_before(saved: SavedTurn) -> None:
    restored = decode(encode(saved))
    assert isinstance(restored, SavedTurn)
    for before, after in zip(saved.messages, restored.messages, strict=True):
        assert isinstance(after, Message)
        assert (after.role, after.content) == (before.role, before.content)
        assert after.parts == before.parts
        assert after.token_ids == before.token_ids
        assert type(after.token_ids) is type(before.token_ids)


@pytest.mark.parametrize("text", ["\ud800", "\ud83d\ude00", "\u2028\x85\r\v", "\x00", 'é\n\t\\"'])
def test_text_that_others_would_change_comes_back_as_it_was(text: str) -> None:
    saved = turn(prompt=text, sent=Message("user", text), told={text: [text]})
    assert decode(encode(saved)) == saved


def test_no_tokens_and_unknown_tokens_are_told_apart() -> None:
    for token_ids in (None, ()):
        restored = decode(encode(turn(token_ids=token_ids)))
        assert isinstance(restored, SavedTurn)
        assert restored.completion.token_ids == token_ids


def test_log_probabilities_are_not_kept() -> None:
    completion = replace(turn().completion, logprobs=(TokenLogprob(1, "a", -0.5),))
    saved = SavedTurn(chat="default", prompt="Hi", completion=completion)
    assert saved.completion.logprobs is None
    assert decode(encode(saved)) == saved


def test_a_token_takes_less_than_six_bytes() -> None:
    token_ids = tuple(range(150_000, 151_000))
    assert len(encode(turn(token_ids=token_ids))) - len(encode(turn())) < 6 * len(token_ids)


def changed(**fields: Any) -> bytes:
    record = {"op": "turn", "chat": "default", **turn_to_json(turn(token_ids=(1, 2)))}
    return json.dumps(record | fields).encode()


USAGE = turn_to_json(turn())["usage"]

DAMAGED = {
    "no JSON": b"{",
    "cut in a character": "{'é".encode()[:-1],
    "no UTF-8": b'{"op":"\xff"}',
    "no object": b"[]",
    "no operation": b'{"chat":"default"}',
    "unknown operation": b'{"op":"run","chat":"default"}',
    "no chat": changed(chat=None),
    "chat is a number": changed(chat=1),
    "deep": b'{"op":' + b"[" * 100_000,
    "prompt missing": b'{"op":"turn","chat":"default"}',
    "prompt is a list": changed(prompt=["Hi"]),
    "unknown finish reason": changed(finish_reason="done"),
    "finish reason is a list": changed(finish_reason=["stop"]),
    "tokens are a list": changed(token_ids=[1, 2]),
    "tokens are no base64": changed(token_ids="!"),  # noqa: S106  no password
    "tokens are half": changed(token_ids="AAAA"),  # noqa: S106  no password
    "a token is negative": changed(token_ids="/////w=="),  # noqa: S106  no password
    "usage lacks a number": changed(usage={"prompt_tokens": 1}),
    "usage is negative": changed(usage=USAGE | {"prompt_tokens": -1}),
    "usage is true": changed(usage=USAGE | {"prompt_tokens": True}),
    "usage is half a token": changed(usage=USAGE | {"prompt_tokens": 0.5}),
    "time is endless": changed(usage=USAGE | {"decode_s": 1e300}),
    "time is infinite": changed(finished_at=0).replace(b'finished_at": 0', b'finished_at": 1e999'),
    "time is no number": changed(finished_at=0).replace(b'finished_at": 0', b'finished_at": NaN'),
    "time is text": changed(finished_at="now"),
    "seed is text": changed(seed="7"),
    "seed is huge": changed(seed=1 << 64),
    "seed has a million digits": changed(seed=0).replace(b'seed": 0', b'seed": ' + b"9" * 10**6),
    "exact is a number": changed(exact=1),
    "origin is text": changed(origin="cell"),
    "origin is too long": changed(origin=["cell", 1, 2]),
    "origin's number is true": changed(origin=["cell", True]),
    "sent is text": changed(sent="Hi"),
    "sent by the system": changed(sent={"role": "system", "content": "Obey."}),
    "sent without a text": changed(sent={"role": "user"}),
    "a part of what was sent is a number": changed(sent={"role": "user", "parts": ["a", 1]}),
    "parts are text": changed(sent={"role": "user", "parts": "ab"}),
    "told is deeper than we write": changed(told=json.loads("[" * 200 + "]" * 200)),
    "told is infinite": changed(told=0).replace(b'told": 0', b'told": [1e999]'),
    "forgotten without an origin": b'{"op":"forgotten","chat":"default"}',
    "parent is negative": changed(parent=-1),
    "parent is nothing": changed(parent=None),
    "removed without a number": b'{"op":"removed","chat":"a","parent":0,"finished_at":1.0}',
    "removed without a parent": b'{"op":"removed","chat":"a","number":1,"finished_at":1.0}',
    "removed without a time": b'{"op":"removed","chat":"a","number":1,"parent":0}',
    "dropped without a count": b'{"op":"dropped","chat":"default"}',
    "system is a list": b'{"op":"chat","chat":"default","system":[]}',
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_we_would_not_write_is_refused(line: bytes) -> None:
    with pytest.raises(DamagedRecordError):
        decode(line)


CELL = CellEvent(
    number=3,
    source="%time x = 1\n",
    execution_count=2,
    cell_id="d41d8c",
    outputs=(Output("stdout", "1\n"), Output("error", "KeyError: 'x'\n")),
    tags=frozenset({"llm-pin", "a"}),
)


@pytest.mark.parametrize("cell", [None, CELL, CellEvent(number=1, source="")])
def test_what_was_told_comes_back_as_it_was(cell: CellEvent | None) -> None:
    part = Part("In [2]: …\n", cell=cell, variable="x", attachment="In [2]")
    restored = decode(encode(turn(told=[part_to_json(part)])))
    assert isinstance(restored, SavedTurn)
    assert isinstance(restored.told, list)
    assert part_from_json(restored.told[0]) == part


@pytest.mark.parametrize(
    "part",
    [
        None,
        [],
        {},
        {"text": 1},
        {"text": "", "cell": "x"},
        {"text": "", "cell": {"number": 1}},
        {"text": "", "cell": {"number": -1, "source": ""}},
        {"text": "", "cell": {"number": 1, "source": "", "outputs": [["picture", ""]]}},
        {"text": "", "cell": {"number": 1, "source": "", "outputs": [["stdout"]]}},
        {"text": "", "cell": {"number": 1, "source": "", "tags": [["a"]]}},
        {"text": "", "variable": 7},
        {"text": "", "attachment": ["x"]},
    ],
)
def test_a_part_that_we_would_not_write_is_refused(part: Json) -> None:
    with pytest.raises(DamagedRecordError):
        part_from_json(part)


def test_what_a_later_version_adds_is_no_damage() -> None:
    assert decode(changed(mood="good")) == turn(token_ids=(1, 2))


def test_every_number_of_a_completion_is_kept() -> None:
    completion = Completion(
        text="Yes.",
        finish_reason="length",
        usage=Usage(
            prompt_tokens=1,
            cached_tokens=2,
            completion_tokens=3,
            queue_s=0.1,
            prefill_s=0.2,
            decode_s=1 / 3,
        ),
        model="tiny",
        seed=0,
        token_ids=(0, 2**31 - 1),
        exact=True,
    )
    restored = decode(encode(SavedTurn(chat="a", prompt="?", completion=completion)))
    assert isinstance(restored, SavedTurn)
    assert restored.completion == completion
