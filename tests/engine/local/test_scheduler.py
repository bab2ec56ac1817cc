"""The scheduler on a fake model whose next token depends on every token that is resident."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain

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
from support.fake_model import END, Engine, FakeDrafter, FakeScorer, FixedWidth, fresh, next_token

from jupyter_llm.engine.local.scheduler import Decoded, Drawn, Sequence
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ContextOverflowError, EngineError


def ending(num_tokens: int) -> list[int]:
    """Return a prompt that the fake model answers with so many tokens and then the end."""
    prompts = ([first, second] for first in range(1, 40) for second in range(1, 40))
    return next(prompt for prompt in prompts if len(fresh(prompt, 40)) == num_tokens)


BOTH = pytest.mark.parametrize("can_trim", [True, False], ids=["trims", "cannot trim"])


@BOTH
def test_prefix_reuse_matches_fresh(can_trim: bool) -> None:  # noqa: FBT001
    engine = Engine(can_trim=can_trim)
    first = engine.ask([1, 2, 3, 4, 5])
    follow_up = [*first.token_ids, 6, 7]
    for prompt in (follow_up, [1, 2, 3, 4, 5], [1, 2, 3, 9], [1, 2, 3, 4, 5, 6]):
        assert engine.ask(prompt, 9, "chat").completion_ids == fresh(prompt, 9)


@BOTH
def test_batched_matches_sequential(can_trim: bool) -> None:  # noqa: FBT001
    prompts = [[number, *range(1, number * 2)] for number in range(1, 7)]
    engine = Engine(num_slots=3, can_trim=can_trim)
    sequences = [engine.submit(prompt, 7) for prompt in prompts]
    engine.run()
    assert [s.completion_ids for s in sequences] == [fresh(prompt, 7) for prompt in prompts]


def test_running_sequences_share_a_batch() -> None:
    engine = Engine()
    for first in (1, 2, 3):
        engine.submit([first, 5], 4, ignore_eos=True)
    engine.run()
    assert [len(batch) for batch in engine.model.batches] == [6, 3, 3, 3]


def test_a_repeated_prompt_evaluates_only_its_last_token() -> None:
    engine = Engine()
    engine.ask([1, 2, 3, 4], 1)
    before = engine.model.num_evaluated
    assert engine.ask([1, 2, 3, 4], 1).num_cached == 3
    assert engine.model.num_evaluated == before + 1


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


def test_a_fork_keeps_the_first_conversations_tail() -> None:
    engine = Engine()
    first = engine.ask([1, 2, 3, 4, 5, 6], 3, "a")
    engine.ask([1, 2, 3, 9], 3, "b")
    again = engine.ask([*first.token_ids, 8], 3, "a")
    assert again.num_cached == len(first.token_ids) - 1


@pytest.mark.parametrize("max_tokens", [1, 2, 5])
def test_max_tokens_respected(max_tokens: int) -> None:
    engine = Engine()
    sequence = engine.submit([1, 2, 3], max_tokens, ignore_eos=True)
    engine.run()
    assert len(sequence.completion_ids) == max_tokens
    assert sequence.finish_reason == "length"


@pytest.mark.parametrize("num_tokens", [0, 1, 4])
def test_the_end_token_ends_and_is_no_completion_token(num_tokens: int) -> None:
    engine = Engine()
    prompt = ending(num_tokens)
    sequence = engine.ask(prompt, 40)
    assert sequence.finish_reason == "stop"
    assert sequence.completion_ids == fresh(prompt, 40)
    assert len(sequence.completion_ids) == num_tokens
    assert engine.drawn[-1] == Drawn(sequence)


def test_ignore_eos_goes_on_past_the_end_token() -> None:
    engine = Engine()
    prompt = ending(2)
    sequence = engine.submit(prompt, 9, ignore_eos=True)
    engine.run()
    assert sequence.completion_ids == fresh(prompt, 9, ignore_eos=True)
    assert END in sequence.completion_ids


@pytest.mark.parametrize("num_tokens", [16, 17, 40])
def test_context_overflow_names_the_numbers(num_tokens: int) -> None:
    engine = Engine(n_ctx=16)
    with pytest.raises(ContextOverflowError, match=rf"{num_tokens} tokens.*\b16\b") as caught:
        engine.submit([1] * num_tokens)
    assert (caught.value.num_tokens, caught.value.n_ctx) == (num_tokens, 16)
    assert engine.scheduler.is_idle


def test_prompt_and_completion_are_cut_to_the_window() -> None:
    engine = Engine(n_ctx=16)
    sequence = engine.submit([1] * 10, 100, ignore_eos=True)
    engine.run()
    assert len(sequence.token_ids) == 16
    assert sequence.finish_reason == "length"


def test_a_prompt_longer_than_a_batch_is_read_in_several() -> None:
    engine = Engine(n_batch=4)
    prompt = list(range(1, 12))
    assert engine.ask(prompt, 1).completion_ids == fresh(prompt, 1)
    assert [len(batch) for batch in engine.model.batches] == [4, 4, 3]
    assert [sum(batch.wants_logits) for batch in engine.model.batches] == [0, 0, 1]


def test_a_long_prefill_does_not_halt_those_that_decode() -> None:
    engine = Engine(n_batch=4)
    reader = engine.submit(list(range(1, 20)), 1)
    talker = engine.submit([2], 9, ignore_eos=True)
    while reader.finish_reason is None:
        before = len(talker.completion_ids)
        engine.step()
        assert len(talker.completion_ids) == before + 1


def test_no_room_evicts_idle_slots_and_goes_on() -> None:
    engine = Engine(n_ctx=24)
    for first in (1, 2, 3):
        engine.ask([first] * 5, 3)
    prompt = list(range(1, 16))
    assert engine.ask(prompt, 8).completion_ids == fresh(prompt, 8)
    assert sum(engine.slots.resident_tokens) <= 24


def test_no_room_evicts_the_longest_unused_first() -> None:
    engine = Engine(n_ctx=24)
    for first in (1, 2, 3):
        engine.ask([first] * 6, 1)
    engine.ask([9] * 8, 2)
    assert engine.ask([3] * 6 + [4], 1).num_cached == 6
    assert engine.ask([1] * 6 + [4], 1).num_cached == 0


def test_sequences_that_do_not_fit_together_wait_for_one_another() -> None:
    engine = Engine(n_ctx=16)
    first, second = (engine.submit([number] * 6, 4, ignore_eos=True) for number in (1, 2))
    engine.step()
    assert (engine.scheduler.num_running, engine.scheduler.num_waiting) == (1, 1)
    engine.run()
    assert first.completion_ids == fresh([1] * 6, 4, ignore_eos=True)
    assert second.completion_ids == fresh([2] * 6, 4, ignore_eos=True)


def test_first_come_first_served() -> None:
    engine = Engine(num_slots=1)
    prompts = [[number, 1] for number in range(1, 6)]
    sequences = [engine.submit(prompt, 2) for prompt in prompts]
    engine.run()
    order = list(dict.fromkeys(id(drawn.sequence) for drawn in engine.drawn))
    assert order == [id(sequence) for sequence in sequences]


def test_a_short_prompt_does_not_overtake_a_long_one_that_waits() -> None:
    engine = Engine(n_ctx=20)
    engine.submit([1] * 8, 4, ignore_eos=True)
    engine.submit([2] * 12, 4)
    engine.submit([3], 1)
    engine.step()
    assert (engine.scheduler.num_running, engine.scheduler.num_waiting) == (1, 2)


@BOTH
def test_an_aborted_batch_is_run_again_and_no_token_changes(can_trim: bool) -> None:  # noqa: FBT001
    engine = Engine(can_trim=can_trim, n_batch=5)
    prompts = [[1, 2, 3], [4, 5, 6, 7], [8]]
    sequences = [engine.submit(prompt, 8) for prompt in prompts]
    for _ in range(6):
        engine.model.outcomes = [Decoded.ABORTED, Decoded.OK]
        assert engine.step() == []
        engine.step()
    engine.run()
    assert [s.completion_ids for s in sequences] == [fresh(prompt, 8) for prompt in prompts]


@BOTH
def test_failed_request_leaves_others_running(can_trim: bool) -> None:  # noqa: FBT001
    engine = Engine(can_trim=can_trim)
    prompts = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    *others, youngest = (engine.submit(prompt, 8, ignore_eos=True) for prompt in prompts)
    engine.step()
    engine.model.outcomes = [Decoded.FAILED]
    (drawn,) = engine.step()
    assert drawn.sequence is youngest
    assert isinstance(drawn.error, EngineError)
    assert youngest.finish_reason == "error"
    engine.run()
    for sequence, prompt in zip(others, prompts, strict=False):
        assert sequence.completion_ids == fresh(prompt, 8, ignore_eos=True)


def test_cancel_frees_the_slot() -> None:
    engine = Engine(num_slots=1)
    running, waiting = engine.submit([1, 2], 20), engine.submit([3, 4], 2)
    engine.step()
    engine.scheduler.finish(running, "cancelled")
    engine.check()
    engine.run()
    assert running.finish_reason == "cancelled"
    assert waiting.completion_ids == fresh([3, 4], 2)


@pytest.mark.parametrize("num_steps", range(6))
def test_cancel_at_any_state_ends_a_sequence_once(num_steps: int) -> None:
    engine = Engine(n_batch=3)
    sequence = engine.submit(list(range(1, 8)), 40, ignore_eos=True)
    for _ in range(num_steps):
        engine.step()
    for _ in range(2):
        engine.scheduler.finish(sequence, "cancelled")
    engine.check()
    assert engine.scheduler.is_idle
    assert engine.step() == []


def test_finishing_what_ended_by_itself_keeps_its_reason() -> None:
    engine = Engine()
    sequence = engine.ask([1, 2], 1)
    engine.scheduler.finish(sequence, "cancelled")
    engine.check()
    assert sequence.finish_reason == "length"


def test_what_a_cancelled_sequence_has_read_stays_resident() -> None:
    engine = Engine(n_batch=4)
    prompt = list(range(1, 12))
    sequence = engine.submit(prompt)
    engine.step()
    engine.step()
    engine.scheduler.finish(sequence, "cancelled")
    assert engine.ask(prompt).num_cached == 8


PROMPTS = st.lists(st.sampled_from([[1, 2, 3], [4], [5, 6], [2]]), min_size=1, max_size=5)
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
    def start(
        self,
        num_slots: int,
        n_ctx: int,
        n_batch: int,
        can_trim: bool,  # noqa: FBT001
        width: int,
    ) -> None:
        self.engine = Engine(
            num_slots=num_slots,
            n_ctx=n_ctx,
            n_batch=n_batch,
            can_trim=can_trim,
            width=FixedWidth(width),
        )

    @rule(
        parts=PROMPTS,
        max_tokens=st.integers(1, 8),
        conversation=st.sampled_from([None, "a"]),
        priority=ASKED,
        is_pinned=st.booleans(),
        wrong_every=st.sampled_from([None, 1, 2, 9]),
    )
    def submit(
        self,
        parts: list[list[int]],
        max_tokens: int,
        conversation: str | None,
        priority: Priority,
        is_pinned: bool,  # noqa: FBT001
        wrong_every: int | None,
    ) -> None:
        prompt = list(chain(*parts))
        self.engine.submit(
            prompt,
            max_tokens,
            conversation,
            priority=priority,
            is_pinned=is_pinned,
            drafter=FakeDrafter(list(prompt), wrong_every) if wrong_every else None,
        )

    @rule(parts=PROMPTS, is_pinned=st.booleans())
    def read_in_the_background(self, parts: list[list[int]], is_pinned: bool) -> None:  # noqa: FBT001
        self.engine.read(list(chain(*parts)), is_pinned=is_pinned)

    @rule(is_held=st.booleans())
    def hold_the_background(self, is_held: bool) -> None:  # noqa: FBT001
        self.engine.scheduler.is_background_held = is_held

    @rule(parts=PROMPTS, text=st.lists(st.integers(1, 9), min_size=1, max_size=5))
    def score(self, parts: list[list[int]], text: list[int]) -> None:
        prompt = list(chain(*parts))
        if len(prompt) + len(text) <= self.engine.model.n_ctx:
            self.engine.score(prompt, text)

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
        self.engine.scheduler.is_background_held = False
        self.engine.run()
        for sequence in self.engine.sequences:
            assert_matches_fresh(sequence)
        assert_nothing_leaks(self.engine)


def assert_matches_fresh(sequence: Sequence) -> None:
    """Compare with a model that has read nothing else."""
    prompt = sequence.token_ids[: sequence.num_prompt]
    is_whole = sequence.finish_reason in ("stop", "length")
    if isinstance(sequence.scorer, FakeScorer):
        ends = range(sequence.num_given, len(prompt))
        judged = [(prompt[end], next_token(prompt[:end])) for end in ends]
        assert sequence.scorer.judged == judged[: None if is_whole else len(sequence.scorer.judged)]
    elif sequence.max_tokens:
        whole = fresh(prompt, sequence.max_tokens)
        assert (
            sequence.completion_ids == whole[: None if is_whole else len(sequence.completion_ids)]
        )


def assert_nothing_leaks(engine: Engine) -> None:
    """Let all give way, and find every cell and every sequence free again."""
    scheduler = engine.scheduler
    assert scheduler.num_running == scheduler.num_waiting == 0
    assert not any(slot.is_busy for slot in engine.slots._slots)
    engine.forget_idle()
    assert engine.model.num_used == 0
    assert engine.slots.used == ()


def test_whatever_comes_in_whatever_order_matches_fresh() -> None:
    run_state_machine_as_test(
        AnyOrder, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )


@pytest.mark.slow
def test_whatever_comes_in_whatever_order_matches_fresh_many_times() -> None:
    run_state_machine_as_test(
        AnyOrder, settings=settings(max_examples=1500, stateful_step_count=50, deadline=None)
    )


class Walk:
    """A long life of one engine: at every step somebody comes, goes, or all go on."""

    def __init__(self, seed: int, *, can_trim: bool) -> None:
        self.dice = random.Random(seed)  # noqa: S311
        self.engine = Engine(
            num_slots=6, n_ctx=96, n_batch=12, can_trim=can_trim, width=FixedWidth(4)
        )
        self.finished: Counter[str | None] = Counter()

    def go(self, num_steps: int) -> None:
        for _ in range(num_steps):
            action = self.dice.choices((self._submit, self._cancel, self._step), (3, 1, 6))
            action[0]()
            self.engine.check()
            self._forget_finished()
        self.engine.scheduler.is_background_held = False
        self.engine.run()
        self._forget_finished()

    def _submit(self) -> None:
        dice, engine = self.dice, self.engine
        prompt = [1, 2, 3, 4, 5, 6][: dice.randrange(7)]
        prompt += [dice.randrange(1, 40) for _ in range(dice.randrange(1, 30))]
        kind = dice.randrange(8)
        if kind == 0:
            engine.read(prompt, is_pinned=dice.random() < 0.1)
        elif kind == 1:
            engine.score(prompt, [dice.randrange(1, 40) for _ in range(dice.randrange(1, 9))])
        else:
            engine.submit(
                prompt,
                dice.randrange(1, 30),
                dice.choice([None, None, "a", "b"]),
                priority=dice.choice([Priority.GHOST, Priority.CHAT, Priority.BULK]),
                drafter=FakeDrafter(list(prompt)) if dice.random() < 0.5 else None,
            )

    def _cancel(self) -> None:
        if self.engine.sequences:
            sequence = self.dice.choice(self.engine.sequences)
            self.engine.scheduler.finish(sequence, "cancelled")

    def _step(self) -> None:
        dice, engine = self.dice, self.engine
        engine.scheduler.is_background_held = dice.random() < 0.2
        if dice.random() < 0.1:
            engine.model.outcomes = [dice.choice([Decoded.ABORTED, Decoded.FAILED])]
        engine.step()
        engine.model.outcomes = []

    def _forget_finished(self) -> None:
        for sequence in [s for s in self.engine.sequences if s.finish_reason is not None]:
            assert_matches_fresh(sequence)
            self.finished[sequence.finish_reason] += 1
            self.engine.sequences.remove(sequence)
        live = set(map(id, self.engine.sequences))
        self.engine.drawn = [drawn for drawn in self.engine.drawn if id(drawn.sequence) in live]
        del self.engine.model.batches[:-1]


@BOTH
def test_2000_random_steps_leak_no_cell_and_no_sequence(can_trim: bool) -> None:  # noqa: FBT001
    walk = Walk(2000, can_trim=can_trim)
    walk.go(2000)
    assert walk.engine.sequences == []
    assert sum(walk.finished.values()) > 400
    assert min(walk.finished[reason] for reason in ("stop", "length", "cancelled", "error")) > 20
    assert_nothing_leaks(walk.engine)
