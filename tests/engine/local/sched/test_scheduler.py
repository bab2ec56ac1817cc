"""The scheduler on a fake model whose next token depends on every token that is resident."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.fake_model import (
    Engine,
    FakeDrafter,
    FakeMask,
    FakeScorer,
    FixedWidth,
    fresh,
    next_token,
)

from jupyter_llm.engine.local.native.sampler import LogprobScorer
from jupyter_llm.engine.local.sched.batch import Decoded
from jupyter_llm.engine.local.sched.drawing import Drawing
from jupyter_llm.engine.local.sched.judging import Judging
from jupyter_llm.engine.local.sched.sequence import Sequence
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ContextOverflowError, EngineError


def test_interleaved_conversations_only_prefill_their_new_tokens() -> None:
    engine = Engine(n_ctx=400)
    history = {name: [1, 2, 3, number] for number, name in enumerate("abc")}
    for turn in range(4):
        for number, name in enumerate(history):
            before = engine.model.num_evaluated
            sequence = engine.submit(history[name], 5, name, ignore_eos=True)
            engine.run()
            # All but the answer's last token; of the history the last one was not evaluated.
            is_first = turn == 0 and number == 0
            num_new = 4 if is_first else 1 if turn == 0 else 3
            assert engine.model.num_evaluated - before == num_new + 4
            assert sequence.num_cached == sequence.num_prompt - num_new
            history[name] = [*sequence.token_ids, turn, number]


@pytest.mark.parametrize("num_tokens", [16, 17, 40])
def test_context_overflow_names_the_numbers(num_tokens: int) -> None:
    engine = Engine(n_ctx=16)
    with pytest.raises(ContextOverflowError, match=rf"{num_tokens} tokens.*\b16\b") as caught:
        engine.submit([1] * num_tokens)
    assert (caught.value.num_tokens, caught.value.n_ctx) == (num_tokens, 16)
    assert engine.scheduler.is_idle


def test_a_long_prefill_does_not_halt_those_that_decode() -> None:
    engine = Engine(n_batch=4)
    reader = engine.submit(list(range(1, 20)), 1)
    talker = engine.submit([2], 9, ignore_eos=True)
    while reader.finish_reason is None:
        before = len(talker.completion_ids)
        engine.step()
        assert len(talker.completion_ids) == before + 1


def test_an_aborted_answer_does_not_make_the_next_prompt_be_read_token_by_token() -> None:
    engine = Engine(n_ctx=200, n_batch=64)
    talker = engine.submit([1], 50, ignore_eos=True)
    engine.step()
    engine.model.outcomes = [Decoded.ABORTED]
    engine.step()
    engine.scheduler.finish(talker, "cancelled")
    engine.submit([2] * 60, 1)
    assert engine.step().num_tokens == 60


@pytest.mark.parametrize(("num_joined", "wants_logits"), [(2, [False] * 2), (3, [True] * 3)])
def test_what_has_to_come_is_read_with_what_was_drawn_and_counted_apart(
    num_joined: int, wants_logits: list[bool]
) -> None:
    engine = Engine(n_batch=16)
    engine.ask([1, 2], 1)
    engine.submit([1, 2], 6, begin=[3, 4, 5], ignore_eos=True, needs_logits=any(wants_logits))
    step = engine.step()
    assert [one.token_id for one in step.events][:3] == [3, 4, 5]
    assert len(step.events) == 4
    assert (step.num_tokens, step.num_joined) == (num_joined + 1, num_joined)
    assert engine.model.batches[-1].wants_logits == [*wants_logits, True]


def test_sequences_that_do_not_fit_together_wait_for_one_another() -> None:
    engine = Engine(n_ctx=16)
    for number in (1, 2):
        engine.submit([number] * 6, 4, ignore_eos=True)
    engine.step()
    assert (engine.scheduler.num_running, engine.scheduler.num_waiting) == (1, 1)


def test_what_rows_have_in_common_takes_its_room_once() -> None:
    engine = Engine(n_ctx=48, num_slots=6)
    shared = list(range(1, 21))
    engine.ask([*shared, 40, 41, 42], 1)
    for number in range(4):
        engine.submit([*shared, 30 + number], 4, ignore_eos=True)
    engine.step()
    engine.step()
    assert engine.scheduler.num_running == 4


def test_texts_that_are_judged_together_take_no_more_cells_than_are_free() -> None:
    engine = Engine(n_ctx=20, n_batch=32)
    for number in (1, 2):
        engine.score([number] * 4, [(3, 4, 5, 6), (7, 8, 9, 10)])
    assert engine.step().num_tokens == 2 * (4 + 4) + 4  # one further text has room


@pytest.mark.parametrize(("num_shared", "num_waiting"), [(63, 0), (64, 1)])
def test_a_start_is_waited_for_only_if_it_is_copied_then(num_shared: int, num_waiting: int) -> None:
    engine = Engine(n_ctx=400, n_batch=256, min_copy=64)
    for number in (2, 3):
        engine.submit([*[1] * num_shared, number], 4, ignore_eos=True)
    engine.step()
    assert engine.scheduler.num_waiting == num_waiting


def test_a_start_that_is_read_in_several_steps_is_read_once_also_if_short_ones_are_not_copied() -> (
    None
):
    engine = Engine(n_ctx=999, n_batch=64, num_slots=3, min_copy=64)
    shared = [number % 50 for number in range(110)]
    for number in (60, 61, 62):
        engine.submit([*shared, number], 1, ignore_eos=True)
    engine.run()
    assert engine.model.num_evaluated == 110 + 3


def test_no_row_is_preempted_for_room_that_it_does_not_make() -> None:
    engine = Engine(n_ctx=160, n_batch=256)
    row = engine.submit([*range(1, 101), 101], 20, ignore_eos=True, priority=Priority.BULK)
    engine.step()
    chat = engine.submit([*range(1, 101), 102], 20, ignore_eos=True)
    engine.step()
    other = engine.submit([120] * 80, 4, ignore_eos=True)
    while chat.finish_reason is None:
        engine.step()
        assert other.slot is None
    assert not row.was_preempted


def test_what_rows_have_in_common_takes_its_room_until_the_last_of_them_ends() -> None:
    engine = Engine(n_ctx=48)
    shared = list(range(1, 21))
    first = engine.submit([*shared, 30], 2, ignore_eos=True)
    second = engine.submit([*shared, 31], 8, ignore_eos=True)
    while first.finish_reason is None:
        engine.step()
    other = engine.submit([9] * 20, 3, ignore_eos=True)
    while second.finish_reason is None:
        assert other.slot is None  # 29 and 23 tokens have no room together
        engine.step()
    engine.run()
    assert not other.was_preempted


def test_a_row_goes_on_if_its_room_is_not_enough_for_a_prompt_of_a_higher_class() -> None:
    engine = Engine(n_ctx=40)
    urgent = engine.submit([1] * 20, 8, ignore_eos=True, priority=Priority.GHOST)
    row = engine.submit([2] * 4, 4, ignore_eos=True, priority=Priority.BULK)
    engine.step()
    chat = engine.submit([3] * 12, 2, ignore_eos=True)
    while urgent.finish_reason is None:
        assert row.slot is not None
        assert chat.slot is None
        engine.step()


def test_a_text_that_is_read_again_does_not_halt_those_that_draw() -> None:
    engine = Engine(n_batch=4)
    again = engine.submit([1], 40, ignore_eos=True, priority=Priority.BULK)
    while again.num_written < 24:
        engine.step()
    chat = engine.submit([2] * 30, 20, ignore_eos=True)
    while chat.finish_reason is None:
        engine.step()
    assert again.was_preempted
    talker = engine.submit([3], 6, ignore_eos=True, priority=Priority.BULK)
    for number in range(1, 7):
        assert again.slot is None or again.is_reading
        engine.step()
        assert talker.num_written == number
    engine.run()
    assert again.completion_ids == fresh([1], 40, ignore_eos=True)


SYSTEM, INSTRUCTION = [7] * 24, list(range(1, 39)) * 5
LABELS = [(2, 3), (2, 4), (5,)]


def column(engine: Engine, instruction: list[int], count: int, *, has_labels: bool) -> int:
    """Ask rows of two tokens behind an instruction; return how many tokens were evaluated."""
    before = engine.model.num_evaluated
    for number in range(count):
        row = [*SYSTEM, *instruction, number, number]
        if has_labels:
            engine.score(row, LABELS, priority=Priority.BULK)
        else:
            engine.submit(row, 3, ignore_eos=True, priority=Priority.BULK)
    engine.run()
    return engine.model.num_evaluated - before


@pytest.mark.parametrize("num_slots", [1, 2, 8])
@pytest.mark.parametrize("has_labels", [False, True], ids=["text", "labels"])
@pytest.mark.parametrize("earlier", ["nothing", "chat", "one row", "other column", "chat between"])
def test_rows_read_once_what_they_share_whatever_was_read_before(
    earlier: str, num_slots: int, *, has_labels: bool
) -> None:
    engine = Engine(n_ctx=999, n_batch=256, num_slots=num_slots)
    ask = partial(column, engine, has_labels=has_labels)
    num_shared = len(SYSTEM) + len(INSTRUCTION)
    if earlier != "nothing":
        engine.ask([*SYSTEM, 8, 9])
        num_shared -= len(SYSTEM)
    if earlier == "other column":
        ask(INSTRUCTION[::-1], 20)
    if earlier in ("one row", "chat between"):
        ask(INSTRUCTION, 1 if earlier == "one row" else 20)
        num_shared = 0
    if earlier == "chat between" and num_slots > 1:
        engine.ask([*SYSTEM, 8, 9])
    num_own = 2 + (4 if has_labels else 2)  # the last of three tokens drawn is not evaluated
    assert ask(INSTRUCTION, 20) <= num_shared + 20 * num_own + 8


def test_a_short_prompt_does_not_overtake_a_long_one_that_waits() -> None:
    engine = Engine(n_ctx=20)
    engine.submit([1] * 8, 4, ignore_eos=True)
    engine.submit([2] * 12, 4)
    engine.submit([3], 1)
    engine.step()
    assert (engine.scheduler.num_running, engine.scheduler.num_waiting) == (1, 2)


def test_a_batch_that_fails_takes_the_youngest_request_alone() -> None:
    engine = Engine()
    *others, youngest = (engine.submit([number, 2, 3], 8, ignore_eos=True) for number in (1, 4, 7))
    engine.step()
    engine.model.outcomes = [Decoded.FAILED]
    (drawn,) = engine.step().events
    assert drawn.sequence is youngest
    assert isinstance(drawn.error, EngineError)
    engine.run()
    reasons = [sequence.finish_reason for sequence in (*others, youngest)]
    assert reasons == ["length", "length", "error"]


PARTS = st.lists(st.sampled_from([[1, 2, 3], [4], [5, 6], [2]]), min_size=1, max_size=5)
PROMPTS = PARTS.map(lambda parts: list(chain(*parts)))
NO_LOGITS: Any = None
ASKED = st.sampled_from([Priority.GHOST, Priority.CHAT, Priority.BULK])


class AnyOrder(RuleBasedStateMachine):
    """Prompts of all classes, steps, cancellations and failures in any order."""

    @initialize(
        num_slots=st.integers(1, 3),
        n_ctx=st.integers(16, 40),
        n_batch=st.integers(1, 8),
        can_trim=st.booleans(),
        width=st.integers(1, 3),
    )
    def start(self, width: int, **limits: Any) -> None:
        self.engine = Engine(width=FixedWidth(width), **limits)

    @rule(
        prompt=PROMPTS,
        begin=st.lists(st.integers(1, 9), max_size=4),
        needs_logits=st.booleans(),
        wrong_every=st.sampled_from([None, 1, 2, 9]),
        max_tokens=st.integers(1, 8),
        conversation=st.sampled_from([None, "a"]),
        priority=ASKED,
        is_pinned=st.booleans(),
    )
    def submit(self, prompt: list[int], wrong_every: int | None, **more: Any) -> None:
        drafter = FakeDrafter(list(prompt), wrong_every) if wrong_every else None
        self.engine.submit(prompt, drafter=drafter, **more)

    @rule(prompt=PROMPTS, is_pinned=st.booleans())
    def read_in_the_background(self, prompt: list[int], is_pinned: bool) -> None:  # noqa: FBT001
        self.engine.read(prompt, is_pinned=is_pinned)

    @rule(is_held=st.booleans())
    def hold_the_background(self, is_held: bool) -> None:  # noqa: FBT001
        self.engine.scheduler.is_background_held = is_held

    @rule(
        prompt=PROMPTS,
        texts=st.sets(st.lists(st.integers(1, 3), max_size=4).map(tuple), min_size=1, max_size=6),
        priority=ASKED,
    )
    def score(self, prompt: list[int], texts: set[tuple[int, ...]], priority: Priority) -> None:
        paths = LogprobScorer(NO_LOGITS, texts, [0]).paths
        if len(prompt) + max(map(len, paths)) < self.engine.model.n_ctx:
            self.engine.score(prompt, paths, priority=priority)

    @rule(
        prompt=PROMPTS,
        closing=st.lists(st.integers(1, 9), min_size=1, max_size=4),
        num_free=st.integers(1, 6),
        texts=st.sets(st.lists(st.integers(1, 3), max_size=4).map(tuple), min_size=1, max_size=6),
        priority=ASKED,
        wrong_every=st.sampled_from([None, 2]),
    )
    def score_after_free_text(
        self, prompt: list[int], texts: set[tuple[int, ...]], wrong_every: int | None, **more: Any
    ) -> None:
        paths = LogprobScorer(NO_LOGITS, texts, [0]).paths
        drafter = FakeDrafter(list(prompt), wrong_every) if wrong_every else None
        num_more = more["num_free"] + len(more["closing"]) + max(map(len, paths))
        if len(prompt) + num_more < self.engine.model.n_ctx:
            self.engine.lead(prompt, drafter=drafter, paths=paths, **more)

    @precondition(lambda self: self.engine.sequences)
    @rule(data=st.data(), max_tokens=st.integers(1, 8), priority=ASKED)
    def follow_up(self, data: st.DataObject, max_tokens: int, priority: Priority) -> None:
        earlier = data.draw(st.sampled_from(self.engine.sequences), "earlier")
        if len(earlier.token_ids) + 2 < self.engine.model.n_ctx:
            prompt = [*earlier.token_ids, 3]
            self.engine.submit(prompt, max_tokens, earlier.conversation, priority=priority)

    @rule(times=st.integers(1, 6))
    def step(self, times: int) -> None:
        for _ in range(times):
            self.engine.step()

    @rule(outcome=st.sampled_from([Decoded.ABORTED, Decoded.FAILED]))
    def step_that_ends_early(self, outcome: Decoded) -> None:
        self.engine.model.outcomes = [outcome]
        self.engine.step()
        self.engine.model.outcomes = []

    @precondition(lambda self: self.engine.sequences)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.engine.sequences), "cancelled")
        self.engine.scheduler.finish(sequence, "cancelled")

    @invariant()
    def slots_hold_what_the_model_holds(self) -> None:
        self.engine.check()

    def teardown(self) -> None:
        engine = self.engine
        engine.scheduler.is_background_held = False
        engine.run()
        for sequence in engine.sequences:
            assert_matches_fresh(sequence)
        assert engine.scheduler.num_running == engine.scheduler.num_waiting == 0
        assert not any(slot.is_busy for slot in engine.slots._slots)
        engine.forget_idle()
        assert engine.model.num_used == 0
        assert engine.slots.used == ()


def assert_matches_fresh(sequence: Sequence) -> None:
    """Compare with a model that has read nothing else."""
    work = sequence.work
    num_before = work.num_before if isinstance(work, Judging) else sequence.num_prompt
    prompt = sequence.token_ids[:num_before]
    is_whole = sequence.finish_reason in ("stop", "length")
    if isinstance(work, Judging):
        assert isinstance(work.scorer, FakeScorer)
        given, free = prompt[: sequence.num_prompt], prompt[sequence.num_prompt :]
        closing = work.scorer.closing
        assert free == fresh(given, len(free) - len(closing)) + closing
        judged = work.scorer.judged
        for path in judged:
            assert judged[path] == next_token([*prompt, *path])
        parts = {path[:size] for path in work.paths for size in range(len(path) + 1)}
        assert not is_whole or set(judged) == parts
    elif isinstance(work, Drawing):
        begin = list(work.mask.begin) if isinstance(work.mask, FakeMask) else []
        whole = begin[: work.max_tokens]
        whole += fresh(prompt + begin, work.max_tokens - len(whole))
        assert sequence.completion_ids == whole[: None if is_whole else sequence.num_written]


@pytest.mark.parametrize(
    ("num_lives", "num_steps"), [(60, 25), (20, 200)], ids=["short lives", "long lives"]
)
def test_whatever_comes_in_whatever_order_matches_fresh_and_leaks_nothing(
    num_lives: int, num_steps: int
) -> None:
    size = settings(max_examples=num_lives, stateful_step_count=num_steps)
    run_state_machine_as_test(AnyOrder, settings=size)


@pytest.mark.soak
@pytest.mark.slow
def test_nor_does_any_of_many_lives() -> None:
    test_whatever_comes_in_whatever_order_matches_fresh_and_leaks_nothing(1500, 50)
