"""Measure `%%llm -f code` on DSEval, sessions of data problems with validators (arXiv 2402.17168).

Run as: python tests/benchmarks/dseval.py PATH [--parts exercise,leetcode] [--limit N]
        [--model FILE.gguf|NAME] [--contestants ours,usual] [--every N] [--answers FILE]
        python tests/benchmarks/dseval.py PATH --replay [FILE …]

PATH is a checkout of MetaCopilot/dseval; its validators need scipy. Each question is asked in the
state that the reference code of the earlier ones leaves, and is judged in another process: by its
results, by its variables, and by what must stay as it is. Questions whose own reference code does
not pass today are left out. `--answers` writes a line of JSON for each answer.

`--replay` asks no model: it reads such files, or the authors' own of GPT-3.5 without one, and
counts which answers our checks doubt. The parts kaggle and so are held back, to measure with.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from IPython.utils.capture import capture_output

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.dseval_judge import Answer, dseval, in_new_process, session_folder
from benchmarks.report import table
from benchmarks.side_by_side import choices, default_model, describe, parser_for, show
from benchmarks.useful_session import Session
from benchmarks.useful_tasks import Task
from benchmarks.useful_writing import OURS, USUAL, write_as_ours, write_as_usual

PARTS = ("exercise", "leetcode", "kaggle", "so")
LOOKED_AT = ["exercise", "leetcode"]
PUBLISHED = "GPT-3.5"


def sessions(arguments: Namespace) -> Iterator[tuple[str, Path]]:
    """Yield the part and the file of each session."""
    for part in arguments.parts:
        paths = sorted(Path(arguments.path, "benchmarks", part).glob("*.py"))
        yield from ((part, path) for path in paths[:: arguments.every])


def asked(
    session: Session, problems: Any, part: str, held: set[int], contestants: Sequence[str]
) -> Iterator[Answer]:
    """Ask the questions of a session, each in the state of the reference code before it."""
    session.begin([])
    cells: list[str] = []
    number = 0
    for problem in problems:
        number += problem.is_complete
        for contestant in contestants if problem.is_complete and number in held else ():
            task = Task(
                name=problems.name,
                cells=tuple(cells),
                ask=problem.question.strip(),
                answer="",
                wrong="",
                check="",
                library="",
            )
            with capture_output() as shown:
                write = partial(write_as_ours, options="") if contestant == OURS else write_as_usual
                code, _drafts, _took_s = session.timed(lambda: write(session, task))  # noqa: B023
            texts = (shown.stdout, *(one.data.get("text/plain", "") for one in shown.outputs))
            lines = [line for text in texts for line in str(text).splitlines() if line.strip()]
            line = lines[-1].strip("()").removeprefix("inserted below; ") if lines else ""
            doubts, ran, _ = line.partition("ran in a sealed copy")
            yield Answer(
                part=part,
                problemset=problems.name,
                index=number,
                contestant=contestant,
                question=task.ask,
                code=code,
                doubts=(doubts,) if ran and doubts else (),
                line=line,
            )
        session.run(problem.reference_code)
        cells.append(problem.reference_code)


def doubted(session: Session, problems: Any, answers: Sequence[Answer]) -> Iterator[Answer]:
    """Hold answers against their questions, as if a model had just written them."""
    from jupyter_llm.chat.script import sources_that_ran
    from jupyter_llm.engine.completion import Completion, Usage
    from jupyter_llm.engine.request import Request
    from jupyter_llm.tasks.code_answer import CodeAnswer, code_cells
    from jupyter_llm.tasks.judging import Judge
    from jupyter_llm.tasks.tries import Tries

    session.begin([])
    number = 0
    for problem in problems:
        number += problem.is_complete
        for answer in answers if problem.is_complete else ():
            if answer.index != number:
                continue
            timeline = session.llm.timeline
            tries = Tries.here(timeline)
            judge = Judge(
                names=session.shell.user_ns,
                tries=tries,
                ran=sources_that_ran(timeline.snapshot().cells),
                asked=answer.question,
            )
            completion = Completion(text=answer.code, finish_reason="stop", usage=Usage(), model="")
            cells = code_cells(f"```python\n{answer.code}\n```", session.shell.user_ns)
            draft = CodeAnswer(completion=completion, cells=cells, request=Request(prompt=()))
            found = judge.judged(draft)
            doubts = (*found.doubts, *["loses values"] * found.num_lost)
            yield replace(answer, doubts=doubts, code=found.source or answer.code, line=found.note)
        session.run(problem.reference_code)


def read(paths: Sequence[Path]) -> Iterator[Answer]:
    """Read answers: our own, or the authors' of GPT-3.5."""
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            raw = json.loads(line)
            if "contestant" in raw:
                raw["doubts"] = tuple(raw["doubts"])
                yield Answer(**raw)
            else:
                yield Answer(
                    part=raw["benchmark"].lower(),
                    contestant=PUBLISHED,
                    **{key: raw[key] for key in ("problemset", "index", "question", "code")},
                )


