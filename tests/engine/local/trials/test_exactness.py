"""A seed is a promise: the same text whatever else happens, or the record says that it is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engines import ask, ask_together, exact_context, load
from support.paths import TESTS

from jupyter_llm import llm
from jupyter_llm.engine.local import lanes
from jupyter_llm.engine.local.native.groups import fill_groups
from jupyter_llm.engine.local.native.llama import Context
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.local.trials import exactness
from jupyter_llm.engine.local.trials.exactness import make_exact, measure
from jupyter_llm.engine.request import Priority
from jupyter_llm.models.machine import FreeMemory

LONG = "the quick brown fox jumps over the lazy dog and "

# -- the self-test on kernels of all kinds ---------------------------------------------------------


@dataclass(slots=True, eq=False)
class Kernels:
    """A context without arithmetic whose bits depend on how tokens come.

    Tokens that fill no whole `unit` of their sequence's share come out a little different. They
    also do by what it `feels`: the "company" of another sequence, "threads" that are one only,
    "copies" of a sequence, "tears" of a batch that was torn off before it came to a sequence.
    """

    unit: int = 1
    feels: str = ""
    num_slots: int = 2
    n_batch: int = 64
    can_trim: bool = True
    fails: bool = False
    n_vocab: int = 50
    n_threads: int = 2
    group_size: int = 1
    num_decoded: int = 0
    _n_threads: int = 2
    _cells: dict[int, list[float]] = field(default_factory=dict)
    _copied: set[int] = field(default_factory=set)
    _torn: set[int] = field(default_factory=set)
    _is_aborted: bool = False
    _logits: dict[int, np.ndarray] = field(default_factory=dict)

    def decode(self, batch: Batch) -> Decoded:
        assert len(batch) <= self.n_batch
        if self._is_aborted:
            self._torn |= set(batch.seq_ids) - {batch.seq_ids[0]}
            return Decoded.ABORTED
        filled, ends = fill_groups(batch, self.group_size)
        self.num_decoded += len(batch)
        counts = Counter(filled.seq_ids)
        done: Counter[int] = Counter()
        for place, (seq_id, token_id) in enumerate(
            zip(filled.seq_ids, filled.token_ids, strict=True)
        ):
            cells = self._cells.setdefault(seq_id, [])
            assert filled.positions[place] == len(cells)
            is_left_over = done[seq_id] >= counts[seq_id] // self.unit * self.unit
            is_felt = (
                is_left_over
                or {
                    "": False,
                    "company": len(counts) > 1,
                    "threads": self._n_threads == 1,
                    "copies": seq_id in self._copied,
                    "tears": seq_id in self._torn,
                }[self.feels]
            )
            done[seq_id] += 1
            cells.append(float(token_id) + (1e-6 if is_felt else 0.0))
            self._logits[place] = np.array([sum(cells), cells[-1]])
        for seq_id, end in ends.items():
            del self._cells[seq_id][end:]
        return Decoded.FAILED if self.fails else Decoded.OK

    def trim(self, seq_id: int, num_tokens: int) -> bool:
        assert seq_id < self.num_slots
        if not self.can_trim and 0 < num_tokens < len(self._cells.get(seq_id, [])):
            return False
        self._cells[seq_id] = self._cells.get(seq_id, [])[:num_tokens]
        if not num_tokens:
            self._copied.discard(seq_id)
        return True

    def copy(self, source: int, target: int, num_tokens: int) -> bool:
        self._cells[target] = list(self._cells[source])
        self._copied.add(target)
        return self.trim(target, num_tokens)

    def logits(self, index: int) -> np.ndarray:
        return self._logits[index]

    def set_threads(self, n_threads: int) -> None:
        self._n_threads = n_threads

    def abort(self) -> None:
        self._is_aborted = True

    def clear_abort(self) -> None:
        self._is_aborted = False

    @property
    def is_as_it_was(self) -> bool:
        return self._n_threads == self.n_threads and not any(self._cells.values())


def context(**kind: Any) -> Any:
    return Kernels(**kind)


@pytest.mark.parametrize(("unit", "size"), [(1, 1), (2, 2), (3, 0), (4, 4), (8, 8), (16, 0)])
def test_the_smallest_group_that_leaves_nothing_over_is_found(unit: int, size: int) -> None:
    kernels = context(unit=unit)
    assert measure(kernels, 48) == size
    assert kernels.is_as_it_was
    assert kernels.group_size == 1


@pytest.mark.parametrize("n_batch", [32, 256])
@pytest.mark.parametrize("feels", ["company", "threads", "copies", "tears"])
def test_bits_that_depend_on_anything_else_are_noticed(feels: str, n_batch: int) -> None:
    kernels = context(feels=feels, num_slots=4, n_batch=n_batch)
    assert measure(kernels, 48) == 0
    assert kernels.is_as_it_was


def make(unit: int = 1, key: str = "k", **kind: Any) -> tuple[bool, int, bool]:
    """Whether kernels could be made exact, their groups then, and whether that was measured."""
    kernels = context(unit=unit, **kind)
    is_exact = make_exact(kernels, key=key, num_tokens=48)
    return is_exact, kernels.group_size, kernels.num_decoded > 0


def test_the_answer_is_remembered_for_each_build_and_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert make(4, "one") == (True, 4, True)
    assert make(4, "one") == (True, 4, False)
    assert make(4, "two") == (True, 4, True)
    monkeypatch.setattr(exactness, "available_cores", lambda: 99)
    assert make(4, "one") == (True, 4, True)
    assert make(3, "three") == (False, 1, True)
    assert make(1, "three") == (False, 1, False)


def test_a_self_test_that_cannot_run_promises_nothing_and_is_not_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert make(fails=True) == (False, 1, True)
    assert "cannot be measured" in caplog.text
    assert make() == (True, 1, True)


@pytest.mark.parametrize("num_slots", [1, 2, 4])
@pytest.mark.parametrize("n_batch", [32, 256])
def test_on_this_machine_the_exact_context_is_exact(
    tiny_gguf: Path, num_slots: int, n_batch: int
) -> None:
    with exact_context(tiny_gguf, num_slots=num_slots, n_batch=n_batch) as real:
        assert real.n_ctx == 512
        assert real.num_cells == 512 * num_slots
        assert measure(real, 96) > 0


# -- the engine ------------------------------------------------------------------------------------


@pytest.fixture
def unknown_machine(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine where nothing is exact; the list counts how often that was measured."""
    measured: list[int] = []

    def measure(_context: Context, num_tokens: int) -> int:
        measured.append(num_tokens)
        return 0

    monkeypatch.setattr(exactness, "measure", measure)
    return measured


