"""What the other tests rely on in the tiny model's output."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tiny_model import SPECIAL_TOKENS, write_tiny_model

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Request
from jupyter_llm.models.discover import find_model

PROMPTS = ("Hello", "def f(x):\n", "What is a list?", "What is a tuple?", "a", "Füße ✓")


def load(path: Path) -> LocalEngine:
    return LocalEngine(find_model(path), EngineOptions(flash_attention=False, n_threads=1))


def continue_greedily(engine: LocalEngine, prompt: str, max_tokens: int = 64) -> Completion:
    params = SamplingParams(temperature=0, max_tokens=max_tokens)
    return engine.submit(Request(prompt=prompt, params=params)).result(timeout=60)


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    engine = load(tiny_gguf)
    yield engine
    engine.close()


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first, again, other = (
        write_tiny_model(tmp_path / f"{index}.gguf", seed=seed).read_bytes()
        for index, seed in enumerate((1, 1, 2))
    )
    assert first == again != other


def test_bytes_are_their_own_token_ids(engine: LocalEngine) -> None:
    assert engine.tokenize("BÄ\n") == (0x42, 0xC3, 0x84, 0x0A)
    assert engine.tokenize("".join(SPECIAL_TOKENS)) == (268, 269, 270)


def test_text_is_printable_varied_and_of_the_length_asked_for(engine: LocalEngine) -> None:
    for prompt in PROMPTS:
        completion = continue_greedily(engine, prompt)
        assert set(completion.text) <= set(string.printable)
        assert completion.usage.completion_tokens == 64
        assert len(set(completion.text)) > 12


def test_every_prompt_has_its_own_continuation(engine: LocalEngine) -> None:
    texts = {continue_greedily(engine, prompt, max_tokens=12).text for prompt in PROMPTS}
    assert len(texts) == len(PROMPTS)


@pytest.mark.parametrize("position", [0, 3, 30, 100, 190])
def test_one_token_far_back_changes_the_continuation(engine: LocalEngine, position: int) -> None:
    prompt = "".join(random.Random(7).choices("abcdefghij 0123456789", k=200))  # noqa: S311
    changed = f"{prompt[:position]}X{prompt[position + 1 :]}"
    assert continue_greedily(engine, prompt).text != continue_greedily(engine, changed).text


def test_the_multi_byte_model_writes_characters_of_several_tokens(tiny_utf8_gguf: Path) -> None:
    engine = load(tiny_utf8_gguf)
    for prompt in PROMPTS:
        completion = continue_greedily(engine, prompt)
        whole = completion.text.rstrip("\ufffd")  # the last one may be cut by max_tokens
        assert "\ufffd" not in whole
        assert len(whole) < len(whole.encode()) <= 64
    engine.close()


def test_the_text_ends_after_the_characters_asked_for(tmp_path: Path) -> None:
    engine = load(write_tiny_model(tmp_path / "ends.gguf", end_after="%*w"))
    completions = [continue_greedily(engine, prompt, max_tokens=300) for prompt in PROMPTS]
    assert {completion.finish_reason for completion in completions} == {"stop"}
    assert {completion.text[-1] for completion in completions} <= set("%*w")
    engine.close()
