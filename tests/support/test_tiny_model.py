"""What the other tests rely on in the tiny model's output."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.engines import ask, closing, load


@pytest.mark.parametrize("position", [0, 3, 30, 100, 190])
def test_one_token_far_back_changes_the_continuation(tiny_gguf: Path, position: int) -> None:
    prompt = "".join(random.Random(7).choices("abcdefghij 0123456789", k=200))  # noqa: S311
    changed = f"{prompt[:position]}X{prompt[position + 1 :]}"
    with closing():
        engine = load(tiny_gguf, flash_attention=False)
        assert ask(engine, prompt).text != ask(engine, changed).text
