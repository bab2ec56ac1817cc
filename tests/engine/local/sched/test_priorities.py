"""Who goes first, who waits and loses nothing, and that nobody waits for ever."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.engines import (
    ask,
    assert_nothing_leaks,
    before_each_step,
    forget_all,
    inside,
    load,
    num_read,
    paused,
    prefill,
    resident_tokens,
    submit,
    wait_until_idle,
)
from support.fake_model import Engine as FakeEngine
from support.fake_model import fresh
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.sched.scheduler import Step
from jupyter_llm.engine.request import Message, Priority, Request

LONG = "the quick brown fox jumps over the lazy dog and "
INSTRUCTION = "Say in one word what this is: "


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, checkpoints=False)


# -- the scheduler on the fake model ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Priority.BULK, Priority.CHAT),
        (Priority.CHAT, Priority.GHOST),
        (Priority.BULK, Priority.GHOST),
        (Priority.GUEST, Priority.CHAT),
        (Priority.BULK, Priority.GUEST),
    ],
)
def test_a_higher_class_has_the_next_step_for_itself(first: Priority, then: Priority) -> None:
    engine = FakeEngine(n_ctx=400)
    rows = [engine.submit([row, 1, 2], 30, ignore_eos=True, priority=first) for row in (1, 2, 3)]
    engine.step()
    urgent = engine.submit([9, 9], 20, ignore_eos=True, priority=then)
    before = [len(row.completion_ids) for row in rows]
    for number in range(20):
        (drawn,) = engine.step().events
        assert drawn.sequence is urgent
        assert len(urgent.completion_ids) == number + 1
    assert [len(row.completion_ids) for row in rows] == before
    engine.run()
    for row, sequence in enumerate(rows, 1):
        assert sequence.completion_ids == fresh([row, 1, 2], 30, ignore_eos=True)


def test_a_lower_class_gets_a_small_step_after_each_240_tokens_of_a_higher_one() -> None:
    engine = FakeEngine(n_ctx=2000, n_batch=64)
    chat = engine.submit([1], 900, ignore_eos=True)
    row = engine.submit(list(range(1, 40)) * 5, 9, ignore_eos=True, priority=Priority.BULK)
    sizes = []
    while chat.finish_reason is None:
        if engine.step().priority is Priority.BULK:
            sizes.append(len(engine.model.batches[-1]))
    assert sizes == [32, 32, 32]
    engine.run()
    assert row.completion_ids == fresh(list(range(1, 40)) * 5, 9, ignore_eos=True)


def test_no_class_starves_under_a_stream_of_higher_ones_that_never_ends() -> None:
    engine = FakeEngine(n_ctx=400, num_slots=4)
    patient = [
        engine.submit([7, 7, 7], 12, ignore_eos=True, priority=priority)
        for priority in (Priority.CHAT, Priority.BULK)
    ]
    urgent = engine.submit([1], 50, ignore_eos=True, priority=Priority.GHOST)
    for _ in range(20_000):
        engine.scheduler.step()
        if urgent.finish_reason is not None:
            urgent = engine.submit([1], 50, ignore_eos=True, priority=Priority.GHOST)
        if all(sequence.finish_reason for sequence in patient):
            break
    for sequence in patient:
        assert sequence.completion_ids == fresh([7, 7, 7], 12, ignore_eos=True)


def test_background_reading_starts_only_when_nothing_runs_and_never_while_held() -> None:
    engine = FakeEngine(n_ctx=200)
    chat = engine.submit([1, 2], 5, ignore_eos=True)
    ahead = engine.read([5] * 20)
    while chat.finish_reason is None:
        engine.step()
        assert ahead.slot is None
    engine.scheduler.is_background_held = True
    assert engine.scheduler.is_idle
    assert engine.step().events == ()
    assert ahead.slot is None
    engine.scheduler.is_background_held = False
    engine.step()
    assert engine.model.tokens(0)
    engine.scheduler.is_background_held = True
    before = engine.model.num_evaluated
    assert engine.scheduler.is_idle
    assert engine.step().events == ()
    assert engine.model.num_evaluated == before
    engine.scheduler.is_background_held = False
    engine.run()
    assert ahead.finish_reason == "length"
    assert engine.ask([5] * 20 + [6]).num_cached == 20


# -- the engine on the tiny model ------------------------------------------------------------------


def test_a_chat_beside_a_bulk_batch_has_every_next_step_and_the_rows_stay_the_same(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [f"{INSTRUCTION}{row}" for row in range(12)]
    alone = [ask(engine, prompt, 30).token_ids for prompt in prompts]
    steps: list[tuple[Priority | None, int]] = []
    lane = engine._model.lanes.exact
    really = lane.scheduler.step

    def watched(*, is_guest: bool = False) -> Step:
        step = really(is_guest=is_guest)
        steps.append((step.priority, step.num_tokens))
        return step

    with paused(engine):
        rows = [submit(engine, prompt, 30, priority=Priority.BULK) for prompt in prompts]
    next(iter(rows[0]))
    monkeypatch.setattr(lane.scheduler, "step", watched)
    rows = rows[1:]  # the first one ended with its loop
    chat = ask(engine, LONG * 2, 60)  # short of the tokens after which rows have a step
    of_the_chat = [at for at, (priority, _) in enumerate(steps) if priority is Priority.CHAT]
    between = steps[of_the_chat[0] : of_the_chat[-1] + 1]  # fewer than tokens where guesses pay
    assert {priority for priority, num in between if num} == {Priority.CHAT}
    assert [row.result(timeout=60).token_ids for row in rows] == alone[1:]
    assert chat.token_ids == ask(engine, LONG * 2, 60).token_ids
    assert_nothing_leaks(engine)


def test_what_was_read_in_the_background_is_cached_and_changes_no_token(
    engine: LocalEngine,
) -> None:
    prompts = ["one " * 80, "two " * 80]
    for prompt in prompts:
        prefill(engine, prompt)
    wait_until_idle(engine)
    answers = [ask(engine, prompt) for prompt in prompts]
    assert [num_read(answer) for answer in answers] == [1, 1]
    forget_all(engine)
    assert [ask(engine, prompt).token_ids for prompt in prompts] == [
        answer.token_ids for answer in answers
    ]


def test_what_is_written_in_the_background_ends_with_any_request_and_where_a_cell_runs(
    engine: LocalEngine,
) -> None:
    background = partial(submit, engine, "a", 400, priority=Priority.BACKGROUND)
    assert background().result(timeout=60).finish_reason == "length"
    stream = background()
    next(iter(stream))
    assert ask(engine, "quick", 3).usage.completion_tokens == 3
    assert stream.result(timeout=60).finish_reason == "cancelled"
    stream = background()
    next(iter(stream))
    engine.hold_background(is_held=True)
    for one in (stream, background()):
        assert one.result(timeout=60).finish_reason == "cancelled"


def test_any_request_ends_background_reading_at_once(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = LONG * 70  # of several batches
    ask(engine, "make the exact context", 1)
    lane = engine._model.lanes.exact
    streams = []

    def interfere(number: int) -> None:
        if number == 2:
            streams.append(submit(engine, "quick", 3))

    before_each_step(engine, monkeypatch, interfere)
    prefill(engine, long)
    wait_until_idle(engine)
    assert streams[0].result(timeout=60).usage.completion_tokens == 3
    assert inside(engine, lambda: lane.scheduler.of_class(Priority.BACKGROUND)) == []
    cached = ask(engine, long, 1).usage.cached_tokens
    assert 256 <= cached < engine.count_tokens(long) - 1  # what it had read by then stays


@pytest.mark.parametrize("exact", [True, False])
def test_pinning_again_takes_no_second_slot(tiny_gguf: Path, *, exact: bool) -> None:
    engine = load(tiny_gguf, exact=exact, checkpoints=False)
    for number in range(6):
        prefill(engine, LONG * 3, is_pinned=True)
        wait_until_idle(engine)
        if number % 2:
            ask(engine, LONG * 3, 2, is_pinned=True)
    assert [prefix.is_pinned for prefix in engine.status().prefixes] == [True]


def test_a_prompt_that_cannot_be_read_ahead_leaves_the_engine_alone(tmp_path: Path) -> None:
    broken = write_tiny_model(tmp_path / "broken.gguf", chat_template="{{ broken")
    engine = load(broken)
    engine.prefill(Request(prompt=(Message("user", "no template"),)))
    engine.prefill(Request(prompt="word " * 9000))
    engine.prefill(Request(prompt=""))
    assert ask(engine, "still there", 3).usage.completion_tokens == 3


def test_llm_prefill_reads_ahead_and_a_cell_that_runs_holds_it(
    tiny_gguf: Path, fresh_llm: None
) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    llm.current.hold_background(is_held=True)
    llm.prefill(LONG * 9, raw=True, pin=True)
    assert resident_tokens(llm.status().engine) == []
    llm.current.hold_background(is_held=False)
    engine = llm.engine()
    assert isinstance(engine, LocalEngine)
    wait_until_idle(engine)
    (prefix,) = engine.status().prefixes
    assert prefix.is_pinned
    assert prefix.num_tokens == engine.count_tokens(LONG * 9)
    completion = llm.complete(LONG * 9 + "x", max_tokens=1)
    assert completion.usage.cached_tokens == prefix.num_tokens