def test_where_nothing_is_exact_the_request_runs_and_its_record_says_so(
    tiny_gguf: Path, unknown_machine: list[int]
) -> None:
    for repack in (None, False, True, None):
        engine = load(tiny_gguf, repack=repack)
        assert engine.status().is_exact is None
        completion = ask(engine, LONG, 5, seed=1, temperature=1)
        assert completion.usage.completion_tokens == 5
        assert completion.exact is False
        assert engine.status().is_exact is False
    assert len(unknown_machine) == 3  # each with kernels of its own; for the last it was known


@pytest.mark.parametrize(
    ("options", "sampling", "is_exact"),
    [
        ({}, {"seed": 1}, True),
        ({"n_batch": 32}, {"seed": 1}, True),
        ({}, {"temperature": 0}, True),
        ({}, {"seed": 1, "exact": False}, False),
        ({}, {}, False),
        ({}, {"exact": True}, True),
        ({"exact": True}, {}, True),
        ({"exact": False}, {"seed": 1}, False),
    ],
    ids=str,
)
def test_who_is_answered_exactly(
    tiny_gguf: Path,
    fresh_llm: None,
    options: dict[str, Any],
    sampling: dict[str, Any],
    is_exact: bool,  # noqa: FBT001
) -> None:
    llm.use(tiny_gguf, n_threads=1, **options)
    completion = llm.complete(LONG, max_tokens=3, **sampling)
    assert completion.exact is is_exact
    status = llm.status().engine
    assert status is not None
    assert {prefix.is_exact for prefix in status.prefixes} == {is_exact}


def test_as_the_only_mode_it_is_the_only_context(tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1, exact=True)
    assert llm.status().engine.is_exact  # type: ignore[union-attr]  # it was tested when loaded
    llm.score("which", ["a", "b"])
    texts = {llm.complete(LONG, max_tokens=9, seed=2).text for _ in range(3)}
    assert len(texts) == 1
    engine = llm.engine()
    assert len(engine._model.lanes.all) == 1  # type: ignore[attr-defined]


def free_bytes(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    monkeypatch.setattr(lanes, "free_memory", lambda *_, **__: FreeMemory(ram_bytes=num_bytes))


def test_without_room_for_an_exact_context_the_fast_one_answers(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = load(tiny_gguf)
    free_bytes(monkeypatch, 100_000)
    for _ in range(2):
        completion = ask(engine, LONG, 5, seed=1, temperature=1)
        assert completion.usage.completion_tokens == 5
        assert completion.exact is False
    assert len(engine._model.lanes.all) == 1
    assert caplog.text.count("Memory is too short to promise texts") == 1


def test_no_promised_text_goes_on_from_a_state_that_is_put_back_elsewhere(
    tiny_window_gguf: Path,
) -> None:
    for _ in range(2):
        engine = load(tiny_window_gguf)
        answer = ask(engine, LONG * 12, 3)
        assert answer.exact
        assert answer.usage.cached_tokens == 0
        assert engine._model.lanes.exact.store is None
        engine.close()


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 4}], ids=str)
def test_batched_equals_sequential(tiny_gguf: Path, sampling: dict[str, Any]) -> None:
    engine = load(tiny_gguf, checkpoints=False)
    prompts = [f"{LONG * (1 + number % 3)}{number}" for number in range(24)]
    sequential = [ask(engine, prompt, 12, **sampling) for prompt in prompts]
    batched = ask_together(engine, prompts, 12, priority=Priority.BULK, **sampling)
    assert all(answer.exact for answer in (*sequential, *batched))
    assert [b.token_ids for b in batched] == [s.token_ids for s in sequential]


# -- promised requests, in a random order, in company, in two processes ----------------------------


def life(model: Path, order: int, size: int, home: Path) -> dict[str, dict[str, list[Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "support.engine_life", str(model), str(order), str(size)],
        cwd=TESTS,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, dict[str, list[Any]]] = json.loads(done.stdout)
    return told


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1900)
@pytest.mark.parametrize("model", ["touchy_gguf", "tiny_window_gguf", "smollm2"])
def test_200_of_200_promised_texts_come_again(
    model: str, home: Path, request: pytest.FixtureRequest
) -> None:
    size = 200
    first, second = (life(request.getfixturevalue(model), order, size, home) for order in (1, 2))
    texts = first["texts"]
    assert len(texts) == size
    assert len({text for text, _ in texts.values()}) > size / 2
    assert {key for key in texts if texts[key] != second["texts"][key]} == set()
    # Nor has any other token of either life other logits than where it came after the same ones.
    once, again = first["logits"], second["logits"]
    assert len(once.keys() & again.keys()) > 5 * size
    doubtful = [key for key in once | again if len({*once.get(key, ()), *again.get(key, ())}) > 1]
    assert doubtful == []
