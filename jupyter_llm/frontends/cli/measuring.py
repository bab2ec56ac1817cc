"""`jupyter llm bench` and `jupyter llm tune`: how fast a model is on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from jupyter_llm.frontends.cli.command import OK, add_command, add_model, show, show_json

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.engine.tuning.report import TuneReport
    from jupyter_llm.frontends.cli.command import Commands

_BENCH = """\
Measure how fast a model reads and writes on this machine, with the settings that it is loaded with.
Nothing is changed. Other programs that compute make it slower: compare figures of one quiet hour.
"""
_TUNE = """\
Measure a model with several settings, and load it with the best from then on, in notebooks too.
"""
_DEFAULT = {"nargs": "?", "help": "a model's name or path; without it the one that is used"}


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    bench = add_command(
        commands, "bench", _bench, summary="measure how fast a model is", description=_BENCH
    )
    add_model(bench, "model", **_DEFAULT)
    tune = add_command(
        commands, "tune", _tune, summary="find a model's best settings", description=_TUNE
    )
    add_model(tune, "model", **_DEFAULT)
    tune.add_argument("--copy", action="store_true", help="make a faster, near-lossless copy")
    tune.add_argument("--lossy", action="store_true", help="let the copy lose up to 10 %%")
    tune.add_argument("--forget", action="store_true", help="undo what was tuned")


def _bench(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm
    from jupyter_llm.common.bars import tuning_bar
    from jupyter_llm.engine.tuning.bench import speed
    from jupyter_llm.engine.tuning.figures import describe
    from jupyter_llm.engine.tuning.tuning import current_machine, tuned

    entry, settings = tuned(llm.current.find(options.model))
    with tuning_bar(entry.name) as on_progress:
        figure = speed(entry, settings, on_progress=on_progress)
    machine = current_machine()
    if options.json:
        measured = {"settings": dict(settings), "prefill": figure.prefill, "decode": figure.decode}
        show_json({"model": entry.name, "file": entry.file, "machine": str(machine), **measured})
    else:
        show(
            f"{entry.name} reads {figure.prefill:.0f} and writes {figure.decode:.0f} tokens/s "
            f"({', '.join(describe(settings)) or 'default settings'}; {machine})."
        )
    return OK


def _tune(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm

    if options.forget:
        was_there = llm.forget_tuning(options.model)
        if options.json:
            show_json({"forgotten": was_there})
        else:
            show("Forgot the tuning." if was_there else "There is no tuning of this model.")
        return OK
    report = llm.tune(options.model, copy=options.copy, lossy=options.lossy)
    if options.json:
        show_json(_as_json(report))
    else:
        show(str(report))
    return OK


def _as_json(report: TuneReport) -> dict[str, object]:
    figures = ("before", "after", "offer")
    named = {name: getattr(report, name) for name in figures}
    return {
        "model": report.model,
        **{name: asdict(figure) if figure is not None else None for name, figure in named.items()},
        "copy": report.tuning.copy,
        "text": report.text,
    }
