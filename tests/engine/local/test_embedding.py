"""Texts are embedded in steps of the scheduler: others go before, and it can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.engines import ask, assert_nothing_leaks, inside, load, submit
from support.interrupts import interrupt_main
from support.tiny_kinds import write_tiny_encoder
from support.waiting import until

from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.native.llama import Context, EmbeddingContext, Weights
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.local.trials.model_file import try_file
from jupyter_llm.errors import ContextOverflowError, EngineError, NotEnoughMemoryError
from jupyter_llm.models.machine import FreeMemory

TEXTS = [f"{number} " * (1 + number % 7) for number in range(40)]
LONG = "the quick brown fox jumps over the lazy dog and " * 12


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, checkpoints=False)


@contextmanager
def held_up(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, when: int = 0
) -> Iterator[threading.Event]:
    """Let one batch of texts take until somebody tears it off; give the event that it has begun."""
    has_begun = threading.Event()
    context = inside(engine, lambda: engine._model.lanes.embedding.context)
    decode = context.decode
    number = -1

    def held(batch: Batch) -> Decoded:
        nonlocal number
        number += 1
        if number == when:
            has_begun.set()
            _until_torn(context)
        return decode(batch)

    with monkeypatch.context() as patch:
        patch.setattr(context, "decode", held)
        yield has_begun


def _until_torn(context: Context) -> None:
    until(lambda: context._abort_flag[0] == b"\1")


def test_a_chat_waits_for_no_batch_of_texts(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = engine.embed(TEXTS)
    with ThreadPoolExecutor(1) as pool, held_up(engine, monkeypatch) as has_begun:
        embedding = pool.submit(engine.embed, TEXTS)
        assert has_begun.wait(30)
        assert ask(engine, "Hello", 4).usage.completion_tokens == 4
        assert np.array_equal(embedding.result(timeout=60), alone)  # torn off, and read again
    assert_nothing_leaks(engine)


def test_an_interrupt_stops_an_embedding_and_the_next_prompt_waits_for_nothing(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = engine.embed(TEXTS)
    with held_up(engine, monkeypatch, when=1) as has_begun:

        def press() -> None:
            assert has_begun.wait(30)
            interrupt_main()

        presser = threading.Thread(target=press)
        presser.start()
        with pytest.raises(PromptInterrupted, match="before all texts were read"):
            engine.embed(TEXTS)
        presser.join(timeout=30)
    assert ask(engine, "Hello", 4).usage.completion_tokens == 4
    assert np.array_equal(engine.embed(TEXTS), alone)
    assert_nothing_leaks(engine)


def test_the_same_texts_have_the_same_vectors_whoever_else_is_there(engine: LocalEngine) -> None:
    texts = [*TEXTS, LONG]
    alone = engine.embed(texts)
    with ThreadPoolExecutor(3) as pool:
        chats = [submit(engine, f"{LONG}{number}", 40) for number in range(3)]
        together = list(pool.map(engine.embed, [texts] * 3))
        for chat in chats:
            chat.result(timeout=60)
    for vectors in together:
        assert np.array_equal(vectors, alone)


@pytest.fixture
def pooled(tiny_gguf: Path) -> Iterator[Callable[[list[int]], np.ndarray]]:
    """The vector that llama.cpp makes of a text that is read in one batch."""
    import llama_cpp as lib

    weights = Weights(tiny_gguf, n_gpu_layers=0, on_progress=lambda _share: True)
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 1024
    params.embeddings = True
    params.pooling_type = lib.LLAMA_POOLING_TYPE_MEAN
    context = weights.open_context(params)

    def vector(token_ids: list[int]) -> np.ndarray:
        tokens = (lib.llama_token * len(token_ids))(*token_ids)  # the batch points into it
        batch = lib.llama_batch_get_one(tokens, len(token_ids))
        assert lib.llama_decode(context, batch) == 0
        pointer = lib.llama_get_embeddings_seq(context, 0)
        row = np.ctypeslib.as_array(pointer, shape=(weights.n_embd,)).copy()
        lib.llama_memory_clear(lib.llama_get_memory(context), False)  # noqa: FBT003
        unit: np.ndarray = row / np.linalg.norm(row)
        return unit

    yield vector
    lib.llama_free(context)
    weights.close()


@pytest.mark.parametrize("text", ["short", LONG], ids=["one batch", "several"])
def test_a_vector_is_the_mean_that_llama_cpp_makes_of_the_whole_text(
    engine: LocalEngine, pooled: Callable[[list[int]], np.ndarray], text: str
) -> None:
    token_ids = list(engine.tokenize_texts([text])[0])
    assert engine.embed([text])[0] == pytest.approx(pooled(token_ids), abs=0.01)


def test_a_model_that_must_see_a_whole_text_embeds_it_in_one_batch(tmp_path: Path) -> None:
    engine = load(write_tiny_encoder(tmp_path / "bert.gguf"), checkpoints=False)
    n_ctx = engine.info.n_ctx
    texts = [*TEXTS, "x" * (n_ctx - 1)]
    vectors = engine.embed(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[-1] == pytest.approx(engine.embed(texts[-1:])[0], abs=0.01)
    # Each token looks at those after it, too.
    one, other = engine.embed(["a b c d", "a b c e"])
    assert not np.allclose(one, other, atol=1e-4)
    with pytest.raises(ContextOverflowError):
        engine.embed(["x" * (n_ctx + 10)])


def test_a_model_that_ranks_texts_makes_no_vectors_and_says_so(tmp_path: Path) -> None:
    path = write_tiny_encoder(tmp_path / "ranks.gguf", is_ranking=True)
    try_file(path)
    engine = load(path, checkpoints=False)
    for _ in range(2):
        with pytest.raises(EngineError, match="ranks texts"):
            engine.embed(TEXTS)
    assert engine.count_tokens("Hello") > 0


def test_where_there_is_no_room_to_embed_it_is_refused_before_anything_is_made(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyter_llm.engine.local import lanes

    made: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(lanes, "free_memory", lambda **_: FreeMemory(ram_bytes=1000))
        patch.setattr(EmbeddingContext, "__init__", lambda *_, **__: made.append(1))
        with pytest.raises(NotEnoughMemoryError, match=r"to embed texts it needs .* more, and"):
            engine.embed(["a"])
    assert not made
    assert engine.embed(["a"]).shape[0] == 1
