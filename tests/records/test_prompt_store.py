"""Prompts outlive the kernel: found by the hash of their tokens, private, and not too many."""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_llm.engine.request import Message, Request
from jupyter_llm.records.prompt_store import KeptPrompt, PromptStore, prompts_folder

HASHES = [sha256(bytes([number])).hexdigest() for number in range(20)]
ONE, OTHER = HASHES[:2]
CHAT = KeptPrompt(
    (
        Message("system", "Be brief."),
        Message("user", "Why \ud800?"),
        Message("assistant", "Because.", (1, -1, 2**31 - 1)),
        Message("user", "And?", ()),
    )
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "prompts"


def keep(folder: Path, prompts: dict[str, KeptPrompt], **options: Any) -> PromptStore:
    store = PromptStore(folder, **options)
    for name, prompt in prompts.items():
        store.keep(name, prompt)
        assert store.flush(10)
    return store


@pytest.mark.parametrize(
    "prompt", [CHAT, KeptPrompt("raw text"), KeptPrompt(CHAT.prompt, "```python\n")]
)
def test_another_kernel_finds_a_prompt(folder: Path, prompt: KeptPrompt) -> None:
    keep(folder, {ONE: prompt})
    found = PromptStore(folder).find(ONE)
    assert found == prompt
    assert PromptStore(folder).find(OTHER) is None


def test_a_prompt_that_is_forgotten_goes_from_the_disk(folder: Path) -> None:
    store = keep(folder, {ONE: CHAT, OTHER: CHAT})
    store.forget([ONE, HASHES[2], "../" + OTHER])
    assert store.find(ONE) is None  # at once
    assert store.flush(10)
    assert [path.stem for path in folder.iterdir()] == [OTHER]
    store.keep(ONE, CHAT)
    assert store.find(ONE) == CHAT


def test_a_prompt_that_is_forgotten_while_it_waits_is_not_written(folder: Path) -> None:
    store = PromptStore(folder)
    for _ in range(20):
        for name in HASHES:
            store.keep(name, CHAT)
        store.forget(HASHES)
    assert store.flush(10)
    assert list(folder.glob("*")) == []  # the folder itself is missing where none was begun


def test_what_messages_may_hold_in_future_is_kept_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class NewerMessage(Message):
        parts: tuple[str, ...] = ()

    prompt: Any = KeptPrompt((NewerMessage("user", "ab", parts=("a", "b")),))
    keep(folder, {ONE: prompt})
    monkeypatch.setattr("jupyter_llm.records.prompt_store.Message", NewerMessage)
    assert PromptStore(folder).find(ONE) == prompt


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.text()
    | st.lists(
        st.builds(
            Message,
            st.sampled_from(["system", "user", "assistant"]),
            st.text(),
            st.none() | st.lists(st.integers(-(2**31), 2**31 - 1)).map(tuple),
        ),
        min_size=1,
    ).map(tuple),
    st.text(),
)
def test_what_is_kept_comes_back_as_it_was(folder: Path, prompt: Any, prefix: str) -> None:
    (folder / f"{ONE}.prompt").unlink(missing_ok=True)
    keep(folder, {ONE: KeptPrompt(prompt, prefix)})
    assert PromptStore(folder).find(ONE) == KeptPrompt(prompt, prefix)


def test_a_prompt_is_found_before_it_is_on_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PromptStore, "_start_writer", lambda _self: None)
    store = PromptStore(folder)
    store.keep(ONE, CHAT)
    assert store.find(ONE) == CHAT
    assert not folder.exists()


def test_files_are_their_owners_alone(folder: Path) -> None:
    keep(folder, {ONE: CHAT})
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_least_recently_used_go_when_there_are_too_many(folder: Path) -> None:
    noise = [KeptPrompt(os.urandom(600).hex()) for _ in HASHES]
    size = 700  # of each; hexadecimal digits pack to about half
    store = keep(folder, dict(zip(HASHES[:4], noise, strict=False)), max_bytes=5 * size)
    for age, name in enumerate(HASHES[:4]):
        mtime = time.time() - 1000 + age
        os.utime(folder / f"{name}.prompt", (mtime, mtime))
    assert store.find(HASHES[0]) == noise[0]  # used just now
    for name, prompt in zip(HASHES[4:7], noise[4:7], strict=True):
        store.keep(name, prompt)
    assert store.flush(10)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 5 * size
    assert store.find(HASHES[0]) == noise[0]
    assert store.find(HASHES[1]) is None
    assert store.find(HASHES[6]) == noise[6]


