"""Measure what flash attention does here: on, off, and as it is chosen where nobody says.

Run as: python tests/benchmarks/attention.py [--model FILE] [--rounds 5] [--json FILE]

In each round every way loads the model, reads a long prompt and then a few short ones that follow
it. Prints medians as Markdown and asserts nothing. What was measured here before is not looked at.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.prompts import TALE
from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json

from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Request
from jupyter_llm.models.discover import find_model

N_CTX = 8192
LONG_TOKENS = 1536
NUM_FOLLOW_UPS = 4
WAYS: dict[str, bool | None] = {"on": True, "off": False, "as chosen": None}
FIRST_TOKEN = SamplingParams(temperature=0, max_tokens=1, exact=False, ignore_eos=True)


@dataclass(slots=True)
class Times:
    """The seconds that one way took, in all rounds."""

    load: list[float] = field(default_factory=list)
    prompt: list[float] = field(default_factory=list)
    follow_up: list[float] = field(default_factory=list)
    said: str = ""  # by `/status`


def first_token_s(engine: LocalEngine, text: str) -> float:
    request = Request(prompt=text, params=FIRST_TOKEN, conversation="benchmark")
    return engine.submit(request).result().usage.first_token_s


def run(model: Path, has_flash: bool | None, number: int, times: Times) -> None:  # noqa: FBT001
    began_s = time.perf_counter()
    options = EngineOptions(n_ctx=N_CTX, flash_attention=has_flash, checkpoints=False)
    engine = LocalEngine(find_model(model), options)
    times.load.append(time.perf_counter() - began_s)
    try:
        first_token_s(engine, "Once upon a time")
        tokens_a_word = engine.count_tokens(TALE) / len(TALE.split())
        words = TALE.split() * (1 + int(LONG_TOKENS / tokens_a_word) // len(TALE.split()))
        text = f"Round {number}. " + " ".join(words[: int(LONG_TOKENS / tokens_a_word)])
        times.prompt.append(first_token_s(engine, text))
        for follow_up in range(NUM_FOLLOW_UPS):
            text += f" And what did the others say to number {follow_up}, who had not been there?"
            times.follow_up.append(first_token_s(engine, text))
        info = engine.info
        times.said = (
            f"{'on' if info.flash_attention else 'off'}: {info.attention or 'not measured'}"
        )
    finally:
        engine.close()


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    all_times = {way: Times() for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="jupyter-llm-benchmark-") as folder:
        os.environ["XDG_DATA_HOME"] = folder  # where what was measured is kept
        for number in range(arguments.rounds):
            ways = list(WAYS)
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                run(model, WAYS[way], number, all_times[way])
    rows = [
        (
            way,
            *(f"{statistics.median(seconds):.3f} s" for seconds in (one.follow_up, one.prompt)),
            f"{one.load[0]:.1f} s, then {statistics.median(one.load[1:] or one.load):.1f} s",
            one.said,
        )
        for way, one in all_times.items()
    ]
    header = ("flash attention", "first token of a follow-up", "long prompt", "load", "status")
    setting = describe(model, arguments.rounds)
    show(setting, markdown_table(header, rows))
    write_json(
        arguments.json,
        setting,
        times={
            way: {"load": one.load, "prompt": one.prompt, "follow_up": one.follow_up}
            for way, one in all_times.items()
        },
    )


if __name__ == "__main__":
    main()
