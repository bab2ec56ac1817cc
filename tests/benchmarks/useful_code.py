"""Measure how useful is what a model writes in a notebook: is it right, and does it run?

Run as: python tests/benchmarks/useful_code.py [--model FILE.gguf|NAME] [--part look|report|all]
        [--only write,fix,doc,test,review,explain] [--contestants ours,usual,…] [--limit N]
        [--threads N] [--reuse FILE] [--answers FILE] [--json FILE]

The tasks of `tests/data/useful_code` are asked after their cells ran, in a real shell, and what
comes is judged by execution in another process. `usual` is what the usual extensions send to the
same model: the sources of all cells before and the instruction; of the answer the first fenced
block counts. The half called `report` is not looked at while working, so `--answers`, which
writes down what was written, leaves it out. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.checking import Checker
from benchmarks.side_by_side import choices, default_model, describe, parser_for, show, write_json
from benchmarks.useful_commands import documented, explained, fixed, new_words, reviewed, tested
from benchmarks.useful_outcomes import Outcome
from benchmarks.useful_report import PARTS, listed, tables
from benchmarks.useful_session import Session
from benchmarks.useful_tasks import Named, broken_cells, functions, half, in_part, tasks
from benchmarks.useful_writing import CONTESTANTS, written

NUM_ERRORS = 20  # that are explained

Item = TypeVar("Item", bound=Named)


def outcomes_of(session: Session, checker: Checker, arguments: Namespace) -> Iterator[Outcome]:
    """Ask everything that is wanted."""

    def chosen(items: list[Item]) -> list[Item]:
        wanted = in_part(items, arguments.part)
        if arguments.limit and arguments.limit < len(wanted):  # some of each library
            wanted = wanted[:: max(1, len(wanted) // arguments.limit)][: arguments.limit]
        return wanted

    reused = known(arguments.reuse)
    explainable = [case for case in broken_cells() if new_words(case)]
    reused = known(arguments.reuse)
    explainable = explainable[:: max(1, len(explainable) // NUM_ERRORS)]
    parts: dict[str, Callable[[], Iterator[Outcome]]] = {
        "write": lambda: written(session, checker, chosen(tasks()), arguments.contestants, reused),
        "fix": lambda: fixed(session, checker, chosen(broken_cells())),
        "doc": lambda: documented(session, chosen(functions())),
        "test": lambda: tested(session, checker, chosen(functions())),
        "review": lambda: reviewed(session, chosen(functions())),
        "explain": lambda: explained(session, chosen(explainable)),
    }
    for part in arguments.only:
        yield from parts[part]()


def known(path: Path | None) -> dict[tuple[str, str, str], Outcome]:
    """The outcomes of an earlier run."""
    if path is None:
        return {}
    found = map(Outcome.of, json.loads(path.read_text(encoding="utf-8"))["outcomes"])
    return {one.key: one for one in found}


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--part", choices=("look", "report", "all"), default="look")
    parser.add_argument("--limit", type=int, default=0, help="so many items of each part")
    parser.add_argument(
        "--threads", type=int, help="so many of the model's; fewer on a busy machine"
    )
    parser.add_argument("--reuse", type=Path, help="the --json of another run, not to ask again")
    parser.add_argument("--answers", type=Path, help="write what was written to this file, to read")
    for option, allowed in (("--only", PARTS), ("--contestants", CONTESTANTS)):
        parser.add_argument(
            option,
            type=partial(choices, allowed),
            default=list(allowed),
            help=f"some of {','.join(allowed)}",
        )
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    model = model.resolve() if model.exists() else model
    files = (arguments.json, arguments.answers, arguments.reuse)
    output, answers, arguments.reuse = (file and file.resolve() for file in files)
    os.environ["MPLBACKEND"] = "agg"
    setting = describe(model, 1) | {"part": arguments.part}
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),  # no pyproject.toml of ours
        Checker() as checker,
    ):
        os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
        options = {"n_threads": arguments.threads} if arguments.threads else {}
        for outcome in outcomes_of(Session.of_model(str(model), **options), checker, arguments):
            outcomes.append(outcome)  # and written every time, so that an interrupt loses none
            write_json(output, setting, outcomes=[asdict(one) for one in outcomes])
            tell(outcome)
            if answers:
                looked = [one for one in outcomes if half(one.name) == "look"]
                answers.write_text(listed(looked), encoding="utf-8")
    show(setting, *tables(outcomes))


def tell(outcome: Outcome) -> None:
    """Say how far it is, without saying what a model wrote."""
    verdict = "right" if outcome.is_right else "runs" if outcome.runs else "-"
    line = (outcome.part, outcome.name, outcome.contestant, verdict, f"{outcome.took_s:.1f} s")
    print(*line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
