"""A life of an engine in which many requests were promised their text; run twice, in two orders.

`python -m support.engine_life MODEL ORDER SIZE` prints what each of the SIZE requests got, and what
logits whatever tokens had in the exact lane, as JSON. Nothing but the promised requests is the same
in two runs: their order and company, unseeded requests beside them, two batches, what is cancelled,
how many threads compute and what is evicted all follow ORDER.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from support.engines import load, submit
from support.logit_watch import Witness

from jupyter_llm.ask.many import run_batch
from jupyter_llm.engine.completion import BatchError, Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Priority, Prompt, Request
from jupyter_llm.engine.stream import Stream

NUM_TURNS = 3
STARTS = (
    "",
    "Answer in a few words, as a friendly librarian would who knows every book. ",
    "You are given one line of a log. Say what went wrong, and what to do about it next. " * 2,
)
LONG_START = "A page of a diary that somebody left on a train, and what we know of it. " * 16
SUBJECTS = ("rivers", "the number seven", "a lost umbrella", "bread", "old maps", "comets", "chess")
WAYS: tuple[dict[str, Any], ...] = (
    {"temperature": 0},
    {"temperature": 0, "repeat_penalty": 1.2},
    {"temperature": 0.8, "seed": 1},
    {"temperature": 1.0, "seed": 2, "top_k": 0, "top_p": 1, "min_p": 0},
    {"temperature": 0.7, "seed": 3, "logprobs": 3},
)


@dataclass(slots=True)
class Talk:
    """Prompts that are asked one after the other, each with the answers before it."""

    number: int
    prompts: list[str]
    sampling: dict[str, Any]
    answers: list[Completion] = field(default_factory=list)

    @property
    def prompt(self) -> Prompt:
        """What is asked next; a talk of one turn is raw text."""
        if len(self.prompts) == 1:
            return self.prompts[0]
        messages = []
        for prompt, answer in zip(self.prompts, self.answers, strict=False):
            messages += [Message("user", prompt), answer.message]
        return (*messages, Message("user", self.prompts[len(self.answers)]))


def talks(size: int) -> list[Talk]:
    """The promised requests, about half of them in talks of some turns; the same ones each time."""
    dice = random.Random(1)  # noqa: S311
    num_talks = 3 * size // 20
    lengths = [1] * (size - NUM_TURNS * num_talks) + [NUM_TURNS] * num_talks
    found = []
    for number, length in enumerate(lengths):
        starts = (*STARTS * 6, LONG_START) if length == 1 else STARTS
        prompts = [
            f"{dice.choice(starts)}Tell me of {dice.choice(SUBJECTS)}, {number}.{turn}"
            for turn in range(length)
        ]
        found.append(Talk(number, prompts, dice.choice(WAYS)))
    return found


class Life:
    """Everything that happens to one engine."""

    def __init__(self, engine: LocalEngine, order: int) -> None:
        self.witness: Witness | None = None
        self._engine = engine
        self._dice = random.Random(order)  # noqa: S311
        self._on_thread = random.Random(order + 1)  # noqa: S311  the engine's own
        step = engine._loop.step

        def disturbed_step() -> None:
            self._disturb()
            step()

        engine._loop.step = disturbed_step  # type: ignore[method-assign]

    def run(self, size: int) -> dict[str, Any]:
        """Ask so many promised requests, and return what they got."""
        got: dict[str, Any] = {}
        with batches(self._engine, self._dice):
            waiting = talks(size)
            while waiting:
                chosen = self._dice.sample(waiting, min(len(waiting), self._dice.randrange(1, 6)))
                streams = [(talk, self._ask(talk)) for talk in chosen]
                others = [self._ask_other() for _ in range(self._dice.randrange(2))]
                for talk, stream in streams:
                    answer = stream.result(timeout=120)
                    assert answer.exact
                    got[f"{talk.number}.{len(talk.answers)}"] = [answer.text, answer.token_ids]
                    talk.answers.append(answer)
                    if len(talk.answers) == len(talk.prompts):
                        waiting.remove(talk)
                for other in others:
                    other.cancel()
        return got

    def _ask(self, talk: Talk) -> Stream:
        # The same talk may come as a conversation, or as somebody's that nobody knows.
        return submit(
            self._engine,
            talk.prompt,
            8,
            conversation=self._dice.choice([None, f"talk {talk.number}"]),
            priority=self._dice.choice([Priority.GHOST, Priority.CHAT, Priority.CHAT]),
            lookup=self._dice.random() < 0.7,
            **talk.sampling,
        )

    def _ask_other(self) -> Stream:
        is_promised = self._dice.random() < 0.3
        prompt = f"{self._dice.choice(STARTS)}Now {self._dice.random()}: "
        sampling = {"seed": 9} if is_promised else {"seed": None}
        return submit(self._engine, prompt, 4, temperature=1, **sampling)

    def _disturb(self) -> None:
        """Change, between two steps, what must not matter."""
        dice, engine = self._on_thread, self._engine
        if dice.random() < 0.05:
            engine._loop.threads.start(dice.choice([0, 1]))
        if dice.random() < 0.01:
            engine._model.lanes.save()
        for lane in engine._model.lanes.all:
            if lane.is_exact and self.witness is None:
                self.witness = Witness(lane)
            if dice.random() < 0.02 and (slot := lane.slots.evict()) is not None:
                lane.context.trim(slot.seq_id, 0)
            if dice.random() < 0.02:
                lane.context.abort()  # as by somebody who goes away while a batch runs


@contextmanager
def batches(engine: LocalEngine, dice: random.Random) -> Iterator[None]:
    """Run two batches in the background, over and over, one of them promised its texts too."""
    is_over = threading.Event()

    def run(params: SamplingParams) -> None:
        numbers = count()
        while not is_over.wait(2):
            number = next(numbers)
            prompts = [f"{STARTS[1]}Row {number}.{row}" for row in range(3)]
            rows = [Request(prompt=prompt, params=params) for prompt in prompts]
            with suppress(BatchError):
                run_batch(engine, rows, lambda *_: True)

    chosen = [SamplingParams(max_tokens=3, seed=seed) for seed in (None, dice.randrange(1000))]
    threads = [threading.Thread(target=run, args=(params,)) for params in chosen]
    for thread in threads:
        thread.start()
    yield
    is_over.set()
    for thread in threads:
        thread.join()


def main(path: str, order: str, size: str) -> None:
    engine = load(Path(path), n_ctx=2048, n_threads=2)
    life = Life(engine, int(order))
    got = life.run(int(size))
    engine.close()
    assert life.witness is not None
    logits = {tokens: sorted(sums) for tokens, sums in life.witness.seen.items()}
    print(json.dumps({"texts": got, "logits": logits}))


if __name__ == "__main__":
    main(*sys.argv[1:])
