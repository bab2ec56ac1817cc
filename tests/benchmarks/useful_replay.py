"""Choose among drafts that were written before, as we would now: no model is asked.

Run as: python tests/benchmarks/useful_replay.py RUN.json [--part look|report|all]

`RUN.json` is what `useful_code.py --json` wrote. What its drafts come to when they are tried,
mended and chosen by the code as it is now is set beside what they came to then; drafts that were
not written then are empty. Of the half that is not looked at only counts are told. Asserts nothing.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.checking import Checker, Job
from benchmarks.useful_code import known
from benchmarks.useful_outcomes import Draft, Outcome
from benchmarks.useful_report import OURS, tables
from benchmarks.useful_session import Session, Witness
from benchmarks.useful_tasks import Task, in_part, tasks
from benchmarks.useful_writing import write_as_ours
from support.scripted import ScriptedEngine

from jupyter_llm.tasks.code_answer import ANSWER_PREFIX

_MOST_DRAFTS = 8


def texts_of(drafts: Sequence[Draft]) -> list[str]:
    """What the engine says: the drafts in the order they were asked for, then nothing more."""
    said = [draft.text.removeprefix(ANSWER_PREFIX) for draft in drafts]
    return [*said, *["pass"] * (_MOST_DRAFTS - len(said))]


def chosen_now(session: Session, checker: Checker, task: Task, then: Outcome) -> Outcome:
    """What comes of the drafts of a task now."""
    session.witness = Witness(ScriptedEngine(texts_of(then.drafts)))
    session.begin(task.cells)
    source, drafts, took_s = session.timed(lambda: write_as_ours(session, task, ""))
    verdict = checker.check(Job(task.cells, source, task.check))
    return replace(
        then,
        text=source,
        took_s=took_s,
        drafts=then.drafts[: len(drafts)],
        runs=verdict.runs,
        is_right=verdict.is_right,
        error=verdict.error,
    )


def main() -> None:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="what `useful_code.py --json` wrote")
    parser.add_argument("--part", choices=("look", "report", "all"), default="look")
    arguments = parser.parse_args()
    os.environ["MPLBACKEND"] = "agg"
    by_name = {task.name: task for task in tasks()}
    found = in_part(list(known(arguments.run).values()), arguments.part)
    written = [one for one in found if one.part == "write" and one.name in by_name]
    session = Session(ScriptedEngine())
    with Checker() as checker:
        now = [
            chosen_now(session, checker, by_name[one.name], one)
            for one in written
            if one.contestant == OURS
        ]
    then = [replace(one, contestant="ours then") for one in written if one.contestant == OURS]
    print(*tables([*now, *then, *(o for o in written if o.contestant != OURS)]), sep="\n\n")


if __name__ == "__main__":
    main()
