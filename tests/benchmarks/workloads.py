"""What the contestants have to do: workloads shaped like work in a notebook.

W1  One conversation about a notebook: ~1,500 tokens of cells, then seven turns of 24 tokens. A
    follow-up repeats everything said so far, so it shows how much of it is read again. Before
    each turn there is half a second in which whoever asks thinks.
typed  W1's conversation in the chat panel, to somebody who types the follow-ups at five keys a
    second. We are told what stands in the field, as the panel's front end tells it, and the first
    token is there when the panel is told of it. Others are sent the whole prompt at Enter.
W2  Three conversations take turns, ~700 tokens of cells each and 16 tokens a turn. It shows
    whether they evict each other. As in W1 there is half a second between turns.
W3  A map of 64 rows: a shared instruction of ~300 tokens, ~26 tokens a row, 24 new ones each.
W3-chat  The same map after a chat, which has read the system text but not the instruction.
W4  A kernel that was restarted: from its start to the first token after a notebook of ~1,600
    tokens, which an earlier process has read.
W5  256 tokens from a short prompt, several times: the decode speed.
W7  Chat turns alone, and beside a map of 500 rows.

Those for us alone are in `ours_alone`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ours_alone
from benchmarks.contestant import Contestant, Generation, RawTalk
from benchmarks.contestants import (
    BENCHES,
    EVERYONE,
    OURS,
    OURS_BEFORE,
    OURS_EXACT,
    SERVER,
    Entrant,
)
from benchmarks.figures import Figure, Figures
from benchmarks.ours import Ours
from benchmarks.peers import LlamaServer, bench_decode
from benchmarks.prompts import (
    CLOSING,
    GREETING,
    SYSTEM,
    SYSTEM_TEXT,
    TALE,
    long_notebook,
    map_rows,
    notebook,
)

THINKING_S = 0.5
TYPED_TURNS = 5
LONG_TOKENS = 256
LONG_REPEATS = 3
NUM_ROWS = 64
ROW_TOKENS = 24
CHAT_TURNS = 4
BULK_ROWS = 500
BULK_HEAD_START_S = 10


def follow_up(contestant: Contestant) -> Figures:
    """W1; the first turn, which reads the whole notebook, is not counted."""
    talk = contestant.talk(SYSTEM_TEXT)
    talk.turn(f"My notebook up to here:\n{notebook('sales', 28)}", 24)
    turns = []
    for number in range(7):
        time.sleep(THINKING_S)
        turns.append(talk.turn(f"Explain cell {number} in a short sentence.", 24))
    return {
        Figure.W1_FIRST: [turn.first_token_s for turn in turns],
        Figure.W1_TOTAL: [turn.total_s for turn in turns],
    }


def typed_follow_up(contestant: Contestant) -> Figures:
    """W1 for who types; the first turn, which reads the whole notebook, is not counted."""
    talk = contestant.typed_talk(SYSTEM_TEXT)
    talk.turn(f"My notebook up to here:\n{notebook('sales', 28)}", 24)
    turns = [
        talk.type(f"Explain cell {number} in a short sentence.", 24)
        for number in range(TYPED_TURNS)
    ]
    return {Figure.TYPED_FIRST: [turn.first_token_s for turn in turns]}


def interleaved(contestant: Contestant) -> Figures:
    """W2; the first round, which reads each notebook, is not counted."""
    topics = ("weather", "budget", "traffic")
    talks = [contestant.talk(SYSTEM_TEXT) for _ in topics]
    for talk, topic in zip(talks, topics, strict=True):
        talk.turn(f"A notebook:\n{notebook(topic, 15)}", 16)
    turns = []
    for talk in talks * 3:
        time.sleep(THINKING_S)
        turns.append(talk.turn("Tell me more.", 16))
    return {Figure.W2_FIRST: [turn.first_token_s for turn in turns]}


def map_column(contestant: Contestant) -> Figures:
    """W3; one row was asked before, so everyone has read the instruction once."""
    rows = map_rows(NUM_ROWS)
    contestant.generate(rows[0], 2)
    return {Figure.W3_ROWS: [rows_per_s(contestant, rows)]}


def map_after_chat(contestant: Contestant) -> Figures:
    """W3-chat; everyone reads the instruction within the measured time."""
    contestant.generate(GREETING, 2)
    return {Figure.W3_CHAT_ROWS: [rows_per_s(contestant, map_rows(NUM_ROWS))]}


def rows_per_s(contestant: Contestant, rows: Sequence[str]) -> float:
    started = time.perf_counter()
    contestant.map(rows, ROW_TOKENS)
    return len(rows) / (time.perf_counter() - started)


def restarted_kernel(contestant: Contestant) -> Figures:
    """W4; runs in two processes, the second of which counts."""
    loading_s = time.perf_counter() - contestant.started_s
    first_token_s = contestant.generate(long_notebook("budget") + CLOSING, 1).first_token_s
    return {Figure.W4_FIRST: [loading_s + first_token_s]}


def long_generation(contestant: Contestant) -> Figures:
    replies = [contestant.generate(TALE, LONG_TOKENS) for _ in range(LONG_REPEATS)]
    return {Figure.W5_SPEED: [reply.tokens_per_s for reply in replies]}


def chat_beside_bulk(contestant: Ours | LlamaServer) -> Figures:
    """W7; the first turn, which reads the notebook, is not counted."""
    talk = RawTalk(contestant, SYSTEM)

    def turns() -> list[Generation]:
        return [talk.turn("And what follows from that?", 24) for _ in range(CHAT_TURNS)]

    talk.turn(f"The notebook so far:\n{notebook('sales', 12)}", 8)
    alone = turns()
    with contestant.bulk(map_rows(BULK_ROWS), ROW_TOKENS):
        time.sleep(BULK_HEAD_START_S)
        beside = turns()
    return {
        Figure.W7_ALONE_FIRST: [turn.first_token_s for turn in alone],
        Figure.W7_BESIDE_FIRST: [turn.first_token_s for turn in beside],
        Figure.W7_ALONE_SPEED: [turn.tokens_per_s for turn in alone],
        Figure.W7_BESIDE_SPEED: [turn.tokens_per_s for turn in beside],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Something to measure, and who can do it.

    With `is_restart` it runs without a warm-up, twice in two processes that share a cache folder,
    and the second run counts. `measure` takes a contestant of a kind that `contestants` has.
    """

    measure: Callable[[Any], Figures]
    contestants: tuple[str, ...]
    is_restart: bool = False


