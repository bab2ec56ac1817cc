"""What the other tests rely on in the tiny model's output."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import ask, load
from support.specials import with_specials
from support.tiny_model import SPECIAL_TOKENS

from jupyter_llm.engine.local.engine import LocalEngine

PROMPTS = ("Hello", "def f(x):\n", "What is a list?", "What is a tuple?", "a", "Füße ✓")


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    engine = load(tiny_gguf, flash_attention=False)
    yield engine
    engine.close()


def test_bytes_are_their_own_token_ids(engine: LocalEngine) -> None:
    assert engine.tokenize("BÄ\n") == (0x42, 0xC3, 0x84, 0x0A)
    assert engine.tokenize(with_specials("".join(SPECIAL_TOKENS))) == (268, 269, 270)


def test_text_is_printable_varied_and_of_the_length_asked_for(engine: LocalEngine) -> None:
    texts = set()
    for prompt in PROMPTS:
        completion = ask(engine, prompt, 64, ignore_eos=False)
        assert set(completion.text) <= set(string.printable)
        assert completion.usage.completion_tokens == 64
        assert len(set(completion.text)) > 12
        texts.add(completion.text[:12])
    assert len(texts) == len(PROMPTS)


@pytest.mark.parametrize("position", [0, 3, 30, 100, 190])
def test_one_token_far_back_changes_the_continuation(engine: LocalEngine, position: int) -> None:
    prompt = "".join(random.Random(7).choices("abcdefghij 0123456789", k=200))  # noqa: S311
    changed = f"{prompt[:position]}X{prompt[position + 1 :]}"
    assert ask(engine, prompt).text != ask(engine, changed).text


def test_the_multi_byte_model_writes_characters_of_several_tokens(tiny_utf8_gguf: Path) -> None:
    engine = load(tiny_utf8_gguf, flash_attention=False)
    for prompt in PROMPTS:
        completion = ask(engine, prompt, 64, ignore_eos=False)
        whole = completion.text.rstrip("\ufffd")  # the last one may be cut by max_tokens
        assert "\ufffd" not in whole
        assert len(whole) < len(whole.encode()) <= 64
    engine.close()
