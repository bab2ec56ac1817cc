"""Promised texts take one window of KV cache beside the other one, and only while they are asked
for. It has as many streams as the texts there are have room in, which changes no text."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from support.engines import (
    ask,
    ask_afresh,
    ask_together,
    assert_nothing_leaks,
    before_each_step,
    inside,
    load,
    num_read,
    paused,
    submit,
)
from support.gguf_edit import U32
from support.logit_watch import Witness
from support.model_stores import write_small_gguf
from support.waiting import until

from jupyter_llm.engine.local import lanes
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.native import llama
from jupyter_llm.engine.local.native.memory import plan_load
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import EngineError, ModelLoadError
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import FreeMemory

pytestmark = pytest.mark.slow

MIB = 1 << 20
N_CTX = 4096
SENTENCE = "the quick brown fox jumps over the lazy dog and "

# What the headers say of Qwen2.5 0.5B, and of an eight-billion model like many.
QWEN = {"layers": 24, "heads": 14, "kv_heads": 2, "length": 64, "n_embd": 896}
LARGE = {"layers": 32, "heads": 32, "kv_heads": 8, "length": 128, "n_embd": 4096}


def header(source: Path, path: Path, numbers: dict[str, int]) -> Path:
    """A file whose header has these numbers."""
    keys = {
        "block_count": numbers["layers"],
        "embedding_length": numbers["n_embd"],
        "attention__head_count": numbers["heads"],
        "attention__head_count_kv": numbers["kv_heads"],
        "attention__key_length": numbers["length"],
        "attention__value_length": numbers["length"],
        "context_length": 32768,
    }
    values = {f"llama__{key}": (U32, value) for key, value in keys.items()}
    return write_small_gguf(source, path, **values)


@pytest.mark.parametrize(
    ("numbers", "token_bytes"), [(QWEN, 12_288), (LARGE, 131_072)], ids=["Qwen 0.5B", "8B"]
)
@pytest.mark.parametrize("gigabytes", [16, 64])
def test_by_default_all_contexts_take_twice_the_window_however_much_is_free(
    tiny_gguf: Path, tmp_path: Path, numbers: dict[str, int], token_bytes: int, gigabytes: int
) -> None:
    file = inspect(header(tiny_gguf, tmp_path / "m.gguf", numbers))
    free = FreeMemory(ram_bytes=gigabytes * 10**9)
    plan = plan_load(file, EngineOptions(), free)
    assert plan.n_ctx == 8192
    assert plan.need.kv_bytes == plan.promised.kv_bytes == 8192 * token_bytes


# -- the engine ------------------------------------------------------------------------------------


def kv_sizes(log: deque[tuple[int, str]]) -> list[float]:
    """The sizes of all KV caches that llama.cpp has made, in bytes."""
    found = [re.search(r"CPU +KV buffer size = +([\d.]+) MiB", line) for _, line in log]
    return [float(one[1]) * MIB for one in found if one]


@pytest.mark.parametrize(
    "model", ["tiny_gguf", pytest.param("smollm2", marks=[pytest.mark.slow, pytest.mark.soak])]
)
def test_what_llama_cpp_allots_to_promised_texts_is_the_window_once_more(
    model: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    whole_log: deque[tuple[int, str]],
) -> None:
    sizes: list[float] = []

    def opened(self: llama.Weights, params: Any) -> Any:
        pointer = open_context(self, params)
        sizes.extend(kv_sizes(whole_log))
        return pointer

    open_context = llama.Weights.open_context
    monkeypatch.setattr(llama.Weights, "open_context", opened)
    engine = load(request.getfixturevalue(model), n_ctx=N_CTX, checkpoints=False)
    ask(engine, SENTENCE, 2)
    long = SENTENCE * (40 if model == "tiny_gguf" else 150)  # has need of longer streams
    ask(engine, long, 2)
    window, *promised = sizes
    assert promised == pytest.approx([window, window], abs=0.01 * MIB)
    status = engine.status()
    assert status.kv_bytes == status.exact_bytes == engine.info.kv_bytes
    assert status.kv_bytes == pytest.approx(window, abs=0.01 * MIB)


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, n_ctx=N_CTX, checkpoints=False)


def num_streams(engine: LocalEngine) -> int:
    return inside(engine, lambda: engine._model.lanes.exact.context.num_slots)


def test_short_texts_are_written_together_and_a_long_one_has_it_all(engine: LocalEngine) -> None:
    ask(engine, SENTENCE, 3)
    assert num_streams(engine) == 4
    ask(engine, SENTENCE * 40, 3)
    assert num_streams(engine) == 2
    ask(engine, SENTENCE * 40, None)
    assert num_streams(engine) == 1
    ask_together(engine, [f"{SENTENCE}{row}" for row in range(6)], 3, priority=Priority.BULK)
    assert num_streams(engine) == 4


def test_what_was_read_moves_along_when_the_streams_change(engine: LocalEngine) -> None:
    text = SENTENCE * 20
    ask(engine, text, 3)
    assert num_streams(engine) == 4
    longer = ask(engine, text + "and", 600)
    assert num_streams(engine) < 4
    assert num_read(longer) < 4
    assert longer.token_ids == ask(engine, text + "and", 600).token_ids


def test_a_long_row_does_not_take_the_place_of_a_running_chat(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SENTENCE * 20
    ask(engine, text, 3)
    scheduler = inside(engine, lambda: engine._model.lanes.exact.scheduler)
    rows, slots = [], []

    def interfere(number: int) -> None:
        if number == 6:
            rows.append(submit(engine, text + "and", None, priority=Priority.BULK))
        elif number > 6:
            slots.append([chat.slot for chat in scheduler.of_class(Priority.CHAT)])

    before_each_step(engine, monkeypatch, interfere)
    submit(engine, "Hello", 20).result(timeout=60)
    rows[0].cancel()
    assert num_streams(engine) == 1
    (slot,) = slots[0]
    assert slot is not None


def test_a_long_text_amid_a_batch_changes_no_token_of_either(
    engine: LocalEngine, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, long = [f"{SENTENCE * 9}{row}" for row in range(8)], SENTENCE * 60
    ask(engine, "make the lane", 1)
    lane = engine._model.lanes.exact
    witness = Witness(lane)
    seen: list[int] = []
    chats = []

    def interfere(number: int) -> None:
        seen.append(lane.context.num_slots)
        if number == 6:
            chats.append(submit(engine, long, 30))

    before_each_step(engine, monkeypatch, interfere)
    with paused(engine):
        rows = [submit(engine, prompt, 20, priority=Priority.BULK) for prompt in prompts]
    answers = [row.result(timeout=60) for row in rows]
    chat = chats[0].result(timeout=60)
    assert all(answer.exact for answer in (*answers, chat))
    assert chat.token_ids == ask_afresh(tiny_gguf, long, 30, n_ctx=N_CTX).token_ids
    alone = [ask_afresh(tiny_gguf, prompt, 20, n_ctx=N_CTX).token_ids for prompt in prompts]
    assert [answer.token_ids for answer in answers] == alone
    assert witness.doubtful == []
    assert {4, 1} <= set(seen)
    assert seen[-1] == 4  # when the chat was over, the rows had streams again
    assert_nothing_leaks(engine)


def test_a_cache_that_is_lost_ends_the_engine_in_one_line(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(engine, SENTENCE * 40, None)

    def refuse(*_: object) -> None:
        raise ModelLoadError(Path("m.gguf"), "no memory")

    monkeypatch.setattr(llama.Context, "_begin", refuse)
    with paused(engine):
        rows = [submit(engine, f"{SENTENCE}{i}", 3, priority=Priority.BULK) for i in range(4)]
    for row in rows:
        with pytest.raises(EngineError, match=r"memory of its KV cache.*Ask again to load"):
            row.result(timeout=60)


# -- given back ------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is idle be given back at the first look."""
    monkeypatch.setattr(lanes, "IDLE_S", 0.0)


