"""Whatever lies where a kept state should be: an engine answers as if nothing had been kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.damage import IN_PLACE, damaged, empty, no_second_passes, put_in_place
from support.engines import ask, load, wait_until_idle

from jupyter_llm.engine.local.checkpoint import checkpoint_folder
from jupyter_llm.models.fingerprint import file_sha256

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(900)]

PROMPT = "A long enough story about a lighthouse, and who lived in it. " * 40
Warnings = Callable[[], list[str]]


def answer(path: Path) -> tuple[str, int]:
    """What a fresh engine answers, and how many tokens it had not to read."""
    engine = load(path)
    completion = ask(engine, PROMPT, 16, seed=1, temperature=1)
    wait_until_idle(engine)
    engine.close()  # which writes what was read
    return completion.text, completion.usage.cached_tokens


@pytest.fixture
def kept(tiny_gguf: Path) -> tuple[Path, bytes, str]:
    """A kept state's place, what stands there, and what was answered."""
    file_sha256(tiny_gguf)  # once it is known, states are kept
    text, num_cached = answer(tiny_gguf)
    (path,) = checkpoint_folder().rglob("*.kv")
    data = path.read_bytes()
    assert num_cached == 0
    assert answer(tiny_gguf) > (text, 0)
    return path, data, text


def test_no_damaged_state_changes_an_answer(
    kept: tuple[Path, bytes, str],
    tiny_gguf: Path,
    warnings: Warnings,
) -> None:
    path, sound, text = kept
    for seed in range(100):
        empty(path.parent)
        path.write_bytes(damaged(sound, seed))
        with no_second_passes():
            assert answer(tiny_gguf) == (text, 0), seed
    assert warnings() == []  # it is read again, which nobody need know


@pytest.mark.parametrize("what", IN_PLACE)
def test_nor_does_what_is_no_file(
    what: str, kept: tuple[Path, bytes, str], tiny_gguf: Path, tmp_path: Path, warnings: Warnings
) -> None:
    path, sound, text = kept
    empty(path.parent)
    put_in_place(what, path, tmp_path / "other", sound)
    with no_second_passes():
        assert answer(tiny_gguf) == (text, 0)
    assert len(warnings()) <= 1
    assert all("\n" not in line for line in warnings())