WORKLOADS: Mapping[str, Workload] = {
    "W1": Workload(measure=follow_up, contestants=(*EVERYONE, OURS_BEFORE, OURS_EXACT)),
    "typed": Workload(measure=typed_follow_up, contestants=(OURS, OURS_EXACT, SERVER)),
    "W2": Workload(measure=interleaved, contestants=(*EVERYONE, OURS_BEFORE, OURS_EXACT)),
    "W3": Workload(measure=map_column, contestants=(*EVERYONE, OURS_BEFORE)),
    "W3-chat": Workload(measure=map_after_chat, contestants=(*EVERYONE, OURS_BEFORE)),
    "W4": Workload(measure=restarted_kernel, contestants=EVERYONE, is_restart=True),
    "W5": Workload(
        measure=long_generation,
        contestants=(*EVERYONE, *BENCHES, OURS_BEFORE, OURS_EXACT),
    ),
    "W7": Workload(measure=chat_beside_bulk, contestants=(OURS, SERVER)),
    "background": Workload(measure=ours_alone.background_prefill, contestants=(OURS,)),
    "busy": Workload(measure=ours_alone.busy_machine, contestants=(OURS,)),
    "repeat": Workload(measure=ours_alone.repetition, contestants=(OURS,)),
}


def run_entrant(entrant: Entrant, workload: str) -> Figures:
    """Load the model, warm it up with a few tokens where that is fair, and run a workload."""
    what = WORKLOADS[workload]
    contestant = entrant.start()
    try:
        if not what.is_restart:
            contestant.generate("Once upon a time", 8)
        return what.measure(contestant)
    finally:
        contestant.close()


def run_bench(binary: Path, model: Path, *, flash_attention: bool) -> Figures:
    """Take the decode speed of W5 from llama-bench; it warms itself up."""
    speeds = bench_decode(binary, model, LONG_TOKENS, LONG_REPEATS, flash_attention=flash_attention)
    return {Figure.W5_SPEED: speeds}
