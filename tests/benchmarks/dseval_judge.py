"""Judges code by the validators of DSEval, in a process of its own."""

from __future__ import annotations

import contextlib
import io
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

MAX_TIME_S = 10  # of the code of one question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The code of a contestant for one question, with its verdict.

    `form`: the value is right, but not its form (the authors' "partial"). `changed`: it changed a
    variable that should stay as it is. `doubts`: what our checks say against it.
    """

    part: str
    problemset: str
    index: int
    contestant: str
    question: str
    code: str
    is_right: bool = False
    is_form: bool = False
    runs: bool = False
    changed: bool = False
    reason: str = ""
    doubts: tuple[str, ...] = ()
    line: str = ""


def dseval(checkout: Path) -> tuple[Any, Any]:
    """Return the classes ProblemSet and Environment of a checkout, without the agents' packages."""
    import pandas as pd  # type: ignore[import-untyped]

    pd.options.future.infer_string = False  # its validators compare with columns of objects
    package = ModuleType("dseval")
    package.__path__ = [str(checkout / "dseval")]
    sys.modules["dseval"] = package
    from dseval.problem import ProblemSet  # type: ignore[import-not-found]
    from dseval.simulation import Environment  # type: ignore[import-not-found]

    return ProblemSet, Environment


@contextlib.contextmanager
def session_folder(path: Path) -> Iterator[str]:
    """Work in a new folder with the data files of a session."""
    own = path.parent / "_inputs" / path.stem
    data = own if own.exists() else path.parent / "_inputs"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if data.exists():
            shutil.copytree(data, Path(folder, "inputs"))
        with contextlib.chdir(folder):
            yield folder


def judged(checkout: Path, path: Path, answers: Sequence[Answer]) -> tuple[set[int], list[Answer]]:
    """Return the questions of a session that hold today, and the answers to them with verdicts.

    A question holds if its own reference code passes.
    """
    warnings.simplefilter("ignore")
    problem_set, environment_type = dseval(checkout)
    environment, number = environment_type(), 0
    held: set[int] = set()
    found: list[Answer] = []
    with session_folder(path):
        try:
            problems = problem_set.fromfile(path)
        except Exception:  # noqa: BLE001  test cases that need an older pandas
            return held, found
        for problem in problems:
            limits = {"max_time": MAX_TIME_S} | {
                name: value
                for name, value in (problem.execution or {}).items()
                if name == "forbid_names"
            }
            number += problem.is_complete
            before = environment.fork()
            try:
                environment.execute(problem.reference_code, raise_error=True, **limits)
            except Exception:  # noqa: BLE001  a file that the checkout lacks, or an older pandas
                break
            if not problem.is_complete:
                continue
            expected = environment.last_cell.output

            def verdict(code: str, problem: Any = problem, before: Any = before) -> Any:
                tried = before.fork()
                tried.execute(code, **limits)  # noqa: B023  called within the same round
                return problem.validator.validate(expected, tried.last_cell.output)  # noqa: B023

            if verdict(problem.reference_code)["correct"] == "yes":
                held.add(number)
                mine = [one for one in answers if one.index == number]
                found += [with_verdict(one, verdict(one.code)) for one in mine]
    return held, found


def with_verdict(answer: Answer, verdict: dict[str, Any]) -> Answer:
    parts = {one["category"]: one for one in verdict["reason"]}
    wrong = [one for one in parts.values() if one["correct"] != "yes"]
    return replace(
        answer,
        is_right=verdict["correct"] == "yes",
        is_form=verdict["correct"] == "partial",
        runs=parts.get("crash", {}).get("correct") == "yes",
        changed=parts.get("namespace_intact", {}).get("correct") == "no",
        reason=str(wrong[0]["reason"])[-300:] if wrong else "",
    )


def in_new_process(
    checkout: Path, path: Path, answers: Sequence[Answer]
) -> tuple[set[int], list[Answer]]:
    """Call `judged` in a process of its own, since the code of answers may do anything."""
    command = [sys.executable, "-m", "benchmarks.dseval_judge"]
    folder, given = Path(__file__).parents[1], pickle.dumps((checkout, path, answers))
    done = subprocess.run(command, input=given, cwd=folder, stdout=subprocess.PIPE, check=True)
    held, found = pickle.loads(done.stdout)  # noqa: S301  our own
    return held, found


if __name__ == "__main__":
    from benchmarks.dseval_judge import judged  # so that pickle has the class by its usual name

    given = pickle.load(sys.stdin.buffer)  # noqa: S301  our own
    with redirect_stdout(io.StringIO()):
        outcome = judged(*given)
    sys.stdout.buffer.write(pickle.dumps(outcome))