def test_idle_memory_of_promised_texts_is_given_back_and_the_text_is_the_same_then(
    engine: LocalEngine, hasty: None
) -> None:
    first = ask(engine, SENTENCE, 20)
    until(lambda: engine.status().exact_bytes == 0)
    assert engine.status().kv_bytes == engine.info.kv_bytes
    again = ask(engine, SENTENCE, 20)
    assert again.exact
    assert again.token_ids == first.token_ids


def test_what_was_read_is_on_disk_when_its_memory_is_given_back(
    tiny_gguf: Path, hasty: None
) -> None:
    engine = load(tiny_gguf, n_ctx=N_CTX)
    text = SENTENCE * 60
    ask(engine, "make the lane", 1)
    until(lambda: not engine.status().exact_bytes)
    ask(engine, text, 2)
    until(lambda: not engine.status().exact_bytes)
    assert num_read(ask(engine, text, 2)) < 4


def test_promised_texts_and_embedded_ones_take_turns_in_one_window(engine: LocalEngine) -> None:
    first = ask(engine, SENTENCE, 9)
    vectors = engine.embed([SENTENCE])
    lanes = inside(engine, lambda: engine._model.lanes.all)
    assert [lane.embeds for lane in lanes] == [False, True]
    assert ask(engine, SENTENCE, 9).token_ids == first.token_ids
    assert [lane.is_exact for lane in engine._model.lanes.all] == [False, True]
    assert (engine.embed([SENTENCE]) == vectors).all()