def rounds(arguments: Namespace) -> Iterator[Answer]:
    """Ask or replay, one session at a time."""
    given: list[Answer] = []
    if arguments.replay is not None:
        results = Path(arguments.path, "results")
        own = [
            path
            for part in arguments.parts
            for path in sorted(results.glob("*/*.jsonl"))
            if path.parent.name.lower() == part
        ]
        given = list(read(arguments.replay or own))
        session = Session(cast("Any", SimpleNamespace(forget=lambda: None)))  # no model
    else:
        session = Session.of_model(str(arguments.model))
    load = dseval(arguments.path)[0].fromfile
    for part, path in sessions(arguments):
        mine = [one for one in given if (one.part, one.problemset) == (part, path.stem)]
        if any(one.reason or one.is_right for one in mine):  # judged before
            held = {one.index for one in mine}
        else:
            held, mine = in_new_process(arguments.path, path, mine)
        if not held:
            continue
        with session_folder(path):
            if arguments.replay is None:
                found = [*asked(session, load(path), part, held, arguments.contestants)]
            else:
                found = [*doubted(session, load(path), mine)]
        codes = {one.code for one in mine}
        new = [one for one in found if one.code not in codes]
        yield from (one for one in found if one.code in codes)
        yield from in_new_process(arguments.path, path, new)[1] if new else ()


def counted(answers: Sequence[Answer]) -> str:
    """Return the counts of each part and contestant as Markdown."""
    rows = []
    for part, who in sorted({(one.part, one.contestant) for one in answers}):
        mine = [one for one in answers if (one.part, one.contestant) == (part, who)]
        wrong = [one for one in mine if one.runs and not (one.is_right or one.is_form)]
        right = [one for one in mine if one.is_right]
        counts = Counter(
            right=len(right),
            form=sum(one.is_form for one in mine),
            runs=sum(one.runs for one in mine),
            changed=sum(one.changed for one in mine),
        )
        doubts = [sum(one.doubts != () for one in some) for some in (wrong, right)]
        doubted = [f"{doubts[0]} of {len(wrong)}", f"{doubts[1]} of {len(right)}"]
        rows.append([part, who, str(len(mine)), *map(str, counts.values()), *doubted])
    head = [
        "part",
        "contestant",
        "questions",
        "right",
        "wrong form",
        "run",
        "changes what should stay",
    ]
    return table([*head, "wrong that run: doubted", "right: doubted"], rows)


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("path", type=lambda text: Path(text).resolve(), help="a checkout of DSEval")
    parser.add_argument("--parts", type=partial(choices, PARTS), default=LOOKED_AT)
    parser.add_argument(
        "--contestants", type=partial(choices, (OURS, USUAL)), default=[OURS, USUAL]
    )
    parser.add_argument("--every", type=int, default=1, help="take one session of so many")
    parser.add_argument("--replay", nargs="*", type=Path, help="check answers; asks no model")
    parser.add_argument("--answers", type=lambda text: Path(text).resolve(), help="write them here")
    arguments = parser.parse_args()
    arguments.replay = arguments.replay and [path.resolve() for path in arguments.replay]
    model: Path = arguments.model or default_model()
    arguments.model = model.resolve() if model.exists() else model
    os.environ["MPLBACKEND"] = "agg"
    answers: list[Answer] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),
    ):
        os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
        for answer in rounds(arguments):
            answers.append(answer)
            if arguments.answers:
                lines = (json.dumps(asdict(one)) for one in answers)
                arguments.answers.write_text("\n".join(lines), encoding="utf-8")
            verdict = "right" if answer.is_right else "form" if answer.is_form else "wrong"
            where = (answer.problemset, str(answer.index), answer.contestant)
            print(*where, verdict, *answer.doubts, file=sys.stderr, flush=True)
    show(describe(arguments.model, 1), counted(answers))


if __name__ == "__main__":
    main()
