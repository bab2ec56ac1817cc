"""What is read once: by rows that begin alike, by whoever comes again, and by the kernel before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.engines import (
    ask,
    ask_afresh,
    ask_together,
    assert_nothing_leaks,
    load,
    num_read,
    paused,
    prefill,
    submit,
    wait_until_idle,
)
from support.waiting import until

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.request import Message, Priority, Prompt

LONG = "the quick brown fox jumps over the lazy dog and "
PLAIN: dict[str, Any] = {"exact": False, "flash_attention": False}


class Counted:
    """Counts the tokens that a lane evaluates."""

    def __init__(self, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        context = engine._model.lanes.all[-1].context
        decode = context.decode
        self.num_tokens = 0

        def counting(batch: Batch) -> Decoded:
            self.num_tokens += len(batch)
            return decode(batch)

        monkeypatch.setattr(context, "decode", counting)


# -- rows that begin alike -------------------------------------------------------------------------


def test_the_rows_of_a_batch_read_their_instruction_once(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(tiny_gguf, checkpoints=False, **PLAIN)
    instruction = LONG * 20
    prompts = [f"{instruction}{row:03}" for row in range(64)]
    counted = Counted(engine, monkeypatch)
    answers = ask_together(engine, prompts, 6, priority=Priority.BULK)
    num_shared = engine.count_tokens(instruction)
    # The last token that is drawn is never read.
    num_own = 64 * (engine.count_tokens("000") + 1 + 5)
    assert num_shared + 64 * 5 < counted.num_tokens <= num_shared + num_own
    assert sorted(answer.usage.cached_tokens for answer in answers)[1] >= num_shared - 1
    alone = [ask(engine, prompt, 6).token_ids for prompt in prompts[:5]]
    assert [answer.token_ids for answer in answers[:5]] == alone
    assert_nothing_leaks(engine)


@pytest.mark.parametrize(("num_repeats", "num_times"), [(20, 1), (1, 4)], ids=["long", "short"])
def test_seeded_rows_read_a_long_instruction_once_and_a_short_one_once_in_each_stream(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, num_repeats: int, num_times: int
) -> None:
    engine = load(tiny_gguf, exact=True, checkpoints=False)
    counted = Counted(engine, monkeypatch)
    instruction = LONG * num_repeats
    prompts = [f"{instruction}{row % 5}{row:03}" for row in range(24)]
    ask_together(engine, sorted(prompts), 2, priority=Priority.BULK)
    assert counted.num_tokens < num_times * engine.count_tokens(instruction) + 24 * 8


@pytest.mark.parametrize("is_exact", [False, True], ids=["fast", "exact"])
@pytest.mark.parametrize("earlier", ["chat", "one row", "other column"])
@pytest.mark.parametrize(
    ("asked", "num_more"),
    [
        ({"constraint": OneOf(("yes", "no")), "priority": Priority.BULK}, 7),
        ({"max_tokens": 1, "priority": Priority.BULK}, 0),
        ({"max_tokens": 3, "priority": Priority.BULK}, 2),
        ({"max_tokens": 3, "priority": Priority.GUEST}, 2),
    ],
    ids=["labels", "one token", "text", "clients"],
)
def test_an_instruction_is_read_once_whatever_was_read_before(
    tiny_gguf: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
    num_more: int,
    earlier: str,
    *,
    is_exact: bool,
) -> None:
    options = {} if is_exact else PLAIN
    engine = load(tiny_gguf, n_ctx=4096, checkpoints=False, **{**options, "exact": is_exact})
    system, instruction = LONG[:30], LONG * 4
    prompts = [f"{system}{instruction}{row:03}" for row in range(24)]
    ask(engine, f"{system}hi", 1)
    if earlier == "one row":
        ask_together(engine, prompts[:1], **asked)
    elif earlier == "other column":
        ask_together(engine, [f"{system}{LONG[::-1] * 4}{row:03}" for row in range(24)], **asked)
    counted = Counted(engine, monkeypatch)
    ask_together(engine, prompts, **asked)
    num_own = 24 * (engine.count_tokens("000") + 1 + num_more)
    num_shared = 0 if earlier == "one row" else engine.count_tokens(instruction)
    assert counted.num_tokens <= num_shared + num_own
    counted.num_tokens = 0
    ask_together(engine, [f"{prompt} again" for prompt in prompts], **asked)  # the next column
    assert counted.num_tokens <= num_own + 24 * engine.count_tokens(" again")
    assert_nothing_leaks(engine)


# -- who gives way ---------------------------------------------------------------------------------


@pytest.fixture
def small(tiny_gguf: Path) -> LocalEngine:
    """An engine with room for about three of our conversations, which parks none."""
    engine = load(tiny_gguf, n_ctx=1024, checkpoints=False, **PLAIN)
    engine._model.lanes.all[0]._parking = None
    return engine


def cached(engine: LocalEngine, name: str) -> bool:
    """Go on with a conversation, and tell whether it was resident."""
    prompt = f"{name}: {LONG * 7}"
    return ask(engine, prompt, 1, conversation=name).usage.cached_tokens > 200


def test_pinned_prompts_give_way_last_but_they_do(small: LocalEngine) -> None:
    prefill(small, LONG * 7, is_pinned=True)
    wait_until_idle(small)
    for name in "abcd":
        assert not cached(small, name)
    assert ask(small, LONG * 7 + "?", 1).usage.cached_tokens > 200
    assert ask(small, LONG[::-1] * 20, 8).usage.completion_tokens == 8  # it needs all the room
    assert ask(small, LONG * 7 + "?", 1).usage.cached_tokens == 0


def test_a_request_that_fits_alone_never_fails(small: LocalEngine) -> None:
    alone = ask(small, LONG * 18, 200).token_ids
    with paused(small):
        streams = [submit(small, LONG * 18, 200)]
        streams += [
            submit(small, f"{number}{LONG * 9}", 200, priority=Priority(number % 3))
            for number in range(9)
        ]
    answers = [stream.result(timeout=60) for stream in streams]
    assert answers[0].token_ids == alone
    assert {answer.usage.completion_tokens for answer in answers} == {200}
    assert_nothing_leaks(small)


# -- the kernel before -----------------------------------------------------------------------------

PROMPT = LONG * 20
EXACT_AND_FAST = pytest.mark.parametrize(
    "options", [{}, PLAIN], ids=["exact", "fast without flash attention"]
)


def kernel_before(path: Path, prompt: Prompt, options: dict[str, Any]) -> Completion:
    """Answer a prompt in an engine that may keep what it read, and close it."""
    engine = load(path, **options)
    answer = ask(engine, prompt, 8)
    # The hash of the model file is found out in the background.
    until(lambda: all(lane.store is not None for lane in engine._model.lanes.all))
    engine.close()
    return answer


def checkpoints(home: Path) -> list[Path]:
    return sorted((home / ".cache" / "jupyter_llm" / "checkpoints").glob("*/*.kv"))


@EXACT_AND_FAST
def test_a_checkpoint_restored_equals_a_fresh_prefill(
    tiny_gguf: Path, home: Path, options: dict[str, Any]
) -> None:
    kernel_before(tiny_gguf, PROMPT, options)
    assert len(checkpoints(home)) == 1
    restarted = load(tiny_gguf, **options)
    resumed = ask(restarted, PROMPT + "what then?", 40, logprobs=5)
    assert resumed.usage.cached_tokens >= restarted.count_tokens(PROMPT) - 1
    plain = ask_afresh(tiny_gguf, PROMPT + "what then?", 40, logprobs=5, **options)
    assert resumed.token_ids == plain.token_ids
    if not options:
        assert resumed.logprobs == plain.logprobs


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999], ids=["header", "middle", "end"])
def test_a_damaged_checkpoint_is_removed_and_read_anew(
    tiny_gguf: Path, home: Path, share: float
) -> None:
    kernel_before(tiny_gguf, PROMPT, {})
    (path,) = checkpoints(home)
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    damaged = ask_afresh(tiny_gguf, PROMPT + "?", 12, checkpoints=True)
    assert not path.exists()
    assert damaged.token_ids == ask_afresh(tiny_gguf, PROMPT + "?", 12).token_ids


def test_other_settings_find_nothing(tiny_gguf: Path, home: Path) -> None:
    kernel_before(tiny_gguf, PROMPT, PLAIN)
    for options in ({}, {"exact": False}, {**PLAIN, "repack": False}):
        ask_afresh(tiny_gguf, PROMPT + "?", 1, checkpoints=True, **options)
    assert ask(load(tiny_gguf, **PLAIN), PROMPT + "?", 1).usage.cached_tokens > 0


@pytest.mark.parametrize("model", ["tiny_gguf", "tiny_recurrent_gguf", "tiny_window_gguf"])
def test_a_chat_of_the_kernel_before_goes_on_where_it_was(
    model: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(model)
    question = Message("user", LONG * 15)
    answer = kernel_before(path, (question,), PLAIN)
    turn = question, answer.message
    follow_up = (*turn, Message("user", "go on"))
    second = ask(load(path, **PLAIN), follow_up, 20, conversation="chat")
    assert num_read(second) < 60
    assert ask_afresh(path, follow_up, 20, **PLAIN).token_ids == second.token_ids


@pytest.mark.parametrize("model", ["tiny_recurrent_gguf", "tiny_window_gguf"])
def test_a_state_that_cannot_be_cut_is_resumed_as_a_whole_or_not_at_all(
    model: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(model)
    kernel_before(path, PROMPT, PLAIN)
    other = LONG * 15 + "something else"
    elsewhere = ask_afresh(path, other, 20, checkpoints=True, **PLAIN)
    assert ask_afresh(path, other, 20, **PLAIN).token_ids == elsewhere.token_ids


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "waiting"])
def test_a_prompt_that_is_answered_while_all_is_forgotten_is_not_kept(
    tiny_gguf: Path, home: Path, *, is_running: bool
) -> None:
    engine = load(tiny_gguf, **PLAIN)
    with paused(engine):
        # Of 32 slots; only the first and the last are long enough to be kept.
        prompts = [PROMPT if number in (0, 33) else LONG for number in range(34)]
        streams = [submit(engine, f"{n} {prompt}", 8) for n, prompt in enumerate(prompts)]
        stream = streams[0 if is_running else -1]
        forgetting = ThreadPoolExecutor(1).submit(engine.forget)
        until(lambda: engine._commands.qsize() == 35)
    forgetting.result(timeout=60)
    assert stream.result(timeout=60).text
    for other in streams:
        other.result(timeout=60)
    until(lambda: all(lane.store is not None for lane in engine._model.lanes.all))
    engine.close()
    assert checkpoints(home) == []


def test_forgetting_ends_what_is_read_in_the_background_also_what_is_asked_for_meanwhile(
    tiny_gguf: Path,
) -> None:
    engine = load(tiny_gguf, checkpoints=False)
    ask(engine, "Hello", 2)
    with paused(engine):
        forgetting = ThreadPoolExecutor(1).submit(engine.forget)
        until(lambda: engine._commands.qsize() == 1)
        prefill(engine, PROMPT)  # by who does not know yet
    forgetting.result(timeout=60)
    wait_until_idle(engine)
    assert engine.status().prefixes == ()
    prefill(engine, PROMPT)
    until(lambda: engine.status().prefixes)


def test_without_checkpoints_nothing_is_written(tiny_gguf: Path, home: Path) -> None:
    ask_afresh(tiny_gguf, PROMPT, 8)
    assert checkpoints(home) == []
