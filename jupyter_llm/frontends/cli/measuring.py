"""`jupyter llm bench` and `jupyter llm tune`: how fast a model is on this machine."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING

from jupyter_llm.frontends.cli.command import OK, add_command, add_model, show, show_json

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.cli.command import Commands

_BENCH = """\
Measure how fast a model reads and writes on this machine, with the settings that it is loaded with.
Nothing is changed. Other programs that compute make it slower: compare figures of one quiet hour.
"""
_TUNE = """\
Measure again whether flash attention makes a model faster on this machine, as its first load did,
and load it so from then on, in notebooks too.
"""
_DEFAULT = {"nargs": "?", "help": "a model's name or path; without it the one that is used"}
_ROUNDS = 3
_TEXT = " reads a sentence, and then it goes on with the next one." * 20
_WRITTEN = 64  # tokens


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    bench = add_command(
        commands, "bench", _bench, summary="measure how fast a model is", description=_BENCH
    )
    add_model(bench, "model", **_DEFAULT)
    tune = add_command(
        commands, "tune", _tune, summary="measure a model's best setting", description=_TUNE
    )
    add_model(tune, "model", **_DEFAULT)


def _bench(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm
    from jupyter_llm.models.machine import this_machine

    engine = llm.engine(options.model)
    reading, writing = [], []
    for number in range(_ROUNDS):
        usage = llm.complete(  # another text each time, so that nothing of it was read before
            f"Reader {number}{_TEXT}",
            model=options.model,
            max_tokens=_WRITTEN,
            ignore_eos=True,
            may_repeat=True,
            lookup=False,
            exact=False,
        ).usage
        reading.append((usage.prompt_tokens - usage.cached_tokens) / usage.prefill_s)
        writing.append(usage.tokens_per_s)
    prefill, decode = statistics.median(reading), statistics.median(writing)
    name, machine = engine.info.name, str(this_machine(engine.info.n_threads))
    if options.json:
        show_json({"model": name, "machine": machine, "prefill": prefill, "decode": decode})
    else:
        show(f"{name} reads {prefill:.0f} and writes {decode:.0f} tokens/s ({machine}).")
    return OK


def _tune(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm

    report = llm.tune(options.model)
    if options.json:
        show_json(asdict(report))
    else:
        show(str(report))
    return OK
