"""A model without arithmetic for tests of the scheduler.

Its next token depends on every token that is resident, so a wrong prefix or a wrong trim shows in
the text; it counts shared cells once, as llama.cpp's unified KV cache does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jupyter_llm.engine.local.sched.admission import Width
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.local.sched.drawing import Drawing
from jupyter_llm.engine.local.sched.judging import Judging
from jupyter_llm.engine.local.sched.scheduler import Scheduler, Step
from jupyter_llm.engine.local.sched.sequence import Event, Prefill, Sequence
from jupyter_llm.engine.local.sched.slots import Slot, Slots
from jupyter_llm.engine.request import Priority

END = 0


def next_token(token_ids: list[int]) -> int:
    state = 7
    for token_id in token_ids:
        state = (state * 31 + token_id + 1) % 1009
    return state % 40


@dataclass(slots=True, eq=False)
class Cell:
    """One place of the KV cache; sequences that share a prefix share its cells."""

    token_id: int


@dataclass(slots=True)
class FakeModel:
    n_ctx: int = 64
    n_batch: int = 8
    can_trim: bool = True
    cells: dict[int, list[Cell]] = field(default_factory=dict)
    outcomes: list[Decoded] = field(default_factory=list)  # of the next batches; then OK
    batches: list[Batch] = field(default_factory=list)  # that were evaluated
    next_ids: list[int] = field(default_factory=list)
    spare_ids: range = range(100, 102)

    num_cells: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_cells = self.n_ctx

    def decode(self, batch: Batch) -> Decoded:
        if self.num_used + len(batch) > self.n_ctx:
            return Decoded.NO_ROOM
        outcome = self.outcomes.pop(0) if self.outcomes else Decoded.OK
        # A batch that ends early leaves a part of itself behind.
        num_evaluated = len(batch) if outcome is Decoded.OK else (len(batch) + 1) // 2
        self.next_ids = []
        for index in range(num_evaluated):
            cell = Cell(batch.token_ids[index])
            read = []
            for seq_id in (batch.seq_ids[index], *batch.also.get(index, ())):
                cells = self.cells.setdefault(seq_id, [])
                assert batch.positions[index] == len(cells), "positions go on from what is resident"
                cells.append(cell)
                read.append(self.tokens(seq_id))
            assert read.count(read[0]) == len(read), "what several share has the same before it"
            self.next_ids.append(next_token(read[0]))
        if outcome is Decoded.OK:
            self.batches.append(batch)
        return outcome

    def trim(self, seq_id: int, num_tokens: int) -> bool:
        cells = self.cells.setdefault(seq_id, [])
        if not self.can_trim and 0 < num_tokens < len(cells):
            return False
        del cells[num_tokens:]
        return True

    def copy(self, source: int, target: int, num_tokens: int) -> bool:
        assert not self.cells.get(target), "the target is empty"
        self.cells[target] = self.cells[source][:num_tokens]
        return True

    def is_end(self, token_id: int) -> bool:
        return token_id == END

    def tokens(self, seq_id: int) -> list[int]:
        return [cell.token_id for cell in self.cells.get(seq_id, [])]

    @property
    def num_evaluated(self) -> int:
        return sum(map(len, self.batches))

    @property
    def num_used(self) -> int:
        return len({id(cell) for cells in self.cells.values() for cell in cells})


@dataclass(slots=True)
class FakeSampler:
    model: FakeModel
    num_closed: int = 0

    def sample(self, index: int) -> int:
        assert not self.num_closed
        assert self.model.batches[-1].wants_logits[index]
        return self.model.next_ids[index]

    def accept(self, token_id: int) -> None:
        pass

    def close(self) -> None:
        self.num_closed += 1


@dataclass(slots=True)
class FakeMask:
    """Forces tokens, one after the other; then all may come."""

    begin: tuple[int, ...]
    num_accepted: int = 0

    def apply(self, logits: Any) -> None:
        raise NotImplementedError

    def accept(self, token_id: int) -> None:
        assert self.forced()[:1] in ((), (token_id,))
        self.num_accepted += 1

    def forced(self) -> tuple[int, ...]:
        return self.begin[self.num_accepted :]

    def num_fitting(self, token_ids: Iterable[int]) -> int:
        return 0 if self.forced() else len(list(token_ids))

    @property
    def is_over(self) -> bool:
        return False


@dataclass(slots=True)
class FakeMaskedSampler(FakeSampler):
    mask: FakeMask = field(kw_only=True)

    def sample(self, index: int) -> int:
        token_id = FakeSampler.sample(self, index)
        token_id = (*self.mask.forced(), token_id)[0]
        self.mask.accept(token_id)
        return token_id

    def accept(self, token_id: int) -> None:
        self.mask.accept(token_id)


@dataclass(slots=True)
class FakeDrafter:
    """Guesses the next tokens right, but for those whose number is a multiple of `wrong_every`."""

    token_ids: list[int]
    wrong_every: int = 3

    def propose(self, most: int) -> list[int]:
        token_ids = list(self.token_ids)
        for number in range(len(token_ids), len(token_ids) + most):
            is_wrong = number % self.wrong_every == 0
            token_ids.append((next_token(token_ids) + is_wrong) % 40)
        return token_ids[len(self.token_ids) :]

    def append(self, token_id: int) -> None:
        self.token_ids.append(token_id)


@dataclass(slots=True)
class FakeScorer:
    """Notes what the model would have written after each part of the paths."""

    model: FakeModel
    paths: list[tuple[int, ...]]
    judged: dict[tuple[int, ...], int] = field(default_factory=dict)
    closing: list[int] = field(default_factory=list)  # what is before them, after free text

    def observe(self, index: int, number: int, size: int) -> None:
        path = self.paths[number][:size]
        assert self.model.batches[-1].wants_logits[index]
        assert path not in self.judged
        self.judged[path] = self.model.next_ids[index]


@dataclass(slots=True)
class FixedWidth:
    limit: int


class Engine:
    """A fake model and its scheduler, and what came out of them."""

    def __init__(
        self, *, num_slots: int = 4, width: Width | None = None, min_copy: int = 1, **model: Any
    ) -> None:
        self.model = FakeModel(**model)
        self.slots = Slots(num_slots, can_trim=self.model.can_trim, min_copy=min_copy)
        self.scheduler = Scheduler(self.model, self.slots, width=width)
        self.sequences: list[Sequence] = []
        self.led: dict[Sequence, tuple[list[int], Any]] = {}  # to what goes on from there
        self.drawn: list[Event] = []

    def submit(
        self,
        prompt: list[int],
        max_tokens: int = 6,
        conversation: str | None = None,
        *,
        begin: Iterable[int] = (),
        priority: Priority = Priority.CHAT,
        is_pinned: bool = False,
        **more: Any,
    ) -> Sequence:
        """Queue a prompt; its answer begins with what is forced."""
        sampler = FakeSampler(self.model)
        if begin := tuple(begin):
            more["mask"] = mask = FakeMask(begin)
            sampler = FakeMaskedSampler(self.model, mask=mask)
        work = Drawing(sampler, max_tokens, **more)
        return self._queue(Sequence(list(prompt), work, conversation, priority, is_pinned))

    def read(self, prompt: list[int], *, is_pinned: bool = False) -> Sequence:
        background = Priority.BACKGROUND
        sequence = Sequence(list(prompt), Prefill(), priority=background, is_pinned=is_pinned)
        return self._queue(sequence)

    def score(self, prompt: list[int], paths: list[tuple[int, ...]], **more: Any) -> Sequence:
        """Queue texts to be judged after a prompt."""
        work = Judging(FakeScorer(self.model, paths), paths)
        return self._queue(Sequence(list(prompt), work, **more))

    def lead(
        self,
        prompt: list[int],
        num_free: int,
        closing: list[int],
        *,
        paths: Any,
        priority: Priority = Priority.CHAT,
        **more: Any,
    ) -> None:
        """Queue a prompt after which so many tokens are drawn, and some given, before texts."""
        num_more = num_free + len(closing) + max(map(len, paths))
        work = Drawing(FakeSampler(self.model), num_more, pause_after=num_free, **more)
        sequence = Sequence(list(prompt), work, priority=priority)
        self.led[self._queue(sequence)] = closing, paths

    def _queue(self, sequence: Sequence) -> Sequence:
        self.scheduler.submit(sequence)
        self.sequences.append(sequence)
        return sequence

    def step(self) -> Step:
        step = self.scheduler.step()
        self.drawn += step.events
        for sequence in self.sequences:
            if isinstance(sequence.work, Drawing) and sequence.work.is_paused:
                closing, paths = self.led[sequence]
                work = Judging(FakeScorer(self.model, paths, closing=closing), paths)
                self.scheduler.go_on(sequence, [*sequence.token_ids, *closing], work)
        self.check()
        return step

    def run(self) -> None:
        while not self.scheduler.is_idle:
            self.step()

    def ask(
        self, prompt: list[int], max_tokens: int = 6, conversation: str | None = None
    ) -> Sequence:
        sequence = self.submit(prompt, max_tokens, conversation)
        self.run()
        return sequence

    def drawn_by(self, sequence: Sequence) -> list[int]:
        return [
            drawn.token_id
            for drawn in self.drawn
            if drawn.sequence is sequence and drawn.token_id is not None
        ]

    def check(self) -> None:
        busy: list[Slot] = [slot for slot in self.slots._slots if slot.is_busy]
        assert len(busy) == self.scheduler.num_running
        for slot in self.slots._slots:
            assert slot.token_ids == self.model.tokens(slot.seq_id)
        assert not any(map(self.model.tokens, self.model.spare_ids))
        for sequence in self.sequences:
            if isinstance(work := sequence.work, Drawing):
                assert isinstance(work.sampler, FakeSampler)
                assert work.sampler.num_closed == (sequence.finish_reason is not None)
                told = sequence.completion_ids[: work.num_reported]
                assert self.drawn_by(sequence) == told
                is_whole = sequence.finish_reason in ("stop", "length")
                assert not is_whole or told == sequence.completion_ids

    def forget_idle(self) -> None:
        """Let all that is idle give way, as if the room were needed."""
        while (slot := self.slots.evict()) is not None:
            self.model.trim(slot.seq_id, 0)


def fresh(prompt: list[int], max_tokens: int = 6, *, ignore_eos: bool = False) -> list[int]:
    """Return what a model that has read nothing else writes."""
    token_ids = list(prompt)
    for _ in range(max_tokens):
        token_id = next_token(token_ids)
        if token_id == END and not ignore_eos:
            break
        token_ids.append(token_id)
    return token_ids[len(prompt) :]