def test_the_same_prompt_is_written_once_and_counts_as_used(folder: Path) -> None:
    keep(folder, {ONE: CHAT})
    (file,) = folder.iterdir()
    os.utime(file, (1, 1))
    inode = file.stat().st_ino
    keep(folder, {ONE: CHAT})
    assert file.stat().st_ino == inode
    assert file.stat().st_mtime > time.time() - 60


def test_what_a_crashed_kernel_left_goes(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, age_s in (("old.tmp", 3600), ("new.tmp", 0), ("notes.txt", 3600)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s,) * 2)
    keep(folder, {ONE: CHAT})
    left = {file.name for file in folder.iterdir()}
    assert left == {"new.tmp", "notes.txt", f"{ONE}.prompt"}


def file_of(content: Any) -> bytes:
    body = zlib.compress(json.dumps(content).encode())
    return b"jllm-prompt 1\n" + sha256(body).digest() + body


HI = {"role": "user", "content": "hi"}
SOUND = {"prompt_sha256": ONE, "answer_prefix": "", "prompt": "text"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"jllm-prompt 1\n",
        b"jllm-prompt 2\n" + file_of(SOUND)[14:],
        file_of(SOUND)[:-1],
        file_of(SOUND)[:-5] + b"xxxxx",
        b"jllm-prompt 1\n" + sha256(b"no zlib").digest() + b"no zlib",
        file_of([]),
        file_of("text"),
        file_of({**SOUND, "prompt_sha256": OTHER}),  # another one's, renamed
        file_of({**SOUND, "answer_prefix": 5}),
        file_of({**SOUND, "prompt": 5}),
        file_of({**SOUND, "prompt": [["user", "hi"]]}),
        file_of({**SOUND, "prompt": [{"content": "hi"}]}),
        file_of({**SOUND, "prompt": [{"role": "root", "content": "hi"}]}),
        file_of({**SOUND, "prompt": [{"role": [], "content": "hi"}]}),
        file_of({**SOUND, "prompt": [{"role": "user", "content": 5}]}),
        file_of({**SOUND, "prompt": [{**HI, "token_ids": [True]}]}),
        file_of({**SOUND, "prompt": [{**HI, "token_ids": [2**31]}]}),
        file_of({**SOUND, "prompt": [{**HI, "token_ids": "12"}]}),
        file_of({**SOUND, "prompt": [{**HI, "token_ids": 5}]}),
        file_of({**SOUND, "prompt": [{**HI, "newer": ["x"]}]}),
    ],
)
def test_a_damaged_file_is_no_prompt_and_goes(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True)
    file = folder / f"{ONE}.prompt"
    file.write_bytes(data)
    assert PromptStore(folder).find(ONE) is None
    assert not file.exists()


def test_a_file_that_unpacks_to_gigabytes_is_not_unpacked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_llm.records.prompt_store._MAX_UNPACKED", 10_000)
    keep(folder, {ONE: KeptPrompt("x" * 9_000), OTHER: KeptPrompt("x" * 20_000)})
    assert PromptStore(folder).find(ONE) is not None
    assert PromptStore(folder).find(OTHER) is None


@pytest.mark.parametrize("name", ["", "../secrets", "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    store = keep(folder, {name: CHAT})
    assert store.find(name) is None
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = keep(tmp_path / "file" / "prompts", {ONE: CHAT, OTHER: CHAT})
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]
    assert "cannot be kept" in caplog.text
    assert store.find(ONE) is None


def test_a_disk_that_is_too_slow_keeps_the_latest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_llm.records.prompt_store._MAX_PENDING", 2)
    monkeypatch.setattr(PromptStore, "_start_writer", lambda _self: None)
    store = PromptStore(folder)
    for name in HASHES[:3]:
        store.keep(name, CHAT)
    assert [store.find(name) is not None for name in HASHES[:3]] == [False, True, True]


def test_prompts_are_data_of_the_user(home: Path) -> None:
    assert prompts_folder() == home / ".local" / "share" / "jupyter_llm" / "prompts"


def test_a_request_tells_its_prompt() -> None:
    assert KeptPrompt.of(Request(prompt="text")) == KeptPrompt("text")
