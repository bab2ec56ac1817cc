"""Prompts outlive the kernel: found by the hash of their tokens, and not too many."""

from __future__ import annotations

import os
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stored import rows, stored_bytes

from jupyter_llm.ask import prompt_store
from jupyter_llm.ask.prompt_store import KeptPrompt, PromptStore
from jupyter_llm.common.database import erasable
from jupyter_llm.common.packing import packed
from jupyter_llm.engine.constraint import BeginsWith, Constraint, Grammar, OneOf
from jupyter_llm.engine.request import Message, RawPrompt, Request, Special

HASHES = [sha256(bytes([number])).hexdigest() for number in range(20)]
ONE, OTHER = HASHES[:2]
CHAT = KeptPrompt(
    (
        Message("system", "Be brief."),
        Message("user", "Why \ud800?"),
        Message("assistant", "Because.", (1, -1, 2**31 - 1)),
        Message.of_parts("user", ("And", "?")),
        Message("user", "And?", ()),
    )
)


@pytest.fixture
def store() -> PromptStore:
    return PromptStore()


def known() -> list[str]:
    return [name for (name,) in rows("SELECT sha256 FROM prompts ORDER BY id")]


def test_a_prompt_that_is_forgotten_goes_from_the_disk(store: PromptStore) -> None:
    for name in (ONE, OTHER):
        store.keep(name, KeptPrompt(os.urandom(20_000).hex()))
    ((data,), (other,)) = rows("SELECT prompt FROM prompts ORDER BY sha256 = ?", OTHER)
    text = data.strip()
    pieces = [text[n : n + 32] for n in range(0, len(text) - 32, 32)]
    # Both begin and end alike, which is packed into the same bytes one time in 2,000.
    pieces = [piece for piece in pieces if piece not in other]
    there = stored_bytes()
    assert sum(piece in there for piece in pieces) > 0.9 * len(pieces)  # others span two pages
    store.forget([ONE, HASHES[2], "../" + OTHER])
    assert store.find(ONE) is None
    assert known() == [OTHER]
    left = stored_bytes()
    assert not any(piece in left for piece in pieces)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.text()
    | st.builds(RawPrompt, st.lists(st.text() | st.builds(Special, st.text(min_size=1))).map(tuple))
    | st.lists(
        st.builds(
            Message,
            st.sampled_from(["system", "user", "assistant"]),
            st.text(st.characters()),
            st.none() | st.lists(st.integers(-(2**31), 2**31 - 1)).map(tuple),
        ),
        min_size=1,
    ).map(tuple),
    st.text(),
)
def test_what_is_kept_comes_back_as_it_was(store: PromptStore, prompt: Any, prefix: str) -> None:
    store.forget([ONE])
    store.keep(ONE, KeptPrompt(prompt, prefix))
    assert store.find(ONE) == KeptPrompt(prompt, prefix)


@pytest.mark.parametrize(
    "constraint", [BeginsWith(("a",)), OneOf(("a", "b")), Grammar("json", "{}"), None], ids=repr
)
def test_a_prompt_is_kept_with_what_its_answer_had_to_look_like(
    store: PromptStore, constraint: Constraint | None
) -> None:
    store.keep(ONE, KeptPrompt.of(Request(prompt="a", constraint=constraint)))
    kept = store.find(ONE)
    assert kept is not None
    assert kept.constraint == constraint


def test_the_least_recently_used_go_when_there_are_too_many(
    store: PromptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_store, "MAX_BYTES", 45_000)  # five of them
    for name in HASHES[:4]:
        store.keep(name, KeptPrompt(os.urandom(6000).hex()))
    assert store.find(HASHES[0])  # used just now
    store.keep(HASHES[1], CHAT)  # so is that, which is known
    for name in HASHES[4:7]:
        store.keep(name, KeptPrompt(os.urandom(6000).hex()))
    assert set(known()) == {HASHES[number] for number in (0, 1, 4, 5, 6)}


def test_clearing_takes_what_was_kept_while_nobody_knew_the_notebook(tmp_path: Path) -> None:
    PromptStore().keep(ONE, CHAT)
    PromptStore(lambda: tmp_path / "other.ipynb").keep(OTHER, CHAT)
    PromptStore(lambda: tmp_path / "a.ipynb").clear()
    assert known() == [OTHER]


def column(prompt: object, prefix: object = "") -> bytes:
    return erasable(zlib.compress(packed({"prompt": prompt, "answer_prefix": prefix})))


HI = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        "text",
        column("text").rstrip()[:-1],
        zlib.compress(b"{"),
        zlib.compress(b"{}"),
        column("text", 5),
        column([{"content": "hi"}]),
        column([{"role": "root", "content": "hi"}]),
        column([{"role": "user", "content": 5}]),
        column([{**HI, "token_ids": [2**31]}]),
        column([{**HI, "parts": [5]}]),
        column({"parts": [5]}),
    ],
)
def test_a_damaged_prompt_is_none_and_goes(store: PromptStore, data: bytes | str) -> None:
    for name in (ONE, OTHER):
        store.keep(name, CHAT)
    assert store.find(ONE) == CHAT
    rows("UPDATE prompts SET prompt = ? WHERE sha256 = ?", data, ONE)
    assert store.find(ONE) is None
    assert known() == [OTHER]


def test_a_prompt_that_unpacks_to_gigabytes_is_not_unpacked(
    store: PromptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_store, "MAX_UNPACKED", 10_000)
    store.keep(ONE, KeptPrompt("x" * 9_000))
    store.keep(OTHER, KeptPrompt("x" * 20_000))
    assert store.find(ONE) is not None
    assert store.find(OTHER) is None
